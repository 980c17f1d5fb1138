"""A projector as a real process, and what the store holds, held against the topics by other means than its own."""

import subprocess
from pathlib import Path

from tests.integration.running import METER, PATIENCE_S, Meter


class Projector:
    """One `meter projector`, its log in a file."""

    def __init__(self, meter: Meter, url: str, log: Path, *arguments: str, **settings: object) -> None:
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [METER, "projector", *arguments],
                env=meter.environment(database_url=url, **{"web_port": 0, **settings}),
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
