"""A worker's process for one partition: memory that a crash takes, an index on disk that may be stale or gone."""

from meter import topics
from meter.dedupe import MemorySeen
from meter.partition import Chunk, Step
from meter.rules import Rules
from meter.snapshot import StateReader, changes
from meter.state import PartitionState
from streams.engine.recovery import sighting_of
from tests.simulation.world import World


class CrashError(Exception):
    """The process died here."""


class Process:
    """Opens a partition and steps through it as the worker's owner does; dies where chance says so."""

    def __init__(self, world: World, rules: Rules, partition: int, fault: str | None = None) -> None:
        self.world = world
        self.rules = rules
        self.partition = partition
        self.fault = fault
        self.disk: tuple[int, MemorySeen] = (0, MemorySeen())
        self.crashes = 0
        self.state, self.seen = self._open()

    def _open(self) -> tuple[PartitionState, MemorySeen]:
        """State from what was committed; the index from disk, brought up from the priced records after its position."""
        state = PartitionState(self.rules, self.partition)
        reader = StateReader(state)
        for key, value in self.world.log(topics.STATE, self.partition).latest.items():
            reader.read(key, value)
        position, index = self.disk
        seen = MemorySeen(index)
        if self.fault != "forget":
            priced = self.world.log(topics.PRICED, self.partition)
            seen.add(sighting_of(r.value or b"") for r in priced.between(position, priced.end))
        return reader.finish(), seen

    @property
    def is_behind(self) -> bool:
        """Whether an input holds a record that is not folded yet."""
        logs = ((self.world.log(topic, self.partition), self.state.next[topic]) for topic in topics.INPUTS)
        return any(log.records and log.records[-1].offset >= start for log, start in logs)

    def step(self) -> bool:
        """Fold some of what is there; False when there was nothing. A crash reopens the process."""
        chance = self.world.chance
        chunks = list(self._chunks())
        if not any(chunk.records for chunk in chunks):
            return False
        dies_at = chance.choice(["before", "inside", "after", "merged"]) if chance.random() < 0.15 else None
        try:
            step = Step(self.state, self.seen)
            for chunk in chunks:
                step.fold(chunk)
            self._die_if(dies_at == "before")
            self._publish(step, aborted=dies_at == "inside")
            self._die_if(dies_at in {"inside", "after"})
            self.state.merge(step, self.seen)
            self._save()
            self._die_if(dies_at == "merged")
        except CrashError:
            self.crashes += 1
            if chance.random() < 0.005:
                self.disk = (0, MemorySeen())  # the disk is lost too
            self.state, self.seen = self._open()
        return True

    @staticmethod
    def _die_if(here: bool) -> None:
        if here:
            raise CrashError

    def _chunks(self) -> list[Chunk]:
        """Ranges of the inputs from where the state ends, cut at random."""
        taken = []
        for topic in topics.INPUTS:
            log, start = self.world.log(topic, self.partition), self.state.next[topic]
            end = min(log.end, start + self.world.chance.randrange(8))
            if end > start:
                taken.append(Chunk(topic, start, end, log.between(start, end)))
        return taken

    def _publish(self, step: Step, aborted: bool) -> None:
        """One transaction: all of it, or only the offsets that an aborted one wastes."""
        now, p = self.world.now_ms, self.partition
        rows = [
            *((topics.PRICED, p, now, key, value, ()) for key, value in step.priced),
            *((topics.DAILY, p, now, key, value, ()) for key, value in step.daily()),
            *((topics.REJECTED, p, now, key, value, ()) for key, value in step.rejected),
            *((topics.REROUTED, r.partition, now, r.key, r.value, r.headers) for r in step.rerouted),
            (topics.JOURNAL, p, now, None, step.journal_entry().canonical(), ()),
            *((topics.STATE, p, now, key, value, ()) for key, value in changes(step)),
        ]
        if self.fault == "partial" and aborted:
            aborted, rows = False, rows[: len(step.priced)]
        for topic, partition, at, key, value, headers in rows:
            log = self.world.log(topic, partition)
            if aborted:
                log.waste(1)
            else:
                log.append(at, key, value, headers)
        for topic, partition in {(row[0], row[1]) for row in rows}:
            self.world.log(topic, partition).waste(1)  # the marker

    def _save(self) -> None:
        """Now and then the index goes to disk, with the position that it is true to."""
        if self.world.chance.random() < 0.05:
            self.disk = (self.world.log(topics.PRICED, self.partition).end, MemorySeen(self.seen))
