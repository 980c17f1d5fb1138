"""A worker's process for one partition: memory that a crash takes, an index on disk that may be stale or gone."""

from collections.abc import Iterator

from meter import topics
from meter.dedupe import MemoryDedupeIndex
from meter.fold import fold
from meter.fold_jobs import Usage, meter_jobs
from meter.published import OUTPUTS
from meter.records import Chunk, Keyed
from meter.rules import Rules
from meter.settle import run_due
from meter.snapshot import StateReader, changes
from meter.state import PartitionState
from meter.step import Step
from streams.engine.recovery import sighting_of
from tests.simulation.world import DAY_MS, HOUR_MS, World


class CrashError(Exception):
    """The process died here."""


def never_late(step: Step, chunk: Chunk) -> Usage:
    """A planted bug: a job that comes after the cut is put on its own period's bill."""
    usage: Usage = {}
    for (account_id, region, day, _), (jobs, minutes) in meter_jobs(step, chunk).items():
        before = usage.setdefault((account_id, region, day, ""), [0, 0])
        before[0] += jobs
        before[1] += minutes
    return usage


def outputs(step: Step) -> dict[str, list[Keyed]]:
    """What a step publishes for others to read, by topic."""
    return {output.topic: list(output.rows(step)) for output in OUTPUTS}


