"""One partition's owner: opens it, queues its chunks, folds and commits them, one step at a time.

The order, stated once:

1. The partition's transactional producer starts: the former owner is fenced, what it left open is settled. What Kafka
   itself has left without an end is aborted: see `hanging.py`.
2. Only then the state is read back, committed records only, up to an end taken after fencing; the log is checked
   against it; the dedupe index is brought up from `usage.priced`.
3. The consumer is seeked to the state's positions and nowhere else.
4. A step does a slice of what is due, if anything may be done yet (see `due.py`), takes chunks from the queue, commands
   first, folds them, sends everything in one transaction, awaits every send, and commits. Then, and only then, its
   changes become part of the state.
5. A slice is small, so that intake never stalls, and shares the step's transaction, which costs more than the slice.
6. Any error or unknown outcome ends the process. Restart is the only recovery path.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from operator import attrgetter

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from meter import topics
from meter.dedupe import needed_since
from meter.fold import fold
from meter.identity import Identity, Seal, checksum
from meter.records import Chunk, HoleError
from meter.rules import Clock, Rules
from meter.settle import run_due
from meter.state import PartitionState
from meter.step import Step
from streams.engine.due import DueGate, Pace, StampGate, TakeEnds, blocks
from streams.engine.hanging import close_what_hangs, end_what_was_sent_on
from streams.engine.held import InputEnd
from streams.engine.recovery import OtherLogError, catch_up, read_state
from streams.engine.seen import DiskSeen, Saving, index_directory, index_is_in_use, log_id
from streams.engine.sums import Sums
from streams.engine.table import PartitionTotals
from streams.engine.torn import ends_of, rerouted_ends
from streams.engine.writer import Output, PartitionWriter
from streams.errors import MeterError, RefusalToStartError
from streams.kafka import offsets, reader
from streams.observe.metrics import Metrics
from streams.samelog import identity_of
from streams.settings import Settings

log = structlog.get_logger(__name__)

_timestamp = attrgetter("timestamp")

#: Records of one step. Larger steps are cheaper, smaller ones are quicker.
STEP_RECORDS = 8_000
#: An input with more than this in its queue is not fetched. Each by itself: completions may have to wait for commands.
QUEUE_RECORDS = 2 * STEP_RECORDS
#: Small steps of a partition begin at least so far apart: the broker's work for a transaction is most of their cost.
STEP_INTERVAL_S = 0.03
#: How long completions go on without the commands having been read to their end: a price takes effect no sooner.
COMMANDS_SILENCE_S = 3_600.0
#: How soon to look again when they wait.
COMMANDS_RETRY_S = 0.25
#: How soon to ask the broker for the time again while intake is paused.
PAUSED_RETRY_S = 2.0
SAY_EVERY_S = 60.0
#: How long to wait for an index that another worker of this machine still holds, before one is made anew beside it.
INDEX_PATIENCE_S = 3.0
INDEX_RETRY_S = 0.05
#: How long a producer may take to close its connections.
WRITER_STOP_S = 5.0
#: Accounts whose totals are taken out of the table before others have the loop.
CLEARED_AT_ONCE = 1_000
#: How often the dedupe index is put on disk.
SAVE_INTERVAL_S = 15.0
#: One index at a time: they are mostly on one disk.
_SAVER = ThreadPoolExecutor(1, "dedupe-index")


class PartitionOwner:
    """See the module's docstring."""

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        partition: int,
        totals: PartitionTotals,
        metrics: Metrics,
        input_end: Callable[[str, int], InputEnd | None],
        take_ends: TakeEnds,
        pace: Pace,
    ) -> None:
        self.partition = partition
        self.state = PartitionState(rules, partition, totals)
        self.sums = Sums(self.state)
        self.is_open = False
        self.last_moved = time.monotonic()
        self._settings = settings
        self._rules = rules
        self._totals = totals
        self._metrics = metrics
        self._input_end = input_end
        self._gate = DueGate(take_ends)
        self._stamps = StampGate(self._gate.broker_time)
        self._latest_ms = 0  # of the records that are queued, and of some that were
        self._pace = pace
        self._writer = PartitionWriter(settings, partition)
        self._identity: Identity | None = None
        self._seen: DiskSeen | None = None
        self._queues: dict[str, deque[Chunk]] = {topic: deque() for topic in topics.INPUTS}
        #: Up to where each input was offered: the next position to read.
        self.expected: dict[str, int] = {}
        self._queued = dict.fromkeys(topics.INPUTS, 0)
        self._waits_since: float | None = None
        #: Whether what is queued may not be folded yet, for a reason that a restart would not change.
        self._waits = False
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._may_go_on = asyncio.Event()
        self._has_room = asyncio.Event()
        self._commands_end = 0
        self._commands_end_at: float | None = None
        self._saved_at = 0.0
        self._saving: set[asyncio.Task[None]] = set()
        self._said_at = -SAY_EVERY_S
        self._stepped_at = 0.0

    # -- opening and closing ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Steps 1 and 2 of the order. Raises RefusalToStartError where the log does not fit, ProducerFenced."""
        started = time.monotonic()
        await self._writer.start()
        try:
            seen, read = await self._recover()
        except RefusalToStartError:
            # Whoever has opened it since has gone on: what is open or new is theirs, and no fault of the log's.
            await self._writer.see_that_it_is_the_newest()
            raise
        self.sums = Sums(self.state)
        self.expected = dict(self.state.position.next)
        self._has_room.set()
        self.is_open = True
        self.last_moved = time.monotonic()
        # Not all partitions of a worker at a time: each save takes the disk for a moment.
        self._saved_at = self.last_moved - SAVE_INTERVAL_S * self.partition / self._rules.partitions
        took_s = time.monotonic() - started
        self._metrics.opened(self.partition, took_s)
        self._metrics.remembered(self.partition, len(seen), seen.size_bytes)
        log.info(
            "partition open",
            partition=self.partition,
            seq=self.state.position.seq,
            next=self.state.position.next[topics.COMPLETED],
            remembered=len(seen),
            caught_up=read,
            took_s=round(took_s, 3),
        )

    async def _recover(self) -> tuple[DiskSeen, int]:
        """Step 2: the dedupe index, and how many records it lacked. Raises RefusalToStartError."""
        settings, rules, writer = self._settings, self._rules, self._writer
        async with reader(settings, topics.ALL) as consumer:
            await close_what_hangs(consumer, settings, self.partition, rules.partitions, writer)
            identity = await identity_of(consumer, settings)
            self.state = await read_state(
                consumer, settings, rules, self.partition, self._totals, identity, moved=self._moved
            )
            self._identity = identity.beside(self.state.identity)
            await end_what_was_sent_on(consumer, settings, self.state, rules.partitions, writer)
            writer.stand_at(
                await ends_of(consumer, settings, self.partition),
                await rerouted_ends(consumer, settings, rules.partitions),
            )
            seen = await self._open_seen(consumer)
            self._commands_end = (await offsets(consumer, settings.topic(topics.COMMANDS), self.partition))[1]
        return seen

    async def _open_seen(self, consumer: AIOKafkaConsumer, *, anew: bool = False) -> tuple[DiskSeen, int]:
        """The dedupe index, brought up to date, and how many records that took; made anew where it is ahead."""
        assert self._identity is not None
        since_ms = needed_since(self.state.position.due_until, self._rules)
        directory, name = index_directory(self._settings), log_id(self._identity)
        patience = int(INDEX_PATIENCE_S / INDEX_RETRY_S)
        while patience and index_is_in_use(directory, self.partition):  # a worker beside this one is about to let go
            patience -= 1
            await asyncio.sleep(INDEX_RETRY_S)
        seen = await asyncio.to_thread(DiskSeen.open, directory, self.partition, self._rules.meter_id, name, anew=anew)
        seen.needed_since_ms = since_ms
        self._seen = seen  # from here on `close` saves what is true of it
        try:
            return seen, await catch_up(consumer, self._settings, self.state, seen, since_ms, moved=self._moved)
        except OtherLogError as error:
            log.warning("dedupe index made anew", partition=self.partition, reason=str(error))
            self._seen = None
            seen.close()
            return await self._open_seen(consumer, anew=True)

    def _moved(self) -> None:
        self.last_moved = time.monotonic()

    async def quiesce(self) -> None:
        """Wait for the step in flight, and forget what is queued: it is read again. No step begins until `go_on`."""
        self._may_go_on.clear()
        for queue in self._queues.values():
            queue.clear()
        self._queued = dict.fromkeys(topics.INPUTS, 0)
        self._latest_ms = 0
        self._gate.forget()
        await self._idle.wait()
        self.expected = dict(self.state.position.next)
        self._has_room.set()

    def go_on(self) -> None:
        """The inputs stand where they are to be read on: steps may be done."""
        self._may_go_on.set()

    def folded(self) -> dict[str, int]:
        """Up to where each input is folded and committed; markers behind the last record count as folded."""
        return self._covered() if self._idle.is_set() else dict(self.state.position.next)

    @property
    def should_move(self) -> bool:
        """Whether it is being opened, or in a step, or has records that wait for nothing but their step."""
        has_records = any(chunk.records for queue in self._queues.values() for chunk in queue)
        return not self.is_open or not self._idle.is_set() or (has_records and not self._waits)

    async def close(self) -> None:
        """Let the partition go: nothing of it stays behind in the table."""
        was_open, self.is_open = self.is_open, False
        with suppress(TimeoutError, KafkaError):  # what is open no more, or fenced, is not sent any more either
            await asyncio.wait_for(self._writer.stop(), WRITER_STOP_S)
        if self._seen is not None:
            await asyncio.gather(*self._saving)
            await self._save(self._seen.saving())
            self._seen.close()
        await self._clear_table(whole=not was_open)
        if was_open:
            self._metrics.closed(self.partition)

    async def _clear_table(self, *, whole: bool) -> None:
        """Take this partition's totals out of the table, which holds those of the others too.

        `whole`: look through the table, since the state was not read to its end.
        """
        if whole:
            for key in list(self._totals):
                del self._totals[key]
            return
        for count, (account_id, days) in enumerate(self.state.totals.used.items()):
            for region, day in days:
                self._totals.pop((account_id, region, day), None)
            if count % CLEARED_AT_ONCE == 0:
                await asyncio.sleep(0)

    # -- the queue -------------------------------------------------------------------------------------------

    def has_room(self, topic: str) -> bool:
        """Whether more of an input should be fetched."""
        return self.is_open and self._queued[topic] < QUEUE_RECORDS

    async def wait_for_room(self) -> None:
        """Wait until more of any input should be fetched."""
        await self._has_room.wait()

    def offer(self, chunk: Chunk) -> None:
        """Queue a chunk. What is below the expected position is trimmed; a hole above raises HoleError."""
        expected = self.expected[chunk.topic]
        if chunk.next <= expected:
            return
        if chunk.start > expected:
            raise HoleError(f"{chunk.topic}[{self.partition}]: expected position {expected}, fetched {chunk.start}")
        if chunk.start < expected:
            chunk = Chunk(chunk.topic, expected, chunk.next, [r for r in chunk.records if r.offset >= expected])
        self._queues[chunk.topic].append(chunk)
        self.expected[chunk.topic] = chunk.next
        self._queued[chunk.topic] += len(chunk.records)
        if not any(map(self.has_room, topics.INPUTS)):
            self._has_room.clear()
        if chunk.records:
            self._latest_ms = max(self._latest_ms, *map(_timestamp, chunk.records))
            if self._waits_since is None:  # it stood still for want of work
                self._waits_since = self.last_moved = time.monotonic()
            self._work.set()

    def _take(self) -> list[Chunk]:
        """The next step's chunks, in the order in which they are folded."""
        taken: list[Chunk] = []
        room = STEP_RECORDS
        for topic in topics.INPUTS:
            queue = self._queues[topic]
            if topic != topics.COMMANDS and not self._commands_are_current():
                break
            while queue and room > 0:
                chunk = queue.popleft()
                if len(chunk.records) > room:
                    chunk, rest = _split(chunk, room)
                    queue.appendleft(rest)
                taken.append(chunk)
                room -= len(chunk.records)
                self._queued[topic] -= len(chunk.records)
        if not any(self._queues.values()):
            self._latest_ms = 0
        if any(map(self.has_room, topics.INPUTS)):
            self._has_room.set()
        return taken

    def _commands_are_current(self) -> bool:
        """Whether commands were read to their end within the hour: completions wait until they are."""
        folded = (
            self._queues[topics.COMMANDS][0].start if self._queues[topics.COMMANDS] else self.expected[topics.COMMANDS]
        )
        if folded < self._commands_end:
            return False
        seen = self._input_end(topics.COMMANDS, self.partition)
        if seen is not None and folded >= seen.end:
            self._commands_end_at = seen.seen_at
        if self._commands_end_at is None:
            self._commands_end_at = time.monotonic()  # the end taken at opening
        return time.monotonic() - self._commands_end_at < COMMANDS_SILENCE_S

    # -- steps -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Fold and commit what is queued, until cancelled between steps. Any exception must end the process."""
        while True:
            await self._work.wait()
            await self._gather()
            await self._may_go_on.wait()
            self._idle.clear()
            try:
                await self._turn()
            finally:
                self._idle.set()
            # Let the others have the loop: a fold does not give way by itself.
            await asyncio.sleep(0)

    async def _gather(self) -> None:
        """Let a small step wait a little for company: what a transaction costs does not depend on its size."""
        pause_s = self._stepped_at + STEP_INTERVAL_S - time.monotonic()
        if pause_s > 0 and sum(self._queued.values()) < STEP_RECORDS // 4:
            await asyncio.sleep(pause_s)

    def _put_back(self, chunks: list[Chunk]) -> None:
        """Nothing to fold yet: empty ranges wait for the records that follow them."""
        for chunk in reversed(chunks):
            self._queues[chunk.topic].appendleft(chunk)
        self._work.clear()
        if any(chunk.records for queue in self._queues.values() for chunk in queue):
            self._waits = True
            self._say_that_completions_wait()
            asyncio.get_running_loop().call_later(COMMANDS_RETRY_S, self._work.set)

    def _look_again(self) -> None:
        """Nothing may be folded: something came in that is ahead of every clock, and is to be looked at first."""
        self._work.clear()
        asyncio.get_running_loop().call_later(PAUSED_RETRY_S if self._stamps.paused else 0, self._work.set)

    def _say_that_completions_wait(self) -> None:
        """Now and then: catching up with many commands is no fault, and takes a while."""
        now = time.monotonic()
        if now - self._said_at > SAY_EVERY_S:
            self._said_at = now
            log.warning("completions wait: commands are not read to their end", partition=self.partition)

    @property
    def settlement_is_paused(self) -> bool:
        """Whether what is due waits for the broker's clock and this machine's to agree."""
        return self._gate.paused

    @property
    def intake_is_paused(self) -> bool:
        """Whether records are stamped ahead of every clock, and nobody can tell which one is right."""
        return self._stamps.paused

    def look(self) -> None:
        """Time has passed: see whether something is due."""
        if self.is_open and (self._gate.time_is_unknown(self.state) or self._gate.is_due(self.state)):
            self._work.set()

    async def _turn(self) -> None:
        """One step, if there is anything to do. An empty one tells the time where nothing else has."""
        assert self._seen is not None
        if self._gate.time_is_unknown(self.state):
            await self._ask_the_time()
        not_after = await self._not_after()
        until_ms = await self._due_until()
        step = self._new_step(not_after)
        settles = until_ms is not None and await self._settle(step, until_ms)
        # What came in meanwhile is in this step, not in the next one.
        may_take = self._may_take(not_after)
        chunks = self._take() if may_take else []
        folds = any(chunk.records for chunk in chunks)
        waits_since = self._waits_since or time.monotonic()
        if folds:
            self._waits, self._waits_since = False, None
            self._fold(step, chunks)
        else:
            if may_take:
                self._put_back(chunks)
            else:
                self._waits = True
                self._look_again()
            if not settles:
                return
        outputs = self._writer.batches(step)
        await self._commit(step, outputs)
        if folds:
            self._stepped_at = self.last_moved
            self._stamps.say_refused(step.taken.ahead, self.partition)
            if settles:
                self._pace.waited(time.monotonic() - waits_since)
            self._metrics.delayed(oldest_ms=min(record.timestamp for chunk in chunks for record in chunk.records[:1]))

    def _new_step(self, not_after: int | None = None) -> Step:
        """A step; the first one notes which log the state is of."""
        assert self._seen is not None
        step = Step(self.state, self._seen, not_after=not_after)
        if self.state.identity != self._identity:
            step.changes.identity = self._identity
        return step

    async def _ask_the_time(self) -> None:
        """An empty step: its journal record bears the time of the broker."""
        empty = self._new_step()
        await self._commit(empty, self._writer.batches(empty))

    async def _not_after(self) -> int | None:
        """The record time after which this step is to refuse records, where there are any; intake may be paused."""
        if self._rules.clock is Clock.SIMULATED or not self._stamps.is_suspicious(self._latest_ms):
            return None
        if self._stamps.needs_the_time():
            await self._ask_the_time()
        return self._stamps.not_after(self._latest_ms, self.partition)

    def _may_take(self, not_after: int | None) -> bool:
        """Whether what is queued now has been looked at: something may have come in meanwhile."""
        if self._stamps.paused:
            return False
        if not_after is not None or self._rules.clock is Clock.SIMULATED:
            return True
        return not self._stamps.is_suspicious(self._latest_ms)

    async def _due_until(self) -> int | None:
        """The instant by which what is due may be done now, before anything more is folded."""
        if not self._gate.is_due(self.state):
            return None
        return await self._gate.until(self.state, self._covered())

    async def _settle(self, step: Step, until_ms: int) -> bool:
        """Do as much of what is due as may be done now, and come back for the rest."""
        async with self._pace.turn:
            allowed = self._pace.allowance()
            for actions in blocks(allowed):
                began = time.monotonic()
                done = run_due(step, until_ms, actions)
                self._pace.spent(done, time.monotonic() - began)
                if done < actions:
                    break
                await asyncio.sleep(0)  # the other partitions' steps are under way
        asyncio.get_running_loop().call_later(STEP_INTERVAL_S, self._work.set)
        return bool(allowed)

    def _covered(self) -> dict[str, int]:
        """Up to where each input is folded; what holds no records, only markers, counts as folded."""
        return {
            topic: next((chunk.start for chunk in queue if chunk.records), self.expected[topic])
            for topic, queue in self._queues.items()
        }

    def _fold(self, step: Step, chunks: list[Chunk]) -> None:
        began = time.monotonic()
        for chunk in chunks:
            fold(step, chunk)
        self._metrics.folded(fold_s=time.monotonic() - began)

    async def _commit(self, step: Step, outputs: Sequence[Output]) -> None:
        """Publish a step, then make it part of the state."""
        assert self._seen is not None
        began = time.monotonic()
        published = await self._writer.publish(outputs)
        committed = time.monotonic()
        self.state.apply(step.changes, self._seen)
        self.sums.add(step)
        self._seen.needed_since_ms = needed_since(self.state.position.due_until, self._rules)
        if published.priced_next is not None:
            last = Seal(published.priced_next - 1, published.priced_ms, checksum(*step.outputs.priced[-1]))
            self._seen.priced_next, self._seen.below = published.priced_next, last
        self.last_moved = committed
        if self._rules.clock is Clock.BROKER:
            self._gate.broker_time.heard(published.journal_ms)
            self._metrics.skew(self.partition, self._gate.broker_time.ahead_s)
        self._metrics.stepped(step, commit_s=committed - began)
        self._metrics.remembered(self.partition, len(self._seen), self._seen.size_bytes)
        if committed - self._saved_at > SAVE_INTERVAL_S and not self._saving:
            self._saved_at = committed
            save = asyncio.create_task(self._save(self._seen.saving()))
            self._saving.add(save)
            save.add_done_callback(self._saving.discard)

    async def _save(self, saving: Saving) -> None:
        """Put the dedupe index on disk, beside the steps: a slow disk holds none of them up."""
        try:
            await asyncio.get_running_loop().run_in_executor(_SAVER, saving.run)
        except MeterError as error:
            log.error("dedupe index not saved: a start reads more", partition=self.partition, reason=str(error))


def _split(chunk: Chunk, count: int) -> tuple[Chunk, Chunk]:
    """The first records of a chunk, and the rest: the cut lies at the first record of the rest."""
    cut = chunk.records[count].offset
    return (
        Chunk(chunk.topic, chunk.start, cut, chunk.records[:count]),
        Chunk(chunk.topic, cut, chunk.next, chunk.records[count:]),
    )
