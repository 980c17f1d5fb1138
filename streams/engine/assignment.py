"""What the group has given to this worker. A partition that another worker was given, and has opened, is lost."""

import asyncio
from collections.abc import Iterable

from faust.types import TP

from meter import topics
from streams.engine.clocks import MachineClock
from streams.errors import RefusalToStartError
from streams.settings import Settings

#: Within so many session timeouts a partition is opened anew only once that somebody has taken and the group has not.
AGAIN_AFTER_SESSIONS = 6


class Assignment:
    """The partitions that are this worker's, by the last that the group has told it."""

    def __init__(self, settings: Settings, clock: MachineClock) -> None:
        self._settings = settings
        self._clock = clock
        self.partitions: frozenset[int] = frozenset()
        #: In which generation of the group it was given them; 0: in none yet.
        self.generation = 0
        #: Partitions that others may have had since they were opened here: the group went on without this worker.
        self.doubtful: set[int] = set()
        self._changed = asyncio.Event()
        #: When partitions were opened anew that the group had not taken away.
        self._opened_again: dict[int, float] = {}

    def give(self, inputs: Iterable[TP], generation: int, held: Iterable[int]) -> None:
        """The group's new assignment. `held`: the partitions that are open here, or being opened.

        Raises RefusalToStartError where a partition is assigned in part.
        """
        partitions = self._whole_partitions(inputs)
        if not self.generation <= generation <= self.generation + 1:  # a group that is made anew counts from 1
            self.doubtful.update(held)
        self.generation = generation
        self._change(partitions)

    def _whole_partitions(self, inputs: Iterable[TP]) -> frozenset[int]:
        """The partitions assigned; all inputs of one must be: another worker would fold the rest of it."""
        all_of_one = {self._settings.topic(topic) for topic in topics.INPUTS}
        by_partition: dict[int, set[str]] = {}
        for tp in inputs:
            if tp.topic in all_of_one:
                by_partition.setdefault(tp.partition, set()).add(tp.topic)
        for partition, names in by_partition.items():
            if names != all_of_one:
                missing = sorted(all_of_one - names)
                raise RefusalToStartError(
                    f"partition {partition} was assigned without {missing[0]}: the topic was deleted, or not all "
                    f"members of the consumer group {self._settings.app_id!r} are meter workers of one version"
                )
        return frozenset(by_partition)

    def give_up(self) -> None:
        """The worker stops: nothing is its own any more."""
        self._change(frozenset())

    def _change(self, partitions: frozenset[int]) -> None:
        self.partitions = partitions
        self._changed.set()
        self._changed = asyncio.Event()

    async def is_taken_away(self, partition: int, *, at_once: bool) -> bool:
        """Whether the group takes a partition away within a session, or it is in doubt whose it is.

        `at_once`: it has no time to do so.
        """
        deadline = self._clock.monotonic() + (0.0 if at_once else self._settings.session_timeout_s)
        while partition in self.partitions and partition not in self.doubtful:
            try:
                await asyncio.wait_for(self._changed.wait(), deadline - self._clock.monotonic())
            except TimeoutError:
                return False
        return True

    def may_open_again(self, partition: int) -> bool:
        """Once: a member that heard late of two rebalances may have opened it after this worker did, by mistake."""
        now, last = self._clock.monotonic(), self._opened_again.get(partition)
        self._opened_again[partition] = now
        return last is None or now - last > AGAIN_AFTER_SESSIONS * self._settings.session_timeout_s
