"""Which days a partial export has: those that have begun, by the clock or by a job."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import insert

from meter.periods import BillingDays
from meter.rules import Rules
from streams.export.formats import CSV
from streams.export.jobs import export_jobs
from streams.export.period import ExportPeriod
from streams.settings import Settings
from streams.store.database import open_engine, writing
from streams.store.migrate import migrate
from streams.store.schema import region_total


@pytest.mark.parametrize(("of_a_job", "files"), [(None, 2), (1, 3)])
def test_a_day_to_come_has_a_file_only_where_a_job_is_of_it_already(
    tmp_path: Path, of_a_job: int | None, files: int
) -> None:
    rules = Rules(meter_id="m", partitions=1)
    now_us = int(datetime.now(UTC).timestamp() * 1_000_000)
    today = datetime.fromisoformat(BillingDays(rules.time_zone).day_of(now_us)).date()
    days = tuple((today + timedelta(days=n)).isoformat() for n in (-1, 0, 1, 2))
    engine = open_engine(Settings(data_dir=tmp_path))
    migrate(engine)
    if of_a_job is not None:
        with writing(engine) as connection:
            tomorrow = {"day": (today + timedelta(days=of_a_job)).isoformat(), "region": "ap-tokyo", "jobs": 1}
            connection.execute(insert(region_total).values(**tomorrow, minutes=1, amount=Decimal("0.31")))
    written = list(
        export_jobs(engine, rules, ExportPeriod("some days", days), CSV, None, tmp_path / "out", partial=True)
    )
    engine.dispose()
    assert [path.parent.name for path, _ in written] == [f"day={day}" for day in days[:files]]
