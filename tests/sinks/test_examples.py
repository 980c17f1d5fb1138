"""The consumers of the examples read the bills that were committed, in Python and in Java."""

import os
import subprocess
import sys
from pathlib import Path

from streams.broker.config import java
from streams.broker.jars import class_path, default_cache_dir, maven_context, sha256_of
from tests.integration.running import until
from tests.sinks.stage import Stage

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Eclipse's compiler runs on the Java that the embedded Kafka has, which comes without one.
COMPILER = ("org.eclipse.jdt", "ecj", "3.45.0")
COMPILER_SHA256 = "c8f5e66787ea6e4e0394ba3051c86a4edc50683ce9850f71739646529a99a2d7"


def what_it_prints(stage: Stage, command: list[str], out: Path) -> list[str]:
    """The lines of a consumer, once there is one for each bill."""
    bills = len(stage.meter.rows("billing.bills"))
    with out.open("wb") as file:
        process = subprocess.Popen(command, env=stage.meter.environment(), stdout=file, stderr=subprocess.DEVNULL)
    try:
        until(lambda: process.poll() is not None or out.read_bytes().count(b"\n") >= bills, "the bills")
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    return out.read_text("utf-8").splitlines()


def test_the_consumer_in_python(stage: Stage, tmp_path: Path) -> None:
    found = what_it_prints(stage, [sys.executable, str(EXAMPLES / "consumer.py")], tmp_path / "out")
    bills = stage.meter.rows("billing.bills")
    assert sorted(found) == sorted(f"{b['bill_id']} {b['account_id']} {b['payable']}" for b in bills)


def test_the_consumer_in_java(stage: Stage, tmp_path: Path) -> None:
    jars = os.pathsep.join(map(str, class_path(default_cache_dir(), print)))
    group, artifact, version = COMPILER
    compiler = maven_context(default_cache_dir()).project(group, artifact).at_version(version).artifact("").resolve()
    assert sha256_of(compiler) == COMPILER_SHA256
    compiled = subprocess.run(
        [java(), "-jar", compiler, "-17", "-cp", jars, "-d", tmp_path, EXAMPLES / "Bills.java"],
        capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert compiled.returncode == 0, compiled.stderr
    command = [str(java()), "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", f"{tmp_path}:{jars}", "Bills"]
    found = what_it_prints(stage, command, tmp_path / "out")
    assert sorted(row.partition('"bill_id":"')[2].partition('"')[0] for row in found) == sorted(
        bill["bill_id"] for bill in stage.meter.rows("billing.bills")
    )
