"""All partitions of this worker: opened in the background when they are assigned, let go when they are revoked."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

import structlog
from aiokafka.errors import InvalidProducerEpoch, ProducerFenced, UnknownError
from faust.types import TP

from streams.engine.assignment import Assignment
from streams.engine.clocks import MachineClock, Movement
from streams.engine.opening import Opens
from streams.engine.owner import PartitionOwner
from streams.engine.readings import Readings
from streams.engine.standby import Standbys
from streams.engine.steps import OpenPartition
from streams.kafka.transactional import UnansweredError

log = structlog.get_logger(__name__)

#: What a new owner of a partition does to the one before it. A broker that is ending a transaction and fencing its
#: producer at once answers the end with an unknown error: what became of it, the new owner reads back.
FENCED = (ProducerFenced, InvalidProducerEpoch, UnknownError)


class Owners:
    """The owners of a worker's partitions, from assignment to release.

    `fail` ends the process: no error is survived, restart is the only recovery path. But a partition that another
    worker was given, and has opened, is no error: this one has lost it, and goes on with the others. See decision 13.
    """

    def __init__(
        self,
        assignment: Assignment,
        opener: Opens,
        new_owner: Callable[[OpenPartition, Movement], PartitionOwner],
        readings: Readings,
        standbys: Standbys,
        fail: Callable[[BaseException], None],
        clock: MachineClock,
    ) -> None:
        self.assignment = assignment
        #: The partitions that are open; each has an owner.
        self.open: dict[int, PartitionOwner] = {}
        #: Those that are being opened, and how that goes.
        self.opening: dict[int, Movement] = {}
        self._opener = opener
        self._new_owner = new_owner
        self._readings = readings
        self._standbys = standbys
        self._fail = fail
        self._clock = clock
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._lost: dict[int, asyncio.Event] = {}

    def assign(self, inputs: Iterable[TP], generation: int, standby: frozenset[int] = frozenset()) -> None:
        """Take over the partitions assigned and let go of the others, in the background; those that stay go on."""
        self.assignment.give(inputs, generation, self._lost)
        partitions = self.assignment.partitions
        for partition in self._lost.keys() - partitions:
            self._lost[partition].set()
        for partition in sorted(partitions - self._tasks.keys()):
            self._tasks[partition] = asyncio.create_task(self._hold(partition), name=f"partition-{partition}")
        self._standbys.keep(standby - partitions)

    async def _hold(self, partition: int) -> None:
        """Own a partition for as long as it is assigned; anew where another worker has had it meanwhile."""
        try:
            while partition in self.assignment.partitions:
                await self._own(partition)
        except Exception as error:
            self._fail(error)
        finally:
            del self._tasks[partition]

    async def _own(self, partition: int) -> None:
        """Open a partition and run it until it is lost."""
        self.opening[partition] = Movement(self._clock)
        lost = self._lost[partition] = asyncio.Event()
        self.assignment.doubtful.discard(partition)
        async with AsyncExitStack() as closing:
            working = asyncio.ensure_future(self._work(partition, closing))
            working.add_done_callback(_is_known)  # also where the process ends before anybody has asked
            losing = asyncio.ensure_future(lost.wait())
            try:
                await asyncio.wait([working, losing], return_when=asyncio.FIRST_COMPLETED)
                await self._end(partition, working)
            finally:
                losing.cancel()
                self.opening.pop(partition, None)
                self.open.pop(partition, None)
                del self._lost[partition]
                await self._readings.end(partition)
        log.info("partition released", partition=partition)

    async def _work(self, partition: int, closing: AsyncExitStack) -> None:
        """Steps 1 to 3 of the order, and then all that follow."""
        await self._standbys.release(partition)
        progress = self.opening[partition]
        opened = await self._opener.open(partition, progress, closing)
        owner = self.open[partition] = self._new_owner(opened, progress)
        del self.opening[partition]
        await self._readings.begin(owner)
        owner.go_on()
        await owner.run()

    async def _end(self, partition: int, working: "asyncio.Future[None]") -> None:
        """Let the step in flight come to its end; see whether an error has ended the work."""
        self._readings.drop(partition)
        if not working.done() and partition in self.open:
            await self.open[partition].quiesce()
        working.cancel()
        (error,) = await asyncio.gather(working, return_exceptions=True)
        if error is not None and _is_by(error, FENCED):
            await self._be_fenced(partition, error)
        elif error is not None and not isinstance(error, asyncio.CancelledError):
            self._fail(error)

    async def _be_fenced(self, partition: int, error: BaseException) -> None:
        """Somebody else has opened the partition: give in where the group says so.

        Where it still says that it is ours, it is opened anew, once. Whoever takes it away again is no member, or this
        one is none any more: the process ends.
        """
        is_unanswered = _is_by(error, (UnansweredError,))  # nobody was heard of, only nothing from Kafka
        if not is_unanswered:
            log.info("partition taken over by another worker", partition=partition)
        if await self.assignment.is_taken_away(partition, at_once=is_unanswered):
            return
        if is_unanswered or not self.assignment.may_open_again(partition):
            self._fail(error)

    async def quiesce(self) -> None:
        """The worker stops: finish the steps in flight, and begin no others."""
        self.assignment.give_up()
        self._readings.drop_all()
        await asyncio.gather(*(owner.quiesce() for owner in self.open.values()))

    async def release_all(self) -> None:
        """The worker stops: put the dedupe indexes on disk."""
        self.assignment.give_up()
        for lost in self._lost.values():
            lost.set()
        await asyncio.gather(*self._tasks.values(), self._standbys.release_all())


def _is_by(error: BaseException, causes: tuple[type[BaseException], ...]) -> bool:
    """Whether one of these is behind an error."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, causes):
        cause = cause.__cause__
    return cause is not None


def _is_known(ended: "asyncio.Future[None]") -> None:
    """How it ended is told by whoever ends the process, and not once more by the event loop."""
    if not ended.cancelled():
        ended.exception()
