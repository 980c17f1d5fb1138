"""A meter's ports are looked at before anything is started: a taken one is named, with the setting that moves it."""

import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from streams.broker import running_broker
from streams.broker.config import HOST, Files
from streams.broker.state import read_state
from streams.errors import SettingError
from streams.settings import Settings


class Port(NamedTuple):
    """A port that will be listened on: whose it is to be, and what moves it."""

    who: str
    host: str
    port: int
    moved_by: str


def look_at_ports(settings: Settings, workers: int, kafka_port: int) -> None:
    """See that `meter up` can have its ports. Raises SettingError."""
    wanted = list(_ports(settings, workers, kafka_port))
    taken: dict[int, Port] = {}
    for port in wanted:
        if (other := taken.setdefault(port.port, port)) is not port:
            raise SettingError(
                f"port {port.port} would be of {other.who} and of {port.who}: move one with {other.moved_by} "
                f"or {port.moved_by}"
            )
    for port in wanted:
        look_at(port)


def look_at_pages(settings: Settings) -> None:
    """See that a worker or the projector can have the port of its pages. Raises SettingError."""
    if settings.web_port:
        look_at(Port("/metrics, /healthz and /readyz", settings.web_host, settings.web_port, "METER_WEB_PORT"))


def look_at_api(settings: Settings) -> None:
    """See that the API can have its port. Raises SettingError."""
    if settings.http_port:
        look_at(Port("the API", settings.http_host, settings.http_port, "METER_HTTP_PORT"))


def _ports(settings: Settings, workers: int, kafka_port: int) -> Iterator[Port]:
    if kafka_port and settings.bootstrap_servers is None and not _has_kafka(settings.data_dir):
        yield Port("Kafka", HOST, kafka_port, "--port")
    names = [*(f"worker {number}" for number in range(workers)), "the projector"]
    for number, name in enumerate(names if settings.web_port else ()):
        yield Port(name, settings.web_host, settings.web_port + number, "METER_WEB_PORT")
    if settings.http_port:
        yield Port("the API", settings.http_host, settings.http_port, "METER_HTTP_PORT")


def _has_kafka(data_dir: Path) -> bool:
    """Whether one runs that is used, or shuts down and is waited for."""
    return read_state(Files.of(data_dir)) is not None or running_broker(data_dir) is not None


def look_at(port: Port) -> None:
    """See that one can be had, as those do it that will listen on it. Raises SettingError."""
    try:
        family, *_ = socket.getaddrinfo(port.host, port.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        socket.create_server((port.host, port.port), family=family).close()
    except OSError as error:
        is_taken = error.errno == errno.EADDRINUSE
        why = "is taken by another program" if is_taken else f"cannot be had: {error.strerror or error}"
        raise SettingError(
            f"port {port.port} on {port.host}, for {port.who}, {why}: {port.moved_by} chooses another"
        ) from error
