"""One stage for all tests of the sinks."""

from collections.abc import Iterator

import pytest

from tests.sinks.stage import Stage, play
from tests.store.postgres import Postgres


@pytest.fixture(scope="session")
def stage(kafka: str, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The meter with its January, and both stores with all of it."""
    root = tmp_path_factory.mktemp("sinks")
    with play(kafka, root) as meter:
        stage = Stage(meter, {"sqlite": f"sqlite:///{root}/read-model.sqlite", "postgresql": postgres.new_database()})
        stage.project()
        yield stage


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> str:
    """The name of a store."""
    return str(request.param)
