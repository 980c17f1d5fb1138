"""The first request of a transaction that is not answered is the last: a late one cannot end the transaction after.

The wire holds a request on its way and resets the connection that it came over, as a network may; aiokafka by itself
would send it again over another connection, under the same epoch (KAFKA-17754). On three brokers, since a step's
topics have different leaders there: what comes late can commit a half of it.
"""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from meter import topics
from meter.dedupe import MemoryDedupeIndex
from meter.regions import ZONES
from meter.rules import Rules
from meter.state import PartitionState
from meter.step import Step
from streams.engine.torn import OWN
from streams.engine.writer import OutputBatch, PartitionWriter
from streams.errors import BrokerLostError
from streams.http.commits import Outgoing
from streams.http.kafka import KafkaConnection
from streams.http.problems import Problem
from streams.kafka.transactional import TransactionalProducer, UnansweredError, start, stop, transaction
from streams.settings import Settings
from tests.client_internals import coordinators
from tests.integration.running import Meter, job, lines, until
from tests.open_kafka import OpenCluster
from tests.wire import HeldDoor, Wire, extras
from tests.wire.frames import ADD_PARTITIONS_TO_TXN, END_TXN, PRODUCE

BROKER_LOST = 5


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        yield wire


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, wire: Wire) -> Iterator[OpenCluster]:
    with OpenCluster(tmp_path_factory.mktemp("three"), extras=extras(wire)) as cluster:
        yield cluster


@pytest.fixture
def meter(cluster: OpenCluster, wire: Wire, tmp_path: Path) -> Iterator[Meter]:
    with Meter(cluster.bootstrap_servers, tmp_path, partitions=1) as meter:
        yield meter.create("--replication", "3")
    wire.heal()


@pytest.fixture
def settings(meter: Meter, wire: Wire) -> Settings:
    return Settings(bootstrap_servers=wire.bootstrap_servers, topic_prefix=meter.prefix, app_id=meter.app_id)


def an_empty_step() -> Step:
    return Step(PartitionState(Rules(meter_id="m", partitions=1), 0), MemoryDedupeIndex())


async def arrives(held: HeldDoor) -> bytes:
    """What was held goes on to its node; the answer, which nobody is there for."""
    held.release()
    return await asyncio.to_thread(held.answer)


def lose(held: HeldDoor) -> None:
    """When it comes: it stays on its way, and its client is told that the connection is gone."""
    held.wait()
    held.reset_client()


@pytest.mark.parametrize("kind", [END_TXN, ADD_PARTITIONS_TO_TXN, PRODUCE], ids=["end", "partitions", "batch"])
async def test_a_step_is_over_with_the_first_request_that_is_not_answered(
    settings: Settings, wire: Wire, kind: int
) -> None:
    first, second = PartitionWriter(settings, 0), PartitionWriter(settings, 0)
    await first.start()
    held = wire.hold(kind)
    lost = asyncio.create_task(asyncio.to_thread(lose, held))
    with pytest.raises(BrokerLostError, match=r"partition 0: Kafka's node . has not answered .* is not known"):
        await first.publish(first.batches(an_empty_step()))
    await lost
    await first.stop()

    await second.start()
    await arrives(held)
    await second.publish(second.batches(an_empty_step()))
    await second.stop()


async def test_what_comes_late_commits_no_half_of_the_next_transaction(
    settings: Settings, wire: Wire, meter: Meter
) -> None:
    """It is delivered as the next one stands half sent. Whatever becomes of that one becomes of all of it."""
    producer = TransactionalProducer(settings, "t")
    await start(producer, 30)
    held = wire.hold(END_TXN)
    lost = asyncio.create_task(asyncio.to_thread(lose, held))
    await producer.begin_transaction()
    await producer.send_and_wait(settings.topic(topics.REROUTED), b"{}", partition=0)
    try:
        await producer.commit_transaction()
    except UnansweredError:
        await stop(producer)
        producer = TransactionalProducer(settings, "t")
        await start(producer, 30)
    await lost

    await producer.begin_transaction()
    await producer.send_and_wait(settings.topic(topics.COMMANDS), b"{}", partition=0)
    await arrives(held)
    with suppress(KafkaError):
        await producer.send_and_wait(settings.topic(topics.COMPLETED), b"{}", partition=0)
        await producer.commit_transaction()
    await stop(producer)
    async with transaction(settings, "t"):
        pass  # whatever was left open is ended
    assert [len(meter.rows(name)) for name in (topics.COMMANDS, topics.COMPLETED)] in ([0, 0], [1, 1])


