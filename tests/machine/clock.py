"""A wall clock that is ahead or behind, for one process: libfaketime. `python -m tests.machine.clock` installs it."""

import platform
import time
from datetime import timedelta
from pathlib import Path

from streams.broker.config import Extras
from tests.debian import provided

LIBRARY = Path(f"/usr/lib/{platform.machine()}-linux-gnu/faketime/libfaketime.so.1")
#: How often a process looks whether its clock has been set.
LOOK_S = 1


class WrongClock:
    """The clock of the processes that are given its `environment`; it can be set while they run.

    Only the wall clock is changed: time-outs and pauses are of their real length.
    """

    def __init__(self, file: Path, ahead: timedelta = timedelta()) -> None:
        self._file = file
        self._write(ahead)

    def set(self, ahead: timedelta) -> None:
        """So far ahead of this machine's clock (negative: behind). The processes have it when this returns."""
        self._write(ahead)
        time.sleep(2 * LOOK_S)  # they look by their own clocks, and cannot be asked

    def _write(self, ahead: timedelta) -> None:
        part = self._file.with_suffix(".part")
        part.write_text(f"{ahead.total_seconds():+.0f}\n")
        part.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """What a process is started with. Raises RuntimeError where libfaketime cannot be had."""
        return {
            "LD_PRELOAD": str(provided(LIBRARY, "faketime")),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(LOOK_S),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Else a JVM's waits on that clock, which is not faked, never end in time.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
        }

    @property
    def extras(self) -> Extras:
        """The same for an embedded Kafka."""
        return Extras(environment=self.environment)


if __name__ == "__main__":
    print(provided(LIBRARY, "faketime"))
