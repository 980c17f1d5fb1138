"""What `meter up` has started on a data directory, for `meter status` and `meter down`: a file that it keeps.

Process ids are used again, so each is with the time when its process began: what does not fit is not there.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from streams.broker.state import start_time
from streams.process.private import write

STARTING, READY = "starting", "ready"


@dataclass(frozen=True)
class Part:
    """One process. `page`: where it says how it is, if it does. `is_ready`: that it has begun its work."""

    name: str
    pid: int
    started: str
    where: str
    page: str | None
    is_ready: bool

    @property
    def is_alive(self) -> bool:
        """Whether this very process is there."""
        return bool(self.started) and start_time(self.pid) == self.started


@dataclass(frozen=True)
class UpState:
    """A `meter up`: its process, Kafka's address, its parts."""

    pid: int
    started: str
    kafka: str
    parts: tuple[Part, ...] = ()

    @classmethod
    def mine(cls, kafka: str, parts: Iterable[Part]) -> "UpState":
        """Of this process."""
        return cls(os.getpid(), start_time(os.getpid()) or "", kafka, tuple(parts))

    @property
    def is_alive(self) -> bool:
        """Whether this very process is there."""
        return bool(self.started) and start_time(self.pid) == self.started

    def write(self, data_dir: Path) -> None:
        """Replace the file in one step. Raises OSError."""
        part = _file(data_dir).with_suffix(".part")
        write(part, json.dumps(asdict(self)))
        part.replace(_file(data_dir))


def read_state(data_dir: Path) -> UpState | None:
    """The last one of a data directory, whether it runs or not; None where there is none that can be read."""
    try:
        found = json.loads(_file(data_dir).read_text("utf-8"))
        parts = tuple(Part(**part) for part in found.pop("parts"))
        return UpState(**found, parts=parts)
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None


def forget(data_dir: Path) -> None:
    """Nothing runs any more."""
    _file(data_dir).unlink(missing_ok=True)


def _file(data_dir: Path) -> Path:
    return data_dir / "up.json"
