"""What is done to a cluster and its workers: each kind of fault, struck once, and over when the method returns."""

import time
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, PartitionMetadata

from streams.broker import EmbeddedCluster
from tests.chaos.workers import Worker
from tests.wire import Door, Wire
from tests.wire.frames import ADD_PARTITIONS_TO_TXN, END_TXN, PRODUCE

KILL, FREEZE = "worker killed", "worker frozen"
DELAY, CUT_REQUESTS, CUT_ANSWERS, BLACK_HOLE = "wire delayed", "requests cut", "answers cut", "black hole"
HALF_OPEN, RESET, HELD = "half open", "connections reset", "request held"
BROKER_KILL, BROKER_FREEZE, DISK_LOST = "broker killed", "broker frozen", "broker's disk lost"
ROLL, LEADERS = "rolling restart", "leaders moved"

WIRE = (DELAY, CUT_REQUESTS, CUT_ANSWERS, BLACK_HOLE, HALF_OPEN, RESET, HELD)
OF_WORKERS = (KILL, FREEZE, *WIRE)
OF_BROKERS = (BROKER_KILL, BROKER_FREEZE, DISK_LOST, ROLL, LEADERS)

#: A worker's session is 6 s, a transaction of its 15 s, a request of its 30 s; a broker's session is 4 s.
SHORT_S, PAST_SESSION_S, PAST_TRANSACTION_S, PAST_REQUEST_S = (1.0, 5.0), (8.0, 10.0), (17.0, 19.0), (32.0, 34.0)
PATIENCE_S = 90.0
#: Kafka's settings with which leaders go back to the first of their replicas soon after it is there.
QUICK_LEADERS = {"leader.imbalance.check.interval.seconds": 5, "leader.imbalance.per.broker.percentage": 0}


class Blow(NamedTuple):
    """One fault: its kind, for how long, and a number that decides whatever else is open."""

    kind: str
    seconds: float
    seed: int


class Missed(Exception):  # noqa: N818  (it says something about the run, not that something went wrong)
    """There was nothing to strike: the blow is dealt again."""


class WorkerBlows:
    """What befalls one worker, or its network."""

    def __init__(self, worker: Worker, wire: Wire) -> None:
        self._worker = worker
        self._wire = wire
        self._strikes: dict[str, Callable[[Blow, Random], None]] = {
            KILL: self._kill,
            FREEZE: self._freeze,
            DELAY: lambda blow, rng: self._set(blow, rng, lambda door: door.delay(rng.uniform(0.2, 2.0))),
            CUT_REQUESTS: lambda blow, rng: self._set(blow, rng, lambda door: door.cut(requests=True)),
            CUT_ANSWERS: lambda blow, rng: self._set(blow, rng, lambda door: door.cut(answers=True)),
            BLACK_HOLE: lambda blow, rng: self._set(blow, rng, lambda door: door.cut(requests=True, answers=True)),
            HALF_OPEN: lambda blow, rng: self._set(blow, rng, Door.half_open),
            RESET: lambda blow, rng: self._set(blow, rng, Door.reset),
            HELD: self._hold,
        }

    def strike(self, blow: Blow) -> None:
        """Once the worker is up: the dead cannot be hurt."""
        until(self._worker.healthy, "a worker to be up")
        self._strikes[blow.kind](blow, Random(blow.seed))

    def _kill(self, blow: Blow, rng: Random) -> None:
        self._worker.kill(blow.seconds, wipe=rng.random() < 0.2)
        time.sleep(blow.seconds)

    def _freeze(self, blow: Blow, _: Random) -> None:
        self._worker.freeze()
        time.sleep(blow.seconds)
        self._worker.thaw()

    def _set(self, blow: Blow, rng: Random, fault: Callable[[Door], None]) -> None:
        """A fault at one node's door, or at all of them, for a while."""
        doors = self._wire.doors if rng.random() < 0.3 else [rng.choice(self._wire.doors)]
        for door in doors:
            fault(door)
        time.sleep(blow.seconds)
        self._wire.heal()

    def _hold(self, blow: Blow, rng: Random) -> None:
        """One request of a step is held, the connection reset, and the request arrives late."""
        held = self._wire.hold(rng.choice((END_TXN, END_TXN, ADD_PARTITIONS_TO_TXN, PRODUCE)))
        try:
            held.wait(15)
            held.reset_client()
            time.sleep(blow.seconds)
            held.release()
        except TimeoutError:
            raise Missed from None
        finally:
            self._wire.heal()


class BrokerBlows:
    """What befalls the cluster; one node at a time, and the next only when all copies are in sync."""

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self._cluster = cluster
        self._strikes: dict[str, Callable[[Blow, Random], None]] = {
            BROKER_KILL: self._kill,
            BROKER_FREEZE: self._freeze,
            DISK_LOST: self._lose_disk,
            ROLL: self._roll,
            LEADERS: self._move_leaders,
        }

    def strike(self, blow: Blow) -> None:
        """Once every copy is in sync: two faults at a time are more than three copies bear."""
        until(self._in_sync, "all copies to be in sync")
        self._strikes[blow.kind](blow, Random(blow.seed))

    def _kill(self, blow: Blow, rng: Random) -> None:
        node = rng.choice(self._cluster.nodes)
        node.kill()
        time.sleep(blow.seconds)
        node.start()

    def _freeze(self, blow: Blow, rng: Random) -> None:
        node = rng.choice(self._cluster.nodes)
        node.freeze()
        time.sleep(blow.seconds)
        node.thaw()

    def _lose_disk(self, blow: Blow, rng: Random) -> None:
        node = rng.choice(self._cluster.nodes)
        node.kill()
        node.wipe()
        time.sleep(blow.seconds)
        node.start()

    def _roll(self, _: Blow, __: Random) -> None:
        for node in self._cluster.nodes:
            until(self._in_sync, "all copies to be in sync")
            node.stop()
            node.start()

    def _move_leaders(self, _: Blow, rng: Random) -> None:
        """Away from one node as it stops, and back to where they belong: see `QUICK_LEADERS`."""
        node = rng.choice(self._cluster.nodes)
        node.stop()
        node.start()
        until(self._leads_as_preferred, "the leaders to be back")

    def _leads_as_preferred(self) -> bool:
        listed = self._partitions()
        return listed is not None and all(part.leader == part.replicas[0] for part in listed)

    def _in_sync(self) -> bool:
        listed = self._partitions()
        return listed is not None and all(len(part.isrs) == len(part.replicas) for part in listed)

    def _partitions(self) -> list[PartitionMetadata] | None:
        try:
            listed = self._admin().list_topics(timeout=20).topics.values()
        except KafkaException:  # whom it asked is just going, or coming
            return None
        return [part for topic in listed for part in topic.partitions.values()]

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self._cluster.bootstrap_servers, "log_level": 0})


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition. Raises TimeoutError, saying what was waited for."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE_S:g} s for {what}")
        time.sleep(0.1)