class SimulatedProcess:
    """Opens a partition and steps through it as the worker's owner does; dies where chance says so."""

    def __init__(self, world: World, rules: Rules, partition: int, fault: str | None = None) -> None:
        self.world = world
        self.rules = rules
        self.partition = partition
        self.fault = fault
        self.disk: tuple[int, MemoryDedupeIndex] = (0, MemoryDedupeIndex())
        self.meter = never_late if fault == "never late" else meter_jobs
        self.settles_from_ms = 0
        self.due_until_ms: int | None = None
        self.crashes = 0
        self.state, self.seen = self.read_back()

    def read_back(self) -> tuple[PartitionState, MemoryDedupeIndex]:
        """State from what was committed; the index from disk, brought up from the priced records after its position."""
        state = PartitionState(self.rules, self.partition)
        reader = StateReader(state)
        for key, value in self.world.log(topics.STATE, self.partition).latest.items():
            reader.read(key, value)
        position, index = self.disk
        seen = MemoryDedupeIndex(index)
        if self.fault != "forget":
            priced = self.world.log(topics.PRICED, self.partition)
            seen.add(sighting_of(r.value or b"") for r in priced.between(position, priced.end))
        return reader.finish(), seen

    @property
    def is_behind(self) -> bool:
        """Whether an input holds a record that is not folded yet."""
        logs = ((self.world.log(topic, self.partition), self.state.position.next[topic]) for topic in topics.INPUTS)
        return any(log.records and log.records[-1].offset >= start for log, start in logs)

    @property
    def is_due(self) -> bool:
        """Whether something is due, and every input is folded to its end, as the worker waits for."""
        first = self.state.agenda.next_ms()
        return first is not None and first <= self.world.now_ms and not self.is_behind

    def step(self) -> bool:
        """Fold some of what is there; False when there was nothing. A crash reopens the process."""
        chunks = list(self._chunks())
        if not any(chunk.records for chunk in chunks):
            return False
        step = Step(self.state, self.seen, not_after=self._not_after(chunks))
        if self.due_until_ms is not None:
            self._run_due(step, self.due_until_ms, self.world.chance.choice([1, 2, 5]))
            self.due_until_ms = None
        for chunk in chunks:
            fold(step, chunk, self.meter)
        self._commit(step)
        return True

    def _not_after(self, chunks: list[Chunk]) -> int | None:
        """The guard's bound where a record is ahead of it; now and then this machine's clock is ahead as well."""
        bound = self.world.now_ms + HOUR_MS
        if all(record.timestamp <= bound for chunk in chunks for record in chunk.records):
            return None
        return bound if self.world.chance.random() < 0.8 else None

    def settle(self) -> bool:
        """Do a slice of what is due by now, or by an instant between. Sometimes nothing is settled for days."""
        chance, now_ms = self.world.chance, self.world.now_ms
        first = self.state.agenda.next_ms()
        if first is None or now_ms < self.settles_from_ms or not self.is_due:
            return False
        least = max(first, self.state.position.due_until)
        until_ms = now_ms if chance.random() < 0.7 or least > now_ms else chance.randint(least, now_ms)
        if chance.random() < 0.4:
            self.due_until_ms = until_ms  # in one step with the records that come next
            return False
        step = Step(self.state, self.seen)
        self._run_due(step, until_ms, chance.choice([1, 2, 5, 1000]))
        self._commit(step)
        if not self.is_due:
            self.settles_from_ms = now_ms + (chance.randrange(4 * DAY_MS) if chance.random() < 0.1 else 0)
        return True

    def _run_due(self, step: Step, until_ms: int, limit: int) -> None:
        """A slice, in blocks as the worker does it."""
        block = self.world.chance.choice([1, 3, limit])
        for first in range(0, limit, block):
            size = min(block, limit - first)
            if run_due(step, until_ms, size) < size:
                break

    def _commit(self, step: Step) -> None:
        """A step's transaction, and what may happen around it."""
        chance = self.world.chance
        dies_at = chance.choice(["before", "inside", "after", "merged"]) if chance.random() < 0.06 else None
        try:
            self._die_if(dies_at == "before")
            self.publish(step, aborted=dies_at == "inside")
            self._die_if(dies_at in {"inside", "after"})
            self.state.apply(step.changes, self.seen)
            self._save()
            self._die_if(dies_at == "merged")
        except CrashError:
            self.crashes += 1
            self.due_until_ms = None
            if chance.random() < 0.005:
                self.disk = (0, MemoryDedupeIndex())  # the disk is lost too
            self.state, self.seen = self.read_back()

    @staticmethod
    def _die_if(here: bool) -> None:
        if here:
            raise CrashError

    def _chunks(self) -> list[Chunk]:
        """Ranges of the inputs from where the state ends, cut at random."""
        taken = []
        for topic in topics.INPUTS:
            log, start = self.world.log(topic, self.partition), self.state.position.next[topic]
            end = min(log.end, start + self.world.chance.randrange(8))
            if end > start:
                taken.append(Chunk(topic, start, end, log.between(start, end)))
        return taken

    def publish(self, step: Step, aborted: bool) -> None:
        """One transaction: all of it, or only the offsets that an aborted one wastes."""
        now, p = self.world.broker_ms, self.partition
        rows = [
            *((topic, p, now, key, value, ()) for topic, found in outputs(step).items() for key, value in found),
            *((topics.REROUTED, r.partition, now, r.key, r.value, r.headers) for r in step.outputs.rerouted),
            (topics.JOURNAL, p, now, None, self._journal_record(step), ()),
            *((topics.STATE, p, now, key, value, ()) for key, value in self._state_records(step)),
        ]
        if self.fault == "partial" and aborted:
            aborted, rows = False, rows[: len(step.outputs.priced)]
        for topic, partition, at, key, value, headers in rows:
            log = self.world.log(topic, partition)
            if aborted:
                log.waste(1)
            else:
                log.append(at, key, value, headers)
        for topic, partition in {(row[0], row[1]) for row in rows}:
            self.world.log(topic, partition).waste(1)  # the marker

    def _journal_record(self, step: Step) -> bytes:
        untold = {"not_after": None} if self.fault == "guard untold" else {}
        return step.journal_entry().model_copy(update=untold).canonical()

    def _state_records(self, step: Step) -> Iterator[tuple[bytes, bytes | None]]:
        for key, value in changes(step):
            settled = self.fault == "settled twice" and step.outputs.bills
            top_up = self.fault == "top-up lost" and step.outputs.results and key.startswith(b'["account"')
            if not settled and not top_up:
                yield key, value

    def _save(self) -> None:
        """Now and then the index goes to disk, with the position that it is true to."""
        if self.world.chance.random() < 0.05:
            self.disk = (self.world.log(topics.PRICED, self.partition).end, MemoryDedupeIndex(self.seen))
