"""A meter's ports are looked at before anything is started: a taken one is named, with the setting that moves it."""

import errno
import socket
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from streams.broker import running_broker
from streams.broker.config import HOST, Files
from streams.broker.state import read_state
from streams.errors import SettingError
from streams.settings import Settings

MAX_PORT = 65535
EVERYWHERE = {"0.0.0.0", "::"}


class Port(NamedTuple):
    """A port that will be listened on: whose it is to be, and what moves it."""

    who: str
    host: str
    port: int
    moved_by: str


def look_at_ports(settings: Settings, workers: int, kafka_port: int) -> None:
    """See that `meter up` can have its ports. Raises SettingError, which names each setting that must be another."""
    wanted = list(_ports(settings, workers, kafka_port))
    for one, other in combinations(wanted, 2):
        if one.port == other.port and (one.host == other.host or {one.host, other.host} & EVERYWHERE):
            raise SettingError(
                f"port {one.port} would be of {one.who} and of {other.who}: move one with {one.moved_by} "
                f"or {other.moved_by}"
            )
    refused: dict[str, str] = {}
    for port in wanted:
        if (why := _why_not(port)) is not None:
            refused.setdefault(port.moved_by, why)
    if refused:
        raise SettingError("; ".join(refused.values()))


def look_at_pages(settings: Settings) -> None:
    """See that a worker or the projector can have the port of its pages. Raises SettingError."""
    if settings.web_port:
        _look_at(Port("/metrics, /healthz and /readyz", settings.web_host, settings.web_port, "METER_WEB_PORT"))


def look_at_chosen_pages(settings: Settings) -> None:
    """The same of a process that goes on without pages where nobody has chosen their port. Raises SettingError."""
    if "web_port" in settings.model_fields_set:
        look_at_pages(settings)


def look_at_api(settings: Settings) -> None:
    """See that the API can have its port. Raises SettingError."""
    if settings.http_port:
        _look_at(Port("the API", settings.http_host, settings.http_port, "METER_HTTP_PORT"))


def _ports(settings: Settings, workers: int, kafka_port: int) -> Iterator[Port]:
    if kafka_port and settings.bootstrap_servers is None and not _has_kafka(settings.data_dir):
        yield Port("Kafka", HOST, kafka_port, "--port")
    names = [*(f"worker {number}" for number in range(workers)), "the projector", "the webhooks' sender"]
    for number, name in enumerate(names[: MAX_PORT + 1 - settings.web_port] if settings.web_port else ()):
        yield Port(name, settings.web_host, settings.web_port + number, "METER_WEB_PORT")
    if settings.http_port:
        yield Port("the API", settings.http_host, settings.http_port, "METER_HTTP_PORT")


def _has_kafka(data_dir: Path) -> bool:
    """Whether one runs that is used, or shuts down and is waited for."""
    return read_state(Files.of(data_dir)) is not None or running_broker(data_dir) is not None


def _look_at(port: Port) -> None:
    if (why := _why_not(port)) is not None:
        raise SettingError(why)


def _why_not(port: Port) -> str | None:
    """Why one cannot be had, asked for as those do it that will listen on it."""
    try:
        family, *_ = socket.getaddrinfo(port.host, port.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        socket.create_server((port.host, port.port), family=family).close()
    except OSError as error:
        is_taken = error.errno == errno.EADDRINUSE
        why = "is taken by another program" if is_taken else f"cannot be had: {error.strerror or error}"
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            return f"{port.moved_by.replace('_PORT', '_HOST')}: {port.host!r} is no address of this machine"
        return f"port {port.port} on {port.host}, for {port.who}, {why}: {port.moved_by} chooses another"
    return None
