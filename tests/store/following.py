"""A projector as a real process."""

import subprocess
from pathlib import Path

from sqlalchemy import Engine

from streams.settings import Settings
from streams.store.database import open_engine
from streams.store.queries.freshness import positions
from tests.integration.running import METER, PATIENCE_S, Meter


class RunningProjector:
    """One `meter projector`, its log in a file."""

    def __init__(self, meter: Meter, url: str, log: Path, **settings: object) -> None:
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [METER, "projector"],
                env=meter.environment(**{"database_url": url, "web_port": 0, **settings}),
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, cwd=meter.root,
            )  # fmt: skip

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def ended(self, patience_s: float = PATIENCE_S) -> int:
        return self.process.wait(patience_s)

    def stop(self) -> int:
        self.process.terminate()
        return self.ended()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def engine_of(url: str) -> Engine:
    """An engine of the product's own for a store."""
    return open_engine(Settings(database_url=url))


def reached(engine: Engine) -> dict[tuple[str, int], int]:
    """The next offset of each partition, as the store has it."""
    with engine.connect() as connection:
        return {(row.topic, row.partition): row.next_offset for row in positions(connection)}
