"""What a page or an answer asks of the store is of one moment, however much is projected meanwhile."""

from datetime import UTC, datetime

from sqlalchemy import Engine, func, insert, select

from streams.http.store import Store
from streams.store.database import writing
from streams.store.migrate import migrate
from streams.store.schema import meter_info

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def test_figures_that_are_asked_one_after_the_other_fit_together(store: Engine) -> None:
    migrate(store)
    meter = {"id": 1, "meter_id": "m", "topic_prefix": "", "rules": "{}", "created_at": NOW}
    with Store(store).reading() as connection:
        counted = select(func.count()).select_from(meter_info)
        assert connection.execute(counted).scalar() == 0
        with writing(store) as other:
            other.execute(insert(meter_info).values(meter))
        assert connection.execute(counted).scalar() == 0
