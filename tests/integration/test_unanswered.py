"""The first request of a transaction that is not answered is the last: a late one cannot end the transaction after.

The wire holds a request on its way and resets the connection that it came over, as a network may; aiokafka by itself
would send it again over another connection, under the same epoch (KAFKA-17754).
"""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from meter import topics
from meter.dedupe import MemorySeen
from meter.partition import Step
from meter.regions import ZONES
from meter.rules import Rules
from meter.state import PartitionState
from streams.engine.writer import PartitionWriter
from streams.errors import BrokerLostError
from streams.http.kafka import Log, Outgoing
from streams.http.problems import Problem
from streams.settings import Settings
from streams.transactional import transaction
from tests.integration.running import Meter, job, lines, until
from tests.integration.wire import ADD_PARTITIONS, END_TXN, PRODUCE, Wire

BROKER_LOST = 5


@pytest.fixture
def wire(kafka: str) -> Iterator[Wire]:
    with Wire(kafka) as wire:
        yield wire


@pytest.fixture
def meter(kafka: str, tmp_path: Path) -> Iterator[Meter]:
    with Meter(kafka, tmp_path, partitions=1) as meter:
        yield meter.create()


@pytest.fixture
def settings(meter: Meter, wire: Wire) -> Settings:
    return Settings(bootstrap_servers=wire.servers, topic_prefix=meter.prefix, app_id=meter.app_id)


def an_empty_step() -> Step:
    return Step(PartitionState(Rules(meter_id="m", partitions=1), 0), MemorySeen())


@pytest.mark.parametrize("kind", [END_TXN, ADD_PARTITIONS, PRODUCE], ids=["end", "partitions", "batch"])
async def test_a_step_is_over_with_the_first_request_that_is_not_answered(
    settings: Settings, wire: Wire, kind: int
) -> None:
    first, second = PartitionWriter(settings, 0), PartitionWriter(settings, 0)
    await first.start()
    held = wire.hold(kind)
    with pytest.raises(BrokerLostError, match=r"partition 0: Kafka's node . has not answered .* is not known"):
        await first.publish(first.batches(an_empty_step()))
    assert held.caught.is_set()
    await first.stop()

    await second.start()
    await asyncio.to_thread(held.deliver)
    await second.publish(second.batches(an_empty_step()))
    await second.stop()


async def test_what_was_held_does_not_end_the_next_transaction(settings: Settings, wire: Wire, meter: Meter) -> None:
    """As the next one stands half sent: it is committed as a whole, and not by the one that comes late."""
    held = wire.hold(END_TXN)
    with pytest.raises(Exception, match="has not answered EndTxn"):
        async with transaction(settings, "t") as producer:
            await producer.send_and_wait(settings.topic(topics.COMMANDS), b"one", partition=0)
    async with transaction(settings, "t") as producer:
        await producer.send_and_wait(settings.topic(topics.COMMANDS), b"{}", partition=0)
        answer = await asyncio.to_thread(held.deliver)
        assert int.from_bytes(answer[4:6], "big") != 0
        await producer.send_and_wait(settings.topic(topics.COMPLETED), b"{}", partition=0)
    assert [meter.rows(name) for name in (topics.COMMANDS, topics.COMPLETED)] == [[{}], [{}]]


def test_a_worker_ends_and_the_next_one_settles_it(meter: Meter, wire: Wire) -> None:
    worker = meter.open_worker(bootstrap_servers=wire.servers)
    held = wire.hold(END_TXN)
    assert meter.run("submit", "-", given=lines(job(job_id="one"))).returncode == 0
    assert worker.ended() == BROKER_LOST
    (line,) = [line for line in worker.said().splitlines() if "[error" in line]
    assert "has not answered EndTxn" in line
    assert "start again, which settles it" in line
    assert "Traceback" not in worker.said()

    meter.open_worker(bootstrap_servers=wire.servers)
    held.deliver()
    meter.submit(job(job_id="two"))
    assert meter.counts()["priced"] == 2
    meter.verified()


async def test_the_api_drops_the_connection_and_says_that_it_does_not_know(
    settings: Settings, wire: Wire, meter: Meter
) -> None:
    def record(number: int) -> list[Outgoing]:
        return [Outgoing(topics.COMPLETED, 0, b"k", b'{"number":%d}' % number, int(time.time() * 1000))]

    async with Log(settings) as log:
        await log.commit(record(1))
        held = wire.hold(END_TXN)
        with pytest.raises(Problem, match="has not answered EndTxn") as problem:
            await log.commit(record(2))
        assert "Send the same again, with the same ids: it counts once" in str(problem.value)
        await asyncio.to_thread(until, lambda: not log.is_up, "the end of the connection")
        await asyncio.to_thread(until, lambda: log.is_up, "the next one")
        await asyncio.to_thread(held.deliver)
        await log.commit(record(3))
    numbers = [row["number"] for row in meter.rows(topics.COMPLETED)]
    assert numbers == [1, 3]


def test_a_command_to_all_partitions_says_that_it_may_count(meter: Meter, wire: Wire) -> None:
    meter.open_worker()
    held = wire.hold(END_TXN)
    prices = dict.fromkeys(ZONES, "0.30")
    book = json.dumps({"version": "v2", "effective_from": "2099-01-01", "prices": prices})
    done = meter.run("prices", "publish", "-", given=book, bootstrap_servers=wire.servers)
    assert done.returncode == 1
    assert "has not answered EndTxn" in done.stderr
    assert "which may count all the same; ask again with --command-id" in done.stderr
    until(held.caught.is_set, "the request to be held")


async def test_a_step_whose_batches_vanish_has_an_end(settings: Settings, wire: Wire) -> None:
    quick = settings.model_copy(update={"transaction_timeout_s": 1})
    writer = PartitionWriter(quick, 0)
    await writer.start()
    wire.swallow(PRODUCE)
    began = time.monotonic()
    with pytest.raises(BrokerLostError):
        await writer.publish(writer.batches(an_empty_step()))
    assert time.monotonic() - began < quick.publish_timeout_s + 3
    await writer.stop()
    assert time.monotonic() - began < quick.publish_timeout_s + 10
