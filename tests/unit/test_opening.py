"""A partition that is opened while others are at work: what they do meanwhile is no fault of the log's."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced
from faust.types import TP

from meter import topics
from meter.identity import Identity, Seal
from meter.journal import InputRange, JournalStep
from meter.published import Before
from meter.records import ORIGIN_HEADER
from meter.rules import Rules
from meter.snapshot import BEFORE, POSITION
from meter.state import PartitionState
from streams.engine import app as apps
from streams.engine import opening, recovery, standby, torn
from streams.engine.assignment import Assignment
from streams.engine.clocks import MachineClock, Movement
from streams.engine.disk_index import DiskIndex, index_directory, index_is_in_use, saved_positions
from streams.engine.limits import Limits
from streams.engine.opening import Opener
from streams.engine.owner import PartitionOwner
from streams.engine.owners import Owners
from streams.engine.readings import Readings
from streams.engine.standby import Standbys
from streams.engine.steps import OpenPartition
from streams.engine.writer import PartitionWriter
from streams.errors import BrokerLostError, NoRoomError, RefusalToStartError
from streams.kafka import clients as kafka
from streams.kafka.transactional import UnansweredError
from streams.observe.metrics import Metrics
from streams.settings import Settings
from tests.builders import Input
from tests.client_internals import is_closed
from tests.owning import SlowSave

RULES = Rules(meter_id="m", partitions=1)
IDENTITY = Identity("c", {})
#: A step of one job, which it has sent on to partition 1, where the log ended at 9.
STEP = JournalStep(
    seq=7, record_time=0, inputs=(InputRange(topic=topics.COMPLETED, start=40, next=41),), meter_version="x", read=1,
    priced=0, rejected=0, rerouted=1, commands=0, daily=0, bills=0, notes=0, entries=0, notices=0, services=0,
)  # fmt: skip
SENT_ON = TopicPartition(topics.REROUTED, 1)


class AnotherHasOpened(PartitionWriter):
    """The partition's producer, without a Kafka; another one may have been started since."""

    is_newest = False

    async def start(self) -> None:
        """It has."""

    async def see_that_it_is_the_newest(self) -> None:
        if not self.is_newest:
            raise ProducerFenced


class IsTheNewest(AnotherHasOpened):
    is_newest = True


def an_opener(path: Path, writer: type[PartitionWriter] = IsTheNewest) -> Opener:
    clock = MachineClock()
    return Opener(Settings(data_dir=path), RULES, lambda _: {}, Metrics(), clock, Limits(), writer)


@pytest.mark.parametrize(("writer", "error"), [(IsTheNewest, RefusalToStartError), (AnotherHasOpened, ProducerFenced)])
async def test_a_log_that_another_owner_has_gone_on_with_is_not_refused_but_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, writer: type[PartitionWriter], error: type[Exception]
) -> None:
    @asynccontextmanager
    async def no_reader(*arguments: Any) -> AsyncIterator[None]:
        yield None

    async def hangs(*arguments: Any) -> None:
        raise RefusalToStartError("a step is torn")

    monkeypatch.setattr(opening, "reader", no_reader)
    monkeypatch.setattr(opening, "close_what_hangs", hangs)
    with pytest.raises(error):
        async with AsyncExitStack() as closing:
            await an_opener(tmp_path, writer).open(0, Movement(MachineClock()), closing)


