"""For each kind of store a meter with some history, for all tests of the API.

Tests that read come before those that write, by the names of their files. What the tests of one store wrote, those of
the other do not see.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from streams.http.callers import Role
from tests.api.serving import Api, make_token, settings_of
from tests.integration.running import Meter
from tests.store.stage import set_stage


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of the store."""
    return str(request.param)


@pytest.fixture(scope="package")
def meter(kind: str, kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    """Three simulated days, with a worker that goes on."""
    with staged(kafka, tmp_path_factory.mktemp(kind)) as meter:
        yield meter


@pytest.fixture(scope="package")
def api(
    kind: str, request: pytest.FixtureRequest, meter: Meter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Api]:
    """The API on a read model of the meter, with a token of an operator."""
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('store')}/store.sqlite"
    else:
        url = request.getfixturevalue("postgres").new_database()
    with served(meter, url) as api:
        yield api


@pytest.fixture
def operator(api: Api) -> Iterator[httpx.Client]:
    """A client of an operator."""
    with api.client(api.tokens["operator"]) as client:
        yield client


@contextmanager
def staged(kafka: str, folder: Path) -> Iterator[Meter]:
    """A meter whose history is `tests.store.stage`, with a worker that goes on."""
    with Meter(kafka, folder, instance_id="worker", web_port=0) as meter:
        meter.create("--clock", "simulated").open_worker()
        set_stage(meter)
        yield meter


@contextmanager
def served(meter: Meter, url: str) -> Iterator[Api]:
    """The API on a read model of a meter as it is now, with a token of an operator."""
    settings = settings_of(meter, url)
    project(meter, url)
    with Api(settings) as api:
        api.tokens["operator"] = make_token(settings, Role.OPERATOR)
        yield api


def project(meter: Meter, url: str) -> None:
    """Bring a store up to the topics' ends."""
    done = meter.run("projector", "rebuild", database_url=url)
    assert done.returncode == 0, done.stderr
