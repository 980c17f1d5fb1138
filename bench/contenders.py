"""Who is measured: each is given the same input topic, and writes priced jobs and daily totals."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from bench.cluster import PARTITIONS, Cluster
from bench.peers.kafka_streams import compile_program
from bench.process import Worker, WorkerFailed

COMPLETED = "recognition.jobs.completed"
# What `meter topics create` gives its topics, as far as speed and delay depend on it.
STAMPED_BY_BROKER = {"message.timestamp.type": "LogAppendTime"}


class Contender(Protocol):
    """A program that meters: `name` for the table, and its topics."""

    name: str
    completed: str
    priced: str
    daily: str

    def start(self) -> Worker:
        """Start it; it works on whatever its input has and gets."""


class Meter:
    """The meter as shipped, with its default settings; `prefix` keeps the topics of one part from another's."""

    name = "meter"

    def __init__(self, cluster: Cluster, prefix: str = "", tree: Path | None = None) -> None:
        """`tree`: where the code of another revision lies; else it is the code that is installed."""
        self.completed = f"{prefix}{COMPLETED}"
        self.priced = f"{prefix}usage.priced"
        self.daily = f"{prefix}usage.daily"
        self._cluster = cluster
        self._log = cluster.work_dir / f"{prefix}meter.log"
        self._env = {
            "METER_BOOTSTRAP_SERVERS": cluster.bootstrap_servers,
            "METER_DATA_DIR": str(cluster.work_dir / f"{prefix}meter"),
            "METER_APP_ID": f"{prefix}meter",
            "METER_TOPIC_PREFIX": prefix,
            "METER_WEB_PORT": "0",  # a fixed port could be taken
            # As every supervisor of a worker is told to give it: a restart gets its partitions back at once.
            "METER_INSTANCE_ID": f"{prefix}bench",
        }
        self._command: list[str | Path] = [Path(sys.executable).with_name("meter")]
        if tree is not None:
            self._command = [sys.executable, "-P", "-m", "streams"]
            self._env["PYTHONPATH"] = str(tree)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of the meter's."""
        return subprocess.run(
            [*self._command, *arguments], env={**os.environ, **self._env}, capture_output=True, text=True, check=False
        )

    def create_topics(self, *options: str) -> None:
        """`meter topics create`. Raises WorkerFailed with what it said."""
        done = self.run("topics", "create", "--partitions", str(PARTITIONS), *options)
        if done.returncode:
            raise WorkerFailed(f"meter topics create: {done.stderr.strip() or done.stdout.strip()}")

    def start(self) -> Worker:
        """`meter worker`."""
        return Worker([*self._command, "worker"], self._env, self._log)


class KafkaStreams:
    """The Kafka Streams program of `bench/peers/kafka_streams`. Raises PeerMissing where it cannot be compiled."""

    name = "Kafka Streams"

    def __init__(self, cluster: Cluster, completed: str) -> None:
        self.completed = completed
        self.priced = f"kafka-streams.priced.{completed}"
        self.daily = f"kafka-streams.daily.{completed}"
        self._cluster = cluster
        self._command = compile_program(cluster.work_dir / "kafka-streams-classes")
        cluster.create_topics(_outputs(self.priced, self.daily))

    def start(self) -> Worker:
        """Java with the compiled program."""
        work_dir = self._cluster.work_dir
        state_dir = work_dir / "kafka-streams-state"
        arguments = [self._cluster.bootstrap_servers, f"kafka-streams.{self.completed}", str(state_dir)]
        topics = [self.completed, self.priced, self.daily]
        return Worker([*self._command, *arguments, *topics], {}, work_dir / "kafka-streams.log")


class StockFaust:
    """`bench/peers/stock_faust.py`."""

    name = "stock Faust"

    def __init__(self, cluster: Cluster, completed: str) -> None:
        self.completed = completed
        self.priced = f"stock-faust.priced.{completed}"
        self.daily = f"stock-faust.daily.{completed}"
        self._cluster = cluster
        cluster.create_topics(_outputs(self.priced, self.daily))

    def start(self) -> Worker:
        """A Faust worker."""
        work_dir = self._cluster.work_dir
        env = {
            "BENCH_BROKER": self._cluster.bootstrap_servers,
            "BENCH_APP_ID": "stock-faust",
            "BENCH_INPUT": self.completed,
            "BENCH_PRICED": self.priced,
            "BENCH_DAILY": self.daily,
            "BENCH_STATE_DIR": str(work_dir / "stock-faust"),
        }
        command = [sys.executable, "-m", "bench.peers.stock_faust", "worker", "--loglevel", "warn"]
        return Worker(command, env, work_dir / "stock-faust.log")


def _outputs(priced: str, daily: str) -> Mapping[str, Mapping[str, str]]:
    return {priced: STAMPED_BY_BROKER, daily: {**STAMPED_BY_BROKER, "cleanup.policy": "compact"}}
