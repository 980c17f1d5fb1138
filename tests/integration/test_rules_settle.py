"""Rules whose creation was acknowledged, but not written to its end before Kafka or the command ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

import streams.kafka.topics as made
from meter import topics
from meter.rules import Clock, Rules
from streams.kafka.options import client_options
from streams.kafka.rights import AUDITOR
from streams.kafka.topics import check, create, new_rules
from streams.settings import Settings
from tests.integration.running import Meter

RULES = new_rules(partitions=2, clock=Clock.SIMULATED)
MOMENT_S = 1.0


@pytest.fixture
async def settings(kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a meter whose topics are there, and its rules not yet."""

    async def nothing(settings: Settings, rules: Rules) -> None:
        pass

    meter = Meter(kafka, tmp_path)
    settings = Settings(bootstrap_servers=kafka, topic_prefix=meter.prefix, app_id=meter.app_id)
    with monkeypatch.context() as patched:
        patched.setattr(made, "_write_rules", nothing)
        await create(settings, RULES, 1)
    return settings


@asynccontextmanager
async def being_written(settings: Settings, transactional_id: str) -> AsyncIterator[AIOKafkaProducer]:
    """The rules are in a transaction that is open."""
    producer = AIOKafkaProducer(**client_options(settings), transactional_id=transactional_id)
    await producer.start()
    try:
        await producer.begin_transaction()
        for partition in range(RULES.partitions):
            value = RULES.model_dump_json().encode()
            await producer.send_and_wait(settings.topic(topics.JOURNAL), value, partition=partition)
        yield producer
    finally:
        await producer.stop()


async def test_rules_that_are_about_to_be_committed_are_the_rules(settings: Settings) -> None:
    async with being_written(settings, f"{settings.app_id}-another") as producer:
        looking = [
            asyncio.create_task(create(settings, new_rules(partitions=2), None)),
            asyncio.create_task(check(settings, AUDITOR)),
        ]
        await asyncio.wait(looking, timeout=MOMENT_S)
        await producer.commit_transaction()
        assert await asyncio.gather(*looking) == [(RULES, False), RULES]
    assert await create(settings, new_rules(partitions=2), None) == (RULES, False)


async def test_rules_of_a_creation_that_was_killed_are_none(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(made, "SETTLED_PATIENCE_S", MOMENT_S)
    rules = new_rules(partitions=2, clock=Clock.SIMULATED)
    async with being_written(settings, f"{settings.app_id}-topics"):
        assert await create(settings, rules, None) == (rules, True)
        assert await check(settings, AUDITOR) == rules
