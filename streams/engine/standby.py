"""Warm standby: the dedupe index of a partition that another worker meters, kept up to date on this one's disk.

Who takes such a partition over reads the end of `usage.priced` alone, however many ids there are. The index here is
brought up by the same reader, from committed records, as an owner's: so it is never ahead of what is committed either.
It goes back as far as settlement needs it now, and what is needed later is never older.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from meter import topics
from meter.dedupe import needed_since
from meter.identity import Identity
from meter.rules import Rules
from meter.snapshot import POSITION
from meter.state import PartitionState
from streams.engine.disk_index import DiskIndex, index_directory, index_is_in_use, log_id
from streams.engine.recovery import OtherLogError, catch_up
from streams.errors import BrokerLostError, NoRoomError
from streams.kafka.clients import offsets, read_range, reader
from streams.settings import Settings

log = structlog.get_logger(__name__)

#: How often to look for what was priced meanwhile: so much is left to read for who takes over.
FOLLOW_S = 2.0
#: How often to put it on disk.
SAVE_S = 15.0
#: The other partitions' steps have the interpreter for most of the time: a rest as many times as long as a read.
REST = 3.0
#: How far back in `meter.state` to look for the position of a step first.
TAIL = 256


class Standbys:
    """The indexes that this worker keeps for others. `identity` is that of the log; `fail` ends the process."""

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        identity: Callable[[], Awaitable[Identity]],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._identity = identity
        self._fail = fail
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def kept(self) -> set[int]:
        """The partitions whose indexes it keeps now."""
        return set(self._tasks)

    async def ended(self) -> None:
        """Wait until it keeps none."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def keep(self, partitions: frozenset[int]) -> None:
        """Keep the indexes of these partitions, and of no others."""
        for partition in self._tasks.keys() - partitions:
            _cancel_once(self._tasks[partition])
        for partition in partitions - self._tasks.keys() if self._settings.standby else ():
            self._tasks[partition] = asyncio.create_task(self._keep(partition), name=f"standby-{partition}")

    async def release(self, partition: int) -> None:
        """Put an index on disk and let go of it: it is this worker's own now."""
        if (task := self._tasks.get(partition)) is not None:
            _cancel_once(task)
            await asyncio.wait([task])

    async def release_all(self) -> None:
        """The worker stops."""
        await asyncio.gather(*(self.release(partition) for partition in list(self._tasks)))

    async def _keep(self, partition: int) -> None:
        anew = False
        try:
            while True:
                now, anew = anew, False
                try:
                    await self.follow(partition, anew=now)
                except OtherLogError as error:
                    log.warning("standby's dedupe index made anew", partition=partition, reason=str(error))
                    anew = True
                except (KafkaError, BrokerLostError) as error:  # whether Kafka is lost is seen elsewhere
                    log.debug("standby waits", partition=partition, reason=str(error))
                except NoRoomError as error:  # it ends nothing that is metered here; a take-over reads more
                    log.error("standby ends", partition=partition, reason=str(error))
                    return
                await asyncio.sleep(FOLLOW_S)
        except Exception as error:
            self._fail(error)
        finally:
            self._tasks.pop(partition, None)

    async def follow(self, partition: int, *, anew: bool) -> None:
        """Open the index and bring it up, again and again. Returns where another process here has it in use."""
        directory = index_directory(self._settings)
        if index_is_in_use(directory, partition):
            return
        async with reader(self._settings) as consumer:
            state = PartitionState(self._rules, partition)
            state.position.due_until = await self.settled_until(consumer, partition)
            name = log_id(await self._identity())
            if index_is_in_use(directory, partition):
                return
            dedupe = await asyncio.to_thread(
                DiskIndex.open, directory, partition, self._rules.meter_id, name, anew=anew
            )
            try:
                await self.bring_up(consumer, state, dedupe)
            finally:
                try:
                    await asyncio.to_thread(dedupe.saving().run)
                finally:
                    dedupe.close()

    async def bring_up(self, consumer: AIOKafkaConsumer, state: PartitionState, dedupe: DiskIndex) -> None:
        """Bring an index up, and put it on disk, again and again."""
        saved_at = -SAVE_S  # at once: what was read is not read again
        dedupe.needed_since_ms = needed_since(state.position.due_until, self._rules)
        log.info("standby", partition=state.partition, remembered=len(dedupe))
        while True:
            await catch_up(consumer, self._settings, state, dedupe, dedupe.needed_since_ms, rest=REST)
            if time.monotonic() - saved_at > SAVE_S:
                saved_at = time.monotonic()
                await asyncio.to_thread(dedupe.saving().run)
            await asyncio.sleep(FOLLOW_S)

    async def settled_until(self, consumer: AIOKafkaConsumer, partition: int) -> int:
        """Up to which instant settlement has come, in ms, by the last step of `meter.state`; 0 before the first."""
        name = self._settings.topic(topics.STATE)
        start, end = await offsets(consumer, name, partition)
        first, reach = end, TAIL
        while first > start:
            first, reach = max(start, end - reach), reach * 8
            found = 0
            async for records in read_range(consumer, name, partition, first, end):
                for record in records:
                    if record.key == POSITION and record.value:
                        found = int(msgspec.json.decode(record.value)["due_until"])
            if found:
                return found
        return 0


def _cancel_once(task: "asyncio.Task[None]") -> None:
    """A second time would cut it off while it puts its index on disk."""
    if not task.cancelling():
        task.cancel()
