"""How old the store says its figures are: never newer than what it has read."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from meter import topics
from meter.rules import Rules
from streams.settings import Settings
from streams.store import positions
from streams.store.database import writing
from streams.store.migrate import migrate
from streams.store.positions import PartitionAdvance
from streams.store.queries.freshness import data_as_of, freshness
from tests.store.following import engine_of

BEGUN = datetime(2026, 11, 24, 10, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 11, tzinfo=UTC)
PLACE = (topics.PRICED, 0)


@pytest.fixture
def begun(url: str) -> Iterator[Engine]:
    """A store that has read nothing yet of a log of five positions."""
    engine = engine_of(url)
    migrate(engine)
    with writing(engine) as connection:
        positions.claim(connection, Settings(), Rules.model_validate({"meter_id": "m", "partitions": 1}), BEGUN)
        positions.begin(connection, {PLACE: (0, 5)}, {}, BEGUN)
    yield engine
    engine.dispose()


def seen(engine: Engine, *moves: PartitionAdvance) -> tuple[int, datetime | None]:
    """Lag and age of the topic, after some moves."""
    with writing(engine) as connection:
        for move in moves:
            positions.move(connection, [move])
    with engine.connect() as connection:
        assert data_as_of(connection) == freshness(connection)[topics.PRICED].as_of
        return freshness(connection)[topics.PRICED].lag, data_as_of(connection)


def test_a_store_that_has_only_begun_says_what_it_lacks_and_no_age(begun: Engine) -> None:
    assert seen(begun) == (5, None)


def test_before_the_broker_has_told_of_a_partition_its_end_is_the_one_known_before(begun: Engine) -> None:
    assert seen(begun, PartitionAdvance(PLACE, 0, 0, None, None, None)) == (5, None)


def test_with_a_part_read_it_is_as_of_the_last_record(begun: Engine) -> None:
    assert seen(begun, PartitionAdvance(PLACE, 0, 3, 7, BEGUN, LATER)) == (4, BEGUN)


def test_with_all_read_it_is_as_of_the_brokers_last_word(begun: Engine) -> None:
    assert seen(
        begun, PartitionAdvance(PLACE, 0, 3, 7, BEGUN, BEGUN), PartitionAdvance(PLACE, 3, 7, 7, BEGUN, LATER)
    ) == (0, LATER)
