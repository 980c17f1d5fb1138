"""A step of which only a part is committed, planted: opening refuses, verify and reconcile are red at once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from meter import topics
from meter.dedupe import MemoryDedupeIndex
from meter.fold import fold
from meter.records import Chunk
from meter.snapshot import StateReader
from meter.state import PartitionState
from meter.step import Step
from streams.engine.recovery import read_state
from streams.engine.torn import ends_of, rerouted_ends
from streams.engine.writer import PartitionWriter
from streams.errors import RefusalToStartError
from streams.kafka.clients import offsets, read_range, reader
from streams.kafka.rights import WORKER
from streams.kafka.same_log import identity_of
from streams.kafka.topics import check
from streams.proof import log
from streams.settings import Settings
from tests.integration.running import COMPLETED, Meter, value_of
from tests.recount.placement import owner

REFUSES = 3


@pytest.fixture(autouse=True)
def no_marker_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MARKERS_S", 0.3)


ACCOUNT = "A"
HOME = owner(ACCOUNT, 2)
ELSEWHERE = next(name for name in "BCDEFGH" if owner(name, 2) != HOME)


@pytest.fixture
def meter(kafka: str, tmp_path: Path) -> Iterator[Meter]:
    """A meter with a step on the one partition that is looked at, and records that are not folded."""
    with Meter(kafka, tmp_path) as meter:
        meter.create()
        give_records(meter)
        asyncio.run(commit_part(settings_of(meter), *EVERYTHING))
        give_records(meter)
        yield meter


def give_records(meter: Meter) -> None:
    values = value_of(account_id=ACCOUNT), value_of(account_id=ACCOUNT), b"junk", value_of(account_id=ELSEWHERE)
    meter.produce(COMPLETED, *({"value": value, "partition": HOME} for value in values))


def settings_of(meter: Meter) -> Settings:
    return Settings(bootstrap_servers=meter.bootstrap_servers, topic_prefix=meter.prefix, app_id=meter.app_id)


async def next_step(settings: Settings) -> tuple[PartitionWriter, Step]:
    """What the partition's next owner would put out, and its writer, started."""
    rules = await check(settings, WORKER)
    writer = PartitionWriter(settings, HOME)
    await writer.start()
    async with reader(settings) as consumer:
        snapshot = StateReader(PartitionState(rules, HOME))
        name = settings.topic(topics.STATE)
        async for records in read_range(consumer, name, HOME, *await offsets(consumer, name, HOME)):
            for record in records:
                snapshot.read(record.key, record.value)
        step = Step(snapshot.finish(), MemoryDedupeIndex())
        start, name = step.changes.position.next[COMPLETED], settings.topic(COMPLETED)
        _, end = await offsets(consumer, name, HOME)
        found = [record async for records in read_range(consumer, name, HOME, start, end) for record in records]
        fold(step, Chunk(COMPLETED, start, end, found))
        writer.stand_at(await ends_of(consumer, settings, HOME), await rerouted_ends(consumer, settings, 2))
    return writer, step


async def commit_part(settings: Settings, *names: str) -> None:
    """The part of the next step that goes to these topics: committed, the rest never sent."""
    writer, step = await next_step(settings)
    outputs = writer.batches(step)
    assert {output.topic for output in outputs} == EVERYTHING
    await writer.publish([output for output in outputs if output.topic in names])
    await writer.stop()


async def opened(settings: Settings) -> PartitionState:
    """What an owner does first."""
    async with reader(settings) as consumer:
        rules, identity = await check(settings, WORKER), await identity_of(consumer, settings)
        state = PartitionState(rules, HOME)
        await read_state(consumer, settings, state, identity)
        return state


EVERYTHING = {topics.PRICED, topics.DAILY, topics.REJECTED, topics.REROUTED, topics.JOURNAL, topics.STATE}
OTHERS = {topics.DAILY, topics.REJECTED, topics.REROUTED}


def test_a_whole_step_is_no_torn_one(meter: Meter) -> None:
    asyncio.run(commit_part(settings_of(meter), *EVERYTHING))
    assert asyncio.run(opened(settings_of(meter))).position.seq == 2
    worker = meter.open_worker()
    meter.wait_folded()
    meter.verified()
    assert meter.run("reconcile").returncode == 0
    assert worker.stop() == 0


@pytest.mark.parametrize(
    "part",
    [
        *({topic} for topic in sorted(EVERYTHING - {topics.REROUTED})),
        *(EVERYTHING - {topic} for topic in sorted(EVERYTHING)),
        OTHERS,
        {*OTHERS, topics.PRICED},
        {topics.JOURNAL, topics.STATE},
    ],
    ids=lambda part: ", ".join(sorted(part)),
)
def test_a_part_of_a_step_is_refused_and_red(meter: Meter, part: set[str]) -> None:
    """But for records that were sent on alone: they are jobs that come in twice, and duplicates."""
    asyncio.run(commit_part(settings_of(meter), *part))
    with pytest.raises(RefusalToStartError, match=f"partition {HOME}: a step is torn: "):
        asyncio.run(opened(settings_of(meter)))
    verified, reconciled = meter.run("verify"), meter.run("reconcile")
    assert (verified.returncode, reconciled.returncode) == (1, 1), verified.stdout
    assert f"partition {HOME}: a step is torn: " in reconciled.stderr


def test_a_worker_refuses_to_start_and_says_where(meter: Meter) -> None:
    asyncio.run(commit_part(settings_of(meter), topics.PRICED))
    worker = meter.worker()
    assert worker.ended() == REFUSES
    (line,) = [line for line in worker.said().splitlines() if "[error" in line]
    assert f"partition {HOME}: a step is torn: usage.priced holds 4 from 0 on, the journal counts 2. Let no" in line


def test_a_part_of_the_first_step_of_all_is_refused_and_red(kafka: str, tmp_path: Path) -> None:
    with Meter(kafka, tmp_path) as meter:
        meter.create()
        give_records(meter)
        asyncio.run(commit_part(settings_of(meter), topics.JOURNAL))
        with pytest.raises(RefusalToStartError, match="holds no state"):
            asyncio.run(opened(settings_of(meter)))
        for command in ("verify", "reconcile"):
            done = meter.run(command)
            said = done.stdout + done.stderr
            assert (done.returncode, "has step 1, meter.state none" in said) == (1, True), said


def test_records_of_another_hand_behind_the_last_step_are_refused(meter: Meter) -> None:
    meter.produce(topics.LEDGER, {"value": b"{}", "partition": HOME})
    with pytest.raises(RefusalToStartError, match=r"billing\.ledger holds 1 from 0 on, the journal counts 0"):
        asyncio.run(opened(settings_of(meter)))
