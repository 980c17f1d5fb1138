"""One meter with some history for all tests of the store, and an empty store of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.integration.running import Meter
from tests.store.following import engine_of
from tests.store.postgres import Postgres
from tests.store.stage import set_stage


@pytest.fixture(scope="session")
def meter(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    with Meter(kafka, tmp_path_factory.mktemp("stage"), instance_id="worker", web_port=0) as meter:
        meter.create("--clock", "simulated").open_worker()
        set_stage(meter)
        yield meter


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.sqlite"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.new_database()


@pytest.fixture
def store(url: str) -> Iterator[Engine]:
    engine = engine_of(url)
    yield engine
    engine.dispose()
