"""Kafka's jars: the pinned list, the cache, the fetch. The first step of a start.

`jars.lock` names every jar of the broker's class path with its SHA-256. A jar is looked for in the cache, fetched with
jgo when it is not there, and only handed on when its digest is the pinned one. When all are in the cache no
network is touched.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from streams.broker.errors import BrokerError

LOCK_FILE = Path(__file__).with_name("jars.lock")
BROKER_PROJECT = ("org.apache.kafka", "kafka_2.13")
FETCH_TIMEOUT_S = 30
FETCH_TRIES = 2


@dataclass(frozen=True)
class Jar:
    """One pinned jar: its coordinates and the SHA-256 (64 hex digits) of its bytes."""

    sha256: str
    group: str
    artifact: str
    version: str
    classifier: str = ""

    @property
    def coordinates(self) -> str:
        """`group:artifact:version[:classifier]`, as in the lock."""
        parts = [self.group, self.artifact, self.version, self.classifier]
        return ":".join(part for part in parts if part)

    @property
    def file_name(self) -> str:
        """Its name in the cache, as in Kafka's distribution: `artifact-version[-classifier].jar`."""
        return "-".join(part for part in (self.artifact, self.version, self.classifier) if part) + ".jar"


def default_cache_dir() -> Path:
    """Where jars are kept between starts: METER_CACHE_DIR, else ~/.cache/recognition-meter."""
    configured = os.environ.get("METER_CACHE_DIR")
    return Path(configured) if configured else Path.home() / ".cache" / "recognition-meter"


def read_lock(lock_file: Path = LOCK_FILE) -> list[Jar]:
    """The pinned jars in class path order. Raises BrokerError for a line that is not `sha256  coordinates`."""
    lines = lock_file.read_text("utf-8").splitlines()
    return [_parse(line, lock_file) for line in lines if line and not line.startswith("#")]


def _parse(line: str, lock_file: Path) -> Jar:
    digest, _, coordinates = line.partition("  ")
    parts = coordinates.split(":")
    if len(digest) != 64 or len(parts) not in (3, 4):
        raise BrokerError(f"{lock_file}: not a pinned jar: {line!r}")
    return Jar(digest, *parts)


def kafka_version(jars: list[Jar]) -> str:
    """The version of Apache Kafka among `jars`, such as 4.3.1."""
    return next(jar.version for jar in jars if (jar.group, jar.artifact) == BROKER_PROJECT)


def maven_context(cache_dir: Path, remote_repos: Mapping[str, str] | None = None) -> Any:
    """jgo's view of Maven with a cache of our own; `remote_repos` (name to address) is Maven Central when None."""
    if find_spec("jgo") is None:
        raise BrokerError("the embedded Kafka needs the package jgo: pip install 'recognition-meter[broker]'")
    from jgo.maven import MavenContext  # noqa: PLC0415 - an optional dependency

    repos = None if remote_repos is None else dict(remote_repos)
    return MavenContext(repo_cache=cache_dir, local_repos=[], remote_repos=repos, timeout=FETCH_TIMEOUT_S)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def class_path(
    cache_dir: Path,
    say: Callable[[str], None],
    *,
    lock_file: Path = LOCK_FILE,
    remote_repos: Mapping[str, str] | None = None,
) -> list[Path]:
    """Every pinned jar on disk, in the lock's order, each with the pinned digest (about 60 ms for all).

    Raises BrokerError naming the jar when one cannot be fetched or is not the pinned one.
    """
    jars = read_lock(lock_file)
    folder = cache_dir / "jars"
    missing = [jar for jar in jars if not (folder / jar.file_name).exists()]
    if missing:
        say(f"fetching {len(missing)} jars of Apache Kafka (once)")
        _fetch_all(missing, folder, remote_repos)
    return [_verified(jar, folder / jar.file_name) for jar in jars]


def _fetch_all(jars: list[Jar], folder: Path, remote_repos: Mapping[str, str] | None) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for jar in jars:
            _fetch(jar, folder, remote_repos)
    except OSError as error:
        raise BrokerError(f"cannot keep Kafka's jars in {folder}: {error.strerror or error}") from error


def _fetch(jar: Jar, folder: Path, remote_repos: Mapping[str, str] | None) -> None:
    """Into a folder of its own first: what is half here or not the pinned jar never enters the cache."""
    for attempt in range(FETCH_TRIES):
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as incoming:
            context = maven_context(Path(incoming), remote_repos)
            artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact(jar.classifier)
            try:
                path: Path = artifact.resolve()
            except Exception as error:  # whatever jgo and its HTTP client raise
                if attempt + 1 == FETCH_TRIES:
                    raise BrokerError(f"cannot fetch {jar.coordinates}: {_cause(error)}") from error
                continue
            _verified(jar, path).replace(folder / jar.file_name)
            return


def _cause(error: Exception) -> str:
    """The reason in one line; an HTTP client's error holds the one that matters two levels down."""
    inner = getattr(error.args[0], "reason", None) if error.args else None
    return " ".join(str(inner or error).split()) or type(error).__name__


def _verified(jar: Jar, path: Path) -> Path:
    if sha256_of(path) != jar.sha256:
        raise BrokerError(f"{jar.coordinates} does not have its pinned SHA-256 and is not run: {path}")
    return path