class SentOn:
    """`recognition.jobs.rerouted` as it is each time that somebody looks: where it ends, and where for all to read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, looks: list[tuple[int, int]]) -> None:
        self.looks, self.last = looks, 0
        origin = b'{"topic": "recognition.jobs.completed", "partition": 0, "offset": 40}'
        self.record = Input(11, 0, b"A", b"{}", ((ORIGIN_HEADER, origin),))
        monkeypatch.setattr(torn, "_behind", self.behind)
        monkeypatch.setattr(torn, "_are_held", self.are_held)
        monkeypatch.setattr(torn, "LOOK_S", 0.001)
        monkeypatch.setattr(torn, "HELD_S", 0.05)

    async def behind(self, consumer: Any, places: Mapping[TopicPartition, int]) -> tuple[Any, Any, Any]:
        stable, self.last = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return set(), {SENT_ON: stable}, {SENT_ON: [self.record] if stable > self.record.offset else []}

    async def are_held(self, settings: Settings, ends: Mapping[TopicPartition, int]) -> bool:
        return any(self.last > end for end in ends.values())


@pytest.mark.parametrize(
    ("looks", "found"),
    [
        ([(13, 13)], 1),
        ([(10, 13), (10, 14), (14, 14)], 1),  # another partition's step was about to be committed
        ([(10, 13)], None),  # and one whose worker was killed stays open for a while
        ([(10, 10)], 0),
    ],
)
async def test_what_others_have_not_committed_yet_hides_no_part_of_a_step(
    monkeypatch: pytest.MonkeyPatch, looks: list[tuple[int, int]], found: int | None
) -> None:
    SentOn(monkeypatch, looks)
    assert await torn.sent_on(None, Settings(), 0, STEP, {1: 9}) == found


async def test_a_partition_whose_state_is_read_moves_with_each_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def offsets(*arguments: Any) -> tuple[int, int]:
        return 0, 2

    async def read_range(*arguments: Any) -> AsyncIterator[list[Input]]:
        yield []
        yield []

    async def nothing(*arguments: Any) -> AsyncIterator[str]:
        for each in tuple[str, ...]():
            yield each

    async def no_outputs(*arguments: Any) -> None:
        """There are none."""

    monkeypatch.setattr(recovery, "offsets", offsets)
    monkeypatch.setattr(recovery, "read_range", read_range)
    monkeypatch.setattr(recovery, "other_records", nothing)
    monkeypatch.setattr(recovery, "_refuse_outputs_without_state", no_outputs)
    moves: list[None] = []
    state = PartitionState(RULES, 0)
    await recovery.read_state(None, Settings(), state, IDENTITY, moved=lambda: moves.append(None))
    assert len(moves) == 2


class Standby:
    """The standbys of a worker, with an index on this machine's disk and no Kafka to bring it up from."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path, bring_up: Callable[..., Any]) -> None:
        @asynccontextmanager
        async def no_reader(*arguments: Any) -> AsyncIterator[None]:
            yield None

        async def identity() -> Identity:
            return IDENTITY

        async def settled_until(*arguments: Any) -> int:
            return 0

        self.settings = Settings(data_dir=path)
        self.directory = index_directory(self.settings)
        self.failures: list[BaseException] = []
        monkeypatch.setattr(standby, "reader", no_reader)
        self.all = Standbys(self.settings, RULES, identity, self.failures.append)
        monkeypatch.setattr(self.all, "settled_until", settled_until)
        monkeypatch.setattr(self.all, "bring_up", bring_up)


