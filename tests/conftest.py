"""What the tests share. One Kafka for the whole run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.broker import EmbeddedBroker


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real broker on an ephemeral port, stopped when the run ends."""
    data_dir: Path = tmp_path_factory.mktemp("kafka")
    with EmbeddedBroker(data_dir, port=0) as broker:
        yield broker.bootstrap_servers
