"""What the tests share. One Kafka for the whole run."""

from collections.abc import Generator, Iterator
from pathlib import Path

import psutil
import pytest

from streams.broker import BrokerAddress
from tests.open_kafka import OpenBroker
from tests.package.built import Package, build, install
from tests.store.postgres import Postgres

#: Folders whose tests go through one stage in their order; elsewhere a file does.
IN_ORDER = ("api", "browser", "sinks", "store")
#: Folders whose tests share nothing, and those whose tests take longest.
ALONE, LONG = ("simulation",), ("chaos", "simulation")
#: Bytes of a value that a test may be known by.
LONGEST_ID = 60


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None]:
    """Tests that belong together run in one process, where several run the tests (`pytest -n 4 --dist loadgroup`)."""
    for item in items:
        folder = item.path.parent
        together = folder if folder.name in IN_ORDER else item.path
        item.add_marker(pytest.mark.xdist_group(item.nodeid if folder.name in ALONE else together.name))
    items.sort(key=lambda item: item.path.parent.name not in LONG)  # what is long is not begun last
    yield
    if config.getoption("loadgroup", False):
        # The plug-in groups by what it adds to an item's id; a pytest that it does not fit would go on without groups.
        assert all("@" in item.nodeid for item in items), "pytest-xdist has not grouped the tests"


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long or unprintable values are known by their place: an id holds no megabytes, and is everywhere the same."""
    if isinstance(val, bytes) and (len(val) > LONGEST_ID or not all(32 <= each < 127 for each in val)):
        return argname
    if isinstance(val, str) and len(val) > 2 * LONGEST_ID:
        return argname
    return None


@pytest.fixture(scope="session")
def kafka_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerAddress]:
    """A real broker on an ephemeral port, stopped when the run ends."""
    data_dir: Path = tmp_path_factory.mktemp("kafka")
    with OpenBroker(data_dir) as broker:
        yield broker


@pytest.fixture(scope="session")
def kafka(kafka_address: BrokerAddress) -> str:
    """Its bootstrap servers."""
    return kafka_address.bootstrap_servers


@pytest.fixture(scope="session")
def kafka_process(kafka_address: BrokerAddress) -> psutil.Process:
    """Its process, for tests that freeze it; they thaw it again, whatever happens."""
    return psutil.Process(kafka_address.pid)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL, stopped when the run ends; `new_database()` gives the URL of an empty database."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The sdist and the wheel of this tree."""
    return build(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def installed(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel, and the tree nowhere."""
    return install(package.wheel, tmp_path_factory.mktemp("installed") / "env")
