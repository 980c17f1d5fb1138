"""The embedded Kafka is not stopped while it ends a transaction: it would forget what the commit means."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import NewTopic

from streams.broker import EmbeddedBroker, process
from streams.broker.connect import embedded
from streams.broker.transactions import wait_for_ends
from streams.kafka.clients import admin, reader
from streams.kafka.transactional import transaction
from streams.settings import Settings

#: Each takes a marker.
PARTITIONS = 300
PLACES = [TopicPartition("t", partition) for partition in range(PARTITIONS)]


async def commit(settings: Settings) -> None:
    async with admin(settings) as client:
        await client.create_topics([NewTopic("t", PARTITIONS, 1)])
    async with transaction(settings, "tx") as producer:
        sends = [await producer.send("t", b"x", partition=place.partition) for place in PLACES]
        await asyncio.gather(*sends)


async def still_open(settings: Settings) -> set[int]:
    async with (
        reader(settings, ["t"]) as committed,
        reader(settings, ["t"], isolation_level="read_uncommitted") as all_,
    ):
        stable, last = await committed.end_offsets(PLACES), await all_.end_offsets(PLACES)
    return {place.partition for place in PLACES if stable[place] < last[place]}


def test_a_stop_waits_until_what_was_committed_is_so_on_every_partition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[bool] = []
    monkeypatch.setattr(process, "wait_for_ends", lambda port, secret: ended.append(wait_for_ends(port, secret)))
    with EmbeddedBroker(tmp_path) as address:
        settings = embedded(Settings(data_dir=tmp_path), address.bootstrap_servers, address.secret)
        port = int(address.bootstrap_servers.rpartition(":")[2])
        asyncio.run(commit(settings))
        assert wait_for_ends(port, address.secret)
        assert asyncio.run(still_open(settings)) == set()
        assert not wait_for_ends(port, "another secret")
    assert ended == [True]  # asked by the stop, while it still answered
    assert not wait_for_ends(port, address.secret)