def test_a_worker_ends_and_the_next_one_settles_it(meter: Meter, wire: Wire) -> None:
    worker = meter.open_worker(bootstrap_servers=wire.bootstrap_servers)
    held = wire.hold(END_TXN)
    assert meter.run("submit", "-", given=lines(job(job_id="one"))).returncode == 0
    lose(held)
    assert worker.ended() == BROKER_LOST
    (line,) = [line for line in worker.said().splitlines() if "[error" in line]
    assert "has not answered EndTxn" in line
    assert "start again, which settles it" in line
    assert "Traceback" not in worker.said()

    meter.open_worker(bootstrap_servers=wire.bootstrap_servers)
    held.release()
    meter.submit(job(job_id="two"))
    assert meter.counts()["priced"] == 2
    meter.verified()


async def test_the_api_drops_the_connection_and_says_that_it_does_not_know(
    settings: Settings, wire: Wire, meter: Meter
) -> None:
    def record(number: int) -> list[Outgoing]:
        return [Outgoing(topics.COMPLETED, 0, b"k", b'{"number":%d}' % number, int(time.time() * 1000))]

    async with KafkaConnection(settings) as log:
        await log.commit(record(1))
        held = wire.hold(END_TXN)
        lost = asyncio.create_task(asyncio.to_thread(lose, held))
        with pytest.raises(Problem, match="has not answered EndTxn") as problem:
            await log.commit(record(2))
        await lost
        assert "Send the same again, with the same ids: it counts once" in str(problem.value)
        await asyncio.to_thread(until, lambda: not log.is_up, "the end of the connection")
        await asyncio.to_thread(until, lambda: log.is_up, "the next one")
        await arrives(held)
        await log.commit(record(3))
    # A reader sees a transaction a moment after its commit has returned.
    await asyncio.to_thread(until, lambda: len(meter.rows(topics.COMPLETED)) == 2, "the records")
    assert [row["number"] for row in meter.rows(topics.COMPLETED)] == [1, 3]


def test_a_command_to_all_partitions_says_that_it_may_count(meter: Meter, wire: Wire) -> None:
    held = wire.hold(END_TXN)
    losing = threading.Thread(target=lose, args=[held])
    losing.start()
    book = json.dumps({"version": "v2", "effective_from": "2099-01-01", "prices": dict.fromkeys(ZONES, "0.30")})
    done = meter.run("prices", "publish", "-", given=book, bootstrap_servers=wire.bootstrap_servers)
    losing.join()
    assert done.returncode == 1
    assert "has not answered EndTxn" in done.stderr
    assert "which may count all the same; ask again with --command-id" in done.stderr


def on_every_output(writer: PartitionWriter) -> Iterator[OutputBatch]:
    for topic in OWN:
        batch = writer.producer.create_batch()
        batch.append(timestamp=None, key=b"k", value=b"")
        batch.close()
        yield OutputBatch(topic, 0, 1, batch)


async def test_a_step_whose_packets_to_a_leader_vanish_has_an_end(settings: Settings, wire: Wire) -> None:
    """The leader of some output, and not the coordinator: the client itself would try again without end."""
    quick = settings.model_copy(update={"transaction_timeout_s": 1})
    writer = PartitionWriter(quick, 0)
    await writer.start()
    await writer.publish([*on_every_output(writer)])
    cluster = writer.producer.client.cluster
    leaders = {cluster.leader_for_partition(TopicPartition(settings.topic(topic), 0)) for topic in OWN}
    leader = min(leaders - coordinators(writer.producer))
    wire.door(leader).cut(requests=True, answers=True)
    began = time.monotonic()
    with pytest.raises(BrokerLostError):
        await writer.publish([*on_every_output(writer)])
    assert time.monotonic() - began < quick.publish_timeout_s + 3
    await writer.stop()
    assert time.monotonic() - began < quick.publish_timeout_s + 10
