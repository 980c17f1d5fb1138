"""Which Kafka a command talks to: the configured one, else the embedded one of this data directory, with its secret."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from streams.broker import MECHANISM, USER, broker_for, has_kafka, running_broker, secret_for
from streams.errors import BrokerLostError, SettingError
from streams.process.private import close_data_dir
from streams.settings import PREFIX, Settings, load_settings

Say = Callable[[str], None]
_SECURITY = ("security_protocol", "ssl_", "sasl_")


def settings_of_command() -> Settings:
    """The settings, with the Kafka client's own log silenced: a command says in one line what went wrong.

    What an earlier version has left open in the data directory is closed.
    """
    settings = load_settings()
    close_data_dir(settings.data_dir, settings.app_id)
    for name in ("aiokafka", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if settings.cache_dir is not None:  # the broker takes it from the environment alone; meter.toml may have it too
        os.environ["METER_CACHE_DIR"] = str(settings.cache_dir)
    return settings if settings.bootstrap_servers is None else _let_in(settings, settings.bootstrap_servers)


def _let_in(settings: Settings, servers: str) -> Settings:
    """The embedded Kafka may be named by its address as well, as `meter up` does to its processes."""
    if _secured(settings) or (secret := secret_for(settings.data_dir, servers)) is None:
        return settings
    return embedded(settings, servers, secret)


def embedded(settings: Settings, servers: str, secret: str) -> Settings:
    """The settings for the embedded Kafka at an address. Raises SettingError for those that are another Kafka's."""
    if (wrong := _secured(settings)) is not None:
        raise SettingError(
            f"{PREFIX}{wrong.upper()} is for a Kafka that METER_BOOTSTRAP_SERVERS names: the embedded one has a secret"
        )
    login = {
        "bootstrap_servers": servers,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": MECHANISM,
        "sasl_username": USER,
        "sasl_password": SecretStr(secret),
    }
    return settings.model_copy(update=login)


def _secured(settings: Settings) -> str | None:
    """A setting of TLS or SASL that somebody has given."""
    return next((name for name in settings.model_fields_set if name.startswith(_SECURITY)), None)


@contextmanager
def connected(
    say: Say, *, port: int = 0, makes: bool = False, first: Callable[[Settings], None] = lambda _: None
) -> Iterator[Settings]:
    """Settings that name a Kafka: the configured one, the running one of this data directory, or one for the block.

    `port` is for the one that is started: any free one (0), which other commands find by the data directory.
    Raises BrokerLostError in a directory that has none: nobody's first wish is a Kafka that ends with the command.
    One that `makes` a meter makes its Kafka too. `first` is asked before anything is started.
    """
    settings = settings_of_command()
    first(settings)
    if settings.bootstrap_servers is not None:
        yield settings
        return
    if not makes and not has_kafka(settings.data_dir):
        raise BrokerLostError(
            f"there is no meter in {settings.data_dir}: `meter up` starts one; METER_BOOTSTRAP_SERVERS names a Kafka "
            "that is elsewhere"
        )
    with broker_for(settings.data_dir, port=port, say=say) as address:
        yield embedded(settings, address.bootstrap_servers, address.secret)


def reachable() -> Settings | None:
    """Settings that name a Kafka which is configured or runs already; None where there is nothing to ask."""
    settings = settings_of_command()
    if settings.bootstrap_servers is not None:
        return settings
    address = running_broker(settings.data_dir)
    return embedded(settings, address.bootstrap_servers, address.secret) if address else None
