"""What Kafka says in its log files while somebody waits for it."""

from pathlib import Path


class LogTail:
    """What a log file gains from now on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._size = file.stat().st_size if file.exists() else 0

    def lines(self) -> list[str]:
        """Its lines so far, also where it has been rolled."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as file:
            file.seek(self._size if self._file.stat().st_size >= self._size else 0)  # else it was rolled
            return file.read().decode("utf-8", "replace").splitlines()