async def test_a_standby_that_is_to_end_twice_has_its_index_on_disk_before_it_is_let_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The assignment ends it, and then the owner of the same partition waits for it."""
    is_up, disk_answers = asyncio.Event(), threading.Event()

    async def bring_up(consumer: Any, state: Any, seen: DiskIndex) -> None:
        saving = seen.saving
        monkeypatch.setattr(seen, "saving", lambda: SlowSave(saving(), disk_answers))
        is_up.set()
        await asyncio.Event().wait()

    kept = Standby(monkeypatch, tmp_path, bring_up)
    kept.all.keep(frozenset({0}))
    await is_up.wait()
    kept.all.keep(frozenset())
    await asyncio.sleep(0)
    released = asyncio.ensure_future(kept.all.release(0))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not released.done()
    disk_answers.set()
    await released
    assert not index_is_in_use(kept.directory, 0)
    assert saved_positions(kept.directory) == {0: 0}
    assert kept.failures == []


class FullDisk:
    """Takes no index."""

    def run(self) -> None:
        raise NoRoomError("no room")


async def test_a_standby_without_room_ends_nothing_that_is_metered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def bring_up(consumer: Any, state: Any, seen: DiskIndex) -> None:
        monkeypatch.setattr(seen, "saving", FullDisk)
        raise NoRoomError("no room")

    kept = Standby(monkeypatch, tmp_path, bring_up)
    kept.all.keep(frozenset({0}))
    await asyncio.wait_for(kept.all.ended(), 10)
    assert kept.failures == []
    assert kept.all.kept == set()
    assert not index_is_in_use(kept.directory, 0)


class NoReader:
    """Reads nothing."""

    async def read(self, positions: Mapping[TP, int], reading: int) -> None:
        raise AssertionError("nothing is open")

    async def read_no_more(self, tps: Iterable[TP]) -> None:
        """Nothing is read."""


class Unanswered:
    """Opens no partition: Kafka does not answer."""

    async def open(self, *arguments: Any) -> OpenPartition:
        raise BrokerLostError("whether it was done is not known") from UnansweredError("EndTxn")


async def test_an_answer_that_does_not_come_is_nobody_who_takes_over() -> None:
    """The worker ends at once, and does not wait for the group to take the partition away."""
    failures: list[BaseException] = []
    failed = asyncio.Event()

    def fail(error: BaseException) -> None:
        failures.append(error)
        assignment.give_up()
        failed.set()

    async def identity() -> Identity:
        return IDENTITY

    def no_owner(*arguments: Any) -> PartitionOwner:
        raise AssertionError("nothing is open")

    settings, clock = Settings(), MachineClock()
    assignment, standbys = Assignment(settings, clock), Standbys(settings, RULES, identity, fail)
    made = Owners(assignment, Unanswered(), no_owner, Readings(settings, NoReader()), standbys, fail, clock)
    made.assign({TP(topic, 0) for topic in topics.INPUTS}, 1)
    await asyncio.wait_for(failed.wait(), settings.session_timeout_s / 2)
    await made.release_all()
    assert [type(each) for each in failures] == [BrokerLostError]


async def test_a_worker_whose_watch_has_ended_ends() -> None:
    """Nothing would be settled any more, and nobody told of it."""

    class EndedError(Exception):
        """The process has ended."""

    def fail(error: BaseException) -> None:
        raise EndedError from error

    async def start() -> None:
        """It has."""

    async def watch() -> None:
        raise LookupError("what nobody thought of")

    engine = SimpleNamespace(guards=SimpleNamespace(run=watch))
    app: Any = SimpleNamespace(engine=engine, start=start, wait_for_crash=asyncio.Event().wait, crash_reason=None)
    with pytest.raises(EndedError) as ended:
        await asyncio.wait_for(apps.stop_when(app, asyncio.Event(), fail), 5)
    assert isinstance(ended.value.__cause__, LookupError)


async def test_a_reader_that_is_given_up_while_it_starts_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Noted(kafka.Reader):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            made.append(self)

    async def read() -> None:
        async with kafka.reader(Settings(bootstrap_servers=f"127.0.0.1:{port}")):
            raise AssertionError("nobody answers")

    called = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []

    def answer_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        called.set()

    server = await asyncio.start_server(answer_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setattr(kafka, "Reader", Noted)
    reading = asyncio.ensure_future(read())
    await called.wait()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    for writer in writers:
        writer.close()
    server.close()
    assert [is_closed(each) for each in made] == [True]


async def test_an_index_whose_opening_is_cut_short_is_saved_as_far_as_it_came(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    is_reading = asyncio.Event()

    async def catch_up(consumer: Any, settings: Any, state: Any, seen: DiskIndex, *rest: Any, **options: Any) -> int:
        seen.priced_next, seen.below = 5, Seal(4, 0, "x")
        is_reading.set()
        await asyncio.Event().wait()
        return 0

    monkeypatch.setattr(opening, "catch_up", catch_up)
    state, progress = PartitionState(RULES, 0), Movement(MachineClock())
    async with AsyncExitStack() as closing:
        work = an_opener(tmp_path).open_index(None, state, IDENTITY, progress, closing)
        opened = asyncio.ensure_future(work)
        await is_reading.wait()
        opened.cancel()
        await asyncio.gather(opened, return_exceptions=True)
    directory = index_directory(Settings(data_dir=tmp_path))
    assert saved_positions(directory) == {0: 5}
    assert not index_is_in_use(directory, 0)


async def test_a_standby_whose_index_another_worker_has_open_asks_kafka_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_reader(*arguments: Any) -> None:
        raise AssertionError("it has asked")

    async def bring_up(*arguments: Any) -> None:
        """Not come to."""

    kept = Standby(monkeypatch, tmp_path, bring_up)
    seen = DiskIndex.open(kept.directory, 0, RULES.meter_id, "log")
    seen.save()
    monkeypatch.setattr(standby, "reader", no_reader)
    await kept.all.follow(0, anew=False)
    seen.close()


async def test_the_last_step_is_found_however_long_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """What leads it lies further back than what was read at first."""
    keys = [BEFORE, *(b'["command", "%d"]' % each for each in range(20)), POSITION]
    before = b"[{}, {}, 21, 0]"
    values = {BEFORE: before, POSITION: b'{"seq": 7}'}
    records = [Input(at, 0, key, values.get(key, b""), ()) for at, key in enumerate(keys)]

    async def offsets(*arguments: Any) -> tuple[int, int]:
        return 0, len(records)

    async def read_ranges(consumer: Any, starts: Mapping[TopicPartition, int], ends: Any) -> dict[TopicPartition, Any]:
        return {tp: records[start:] for tp, start in starts.items()}

    monkeypatch.setattr(torn, "offsets", offsets)
    monkeypatch.setattr(torn, "read_ranges", read_ranges)
    monkeypatch.setattr(torn, "TAIL", 5)
    last, _ = await torn.last_step(None, Settings(), 0)
    assert last is not None
    assert last.before == Before({}, {}, 21, 0)


def test_an_id_that_is_not_told_for_a_moment_is_not_forgotten() -> None:
    known = Identity("c", {"a": "1", "b": "2"})
    assert Identity("c", {"a": "1"}).beside(known) == known
    assert Identity("c", {"a": "3"}).beside(known).topics == {"a": "3", "b": "2"}
    assert Identity("c", {"a": "1"}).beside(None).topics == {"a": "1"}


@pytest.mark.parametrize(("generation", "doubts"), [(7, False), (8, False), (9, True), (1, True)])
def test_a_group_that_went_on_or_was_made_anew_without_this_worker_leaves_its_partitions_in_doubt(
    generation: int, doubts: bool
) -> None:
    inputs = {TP(topic, 0) for topic in topics.INPUTS}
    assignment = Assignment(Settings(), MachineClock())
    for given in (*range(1, 8), generation):
        assignment.give(inputs, given, held={0})
    assert (0 in assignment.doubtful) is doubts
