"""Which Kafka a command talks to: the configured one, else the embedded one of this data directory."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streams.broker import broker_for, running_broker
from streams.settings import Settings, load_settings

Say = Callable[[str], None]


def settings_of_command() -> Settings:
    """The settings, with the Kafka client's own log silenced: a command says in one line what went wrong."""
    settings = load_settings()
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if settings.cache_dir is not None:  # the broker takes it from the environment alone; meter.toml may have it too
        os.environ["METER_CACHE_DIR"] = str(settings.cache_dir)
    return settings


@contextmanager
def connected(say: Say, *, port: int = 0) -> Iterator[Settings]:
    """Settings that name a Kafka: the configured one, the running one of this data directory, or one for the block.

    `port` is for the one that is started: any free one (0), which other commands find by the data directory.
    """
    settings = settings_of_command()
    if settings.bootstrap_servers is not None:
        yield settings
        return
    with broker_for(settings.data_dir, port=port, say=say) as address:
        yield settings.model_copy(update={"bootstrap_servers": address.bootstrap_servers})


def reachable() -> Settings | None:
    """Settings that name a Kafka which is configured or runs already; None where there is nothing to ask."""
    settings = settings_of_command()
    if settings.bootstrap_servers is not None:
        return settings
    address = running_broker(settings.data_dir)
    return settings.model_copy(update={"bootstrap_servers": address.bootstrap_servers}) if address else None
