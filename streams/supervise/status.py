"""`meter status`: what runs on a data directory, where it is, and whether it is ready."""

from typing import Any, NamedTuple
from urllib.error import HTTPError

from streams.broker import running_broker
from streams.errors import Exit
from streams.process.nearby import open_page
from streams.settings import Settings
from streams.supervise.only_one import holder
from streams.supervise.state import Part, UpState, read_state

LOOK_S = 2.0
UNAVAILABLE = 503


class RunningPart(NamedTuple):
    """One of the things that run: its name, how it is, where it is. `pid` is None for what is not ours."""

    name: str
    state: str
    where: str
    pid: int | None

    @property
    def is_ready(self) -> bool:
        """Whether it does its work."""
        return self.state == "ready"


KAFKA_IS_GONE = RunningPart("Kafka", "not running", "", None)


def look(settings: Settings) -> tuple[int, list[RunningPart]]:
    """The exit code, and what there is: 0, all is ready; 1, it runs and is not; 5, nothing runs."""
    up = read_state(settings.data_dir)
    runs = holder(settings.data_dir) is not None
    lines = [*_kafka(settings)]
    if runs:
        parts = _parts(up)
        lines += [line for line in (KAFKA_IS_GONE,) if not lines and parts[0].pid is not None] + parts
    if not lines:
        return Exit.BROKER_LOST, lines
    return (Exit.OK if runs and all(line.is_ready for line in lines) else Exit.FAILED), lines


def _kafka(settings: Settings) -> list[RunningPart]:
    if settings.bootstrap_servers is not None:
        return [RunningPart("Kafka", "ready", f"{settings.bootstrap_servers} (METER_BOOTSTRAP_SERVERS)", None)]
    found = running_broker(settings.data_dir)
    return [] if found is None else [RunningPart("Kafka", "ready", found.bootstrap_servers, found.pid)]


def _parts(up: UpState | None) -> list[RunningPart]:
    if up is None or not up.is_alive or not up.parts:
        return [RunningPart("meter up", "starting", "", None)]
    return [RunningPart(part.name, _state(part), part.where, part.pid) for part in up.parts]


def _state(part: Part) -> str:
    if not part.is_alive:
        return "not running"
    if not part.is_ready:
        return "starting"
    return "ready" if part.page is None else _said(part.page)


def _said(page: str) -> str:
    """How a process is by its own word."""
    try:
        with open_page(page, LOOK_S):
            return "ready"
    except HTTPError as error:
        return "not ready" if error.code == UNAVAILABLE else "ready"
    except OSError:
        return "does not answer"


def as_json(code: int, lines: list[RunningPart]) -> dict[str, Any]:
    """The same for programs."""
    return {"ready": code == Exit.OK, "parts": [line._asdict() for line in lines]}
