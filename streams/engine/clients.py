"""The worker's two consumers: a member of the group, which fetches nothing, and a reader without a group.

So a rebalance does not touch what is read. Both are aiokafka's, and need what it keeps to itself, by way of
`kafka/internals.py`: its members must fetch, its consumers tell nobody when they were answered or why they were thrown
out of the group, a seek drops what was fetched of all other partitions, and positions move before the records are
handed out.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.errors import KafkaError
from faust.transport.drivers.aiokafka import ConsumerStoppedError
from faust.types import TP

from meter.records import Chunk, HoleError
from streams.engine.inputs import FetchedChunk, InputEnd
from streams.engine.leaving import leave_request
from streams.engine.limits import Limits
from streams.kafka import internals
from streams.kafka.clients import READ_COMMITTED
from streams.kafka.options import client_options
from streams.settings import Settings

FETCH_BYTES = 2 << 20
#: How soon a member hears of a rebalance, at the latest: all the others wait for it in one.
HEARTBEAT_MS = 500
#: How long the group may take to let a member go.
LEAVE_S = 3.0


class Patience(NamedTuple):
    """When the broker answers a fetch: at so many bytes, or after so many milliseconds."""

    min_bytes: int
    max_wait_ms: int


#: Nothing came lately: the first record is answered at once.
IDLE = Patience(1, 500)
#: Records come: let some gather. Answering for each alone would cost the broker more than it does to meter them.
BUSY = Patience(1 << 14, 25)


class ReadState(TopicPartitionState):
    """aiokafka's state of a partition that is read. It notes by which instant of our own clock a fetch was answered."""

    answered_at = 0.0

    @property
    def timestamp(self) -> float | None:
        """Monotonic time of the last answer; None before the first."""
        return self.answered_at or None

    @timestamp.setter
    def timestamp(self, wall_ms: int | None) -> None:
        if wall_ms is not None:
            self.answered_at = time.monotonic()


class _Listening(AIOKafkaConsumer):
    """A consumer that tells when any broker has answered it anything."""

    def heard_at(self) -> float:
        """Monotonic time of the last answer over the connections that are open; 0.0 where there is none."""
        return internals.last_heard(self._client)


class GroupMember(_Listening):
    """The member. What it is assigned, it does not fetch."""

    def __init__(self, settings: Settings, assignor: Any) -> None:
        session_ms = int(settings.session_timeout_s * 1000)
        rebalance_ms = max(session_ms, 30_000)
        super().__init__(
            **client_options(settings),
            group_id=settings.app_id,
            group_instance_id=settings.instance_id,
            partition_assignment_strategy=[assignor],
            enable_auto_commit=False,
            auto_offset_reset="none",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=min(HEARTBEAT_MS, session_ms // 5),
            rebalance_timeout_ms=rebalance_ms,
            request_timeout_ms=rebalance_ms + 10_000,  # a join is answered when the others have joined, too
        )

    async def start(self) -> None:
        """Connect; see AIOKafkaConsumer."""
        await super().start()
        internals.stop_fetching(self._fetcher)
        internals.never_idle(self._subscription)  # who does not poll would have to leave the group

    def group_error(self) -> BaseException | None:
        """Why it is no longer a member of its group, if it has stopped being one. For any thread: it only reads."""
        return internals.membership_error(self._coordinator)

    async def leave(self) -> None:
        """Leave the group at once, in the midst of a rebalance too, and for good.

        A group that does not answer removes the member when its session has ended: no error is raised.
        """
        group: Any = self._coordinator
        member, node = group.member_id, group.coordinator_id
        await internals.end_membership(group)
        if node is None or not member:
            return
        # Not on the group's own connection: a join may wait there for the others.
        leaving = leave_request(group.group_id, member, internals.instance_id_of(group))
        with suppress(KafkaError, TimeoutError, NotImplementedError):  # brokers before 2.4 do not know it
            await asyncio.wait_for(self._client.send(node, leaving), LEAVE_S)


class ChunkReader(_Listening):
    """The reader: committed records only, and no reset of offsets ever. Which inputs it reads, the owners say."""

    def __init__(self, settings: Settings, limits: Limits) -> None:
        super().__init__(
            **client_options(settings),
            isolation_level=READ_COMMITTED,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_min_bytes=IDLE.min_bytes,
            fetch_max_wait_ms=IDLE.max_wait_ms,
            # A fetch that is not answered by then has its connection dropped, and another leader is asked for.
            request_timeout_ms=max(5_000, int(settings.session_timeout_s * 1000)),
            check_crcs=True,
        )
        self._settings = settings
        self._max_records = 2 * limits.step_records
        #: Of each input that is read: the number of the reading, and up to where chunks were handed out.
        self.covered: dict[TP, tuple[int, int]] = {}

    async def start_on(self, topics: Iterable[str]) -> None:
        """Connect, with metadata of these topics; nothing is read yet."""
        await self.start()
        self._client.set_topics(set(topics))
        self._subscription.assign_from_user(set())

    # -- in the reader's own thread --------------------------------------------------------------------------

    async def read(self, positions: Mapping[TP, int], reading: int) -> None:
        """Read some inputs from these positions on; what was fetched of a former reading is of no use any more.

        Seek, and note it in the same breath: a fetch that comes between would hand out other records.
        """
        for tp, offset in positions.items():
            if reading >= self.covered.get(tp, (0, 0))[0]:
                state = self.state_of(tp)
                self._fetcher.seek_to(tp, offset)
                state.resume()
                self.covered[tp] = reading, offset

    async def read_no_more(self, tps: Iterable[TP]) -> None:
        """Stop reading some inputs."""
        for tp in tps:
            if self.covered.pop(tp, None) is not None:
                self.state_of(tp).pause()

    def state_of(self, tp: TP) -> ReadState:
        """An input's state in the reader, made when it is first read.

        Added to the assignment as it is: assigning anew would drop what is being fetched of all others.
        """
        assignment = self._subscription.subscription.assignment
        if tp not in assignment.tps:
            internals.add_to_assignment(assignment, tp, ReadState(assignment))
        state: ReadState = assignment.state_value(tp)
        return state

    async def fetch(self, tps: set[TP], timeout_s: float) -> list[FetchedChunk]:
        """Chunks of what was fetched for some inputs, and the numbers of their readings."""
        fetcher = self._fetcher
        if internals.is_closed(fetcher):
            raise ConsumerStoppedError
        records = await fetcher.fetched_records(tps, timeout=timeout_s, max_records=self._max_records)
        internals.set_patience(fetcher, *(BUSY if records else IDLE))
        # From here on nothing else runs in this thread, so positions and records belong together.
        return [
            FetchedChunk(
                tp, covered[0], Chunk(self._settings.bare(tp.topic), covered[1], position, records.get(tp, ()))
            )
            for tp in tps
            if (covered := self.covered.get(tp)) is not None
            and self.cover(tp, *covered, position := self.state_of(tp).position, records.get(tp, ()))
        ]

    def cover(self, tp: TP, reading: int, start: int, position: int, records: Sequence[Any]) -> bool:
        """Note that positions up to here are handed out; whether there are new ones.

        Raises HoleError where the records are not those of the positions: this is what exactly-once stands on.
        """
        if position == start and not records:
            return False
        if position < start or (records and not start <= records[0].offset <= records[-1].offset < position):
            found = f"{records[0].offset} to {records[-1].offset}" if records else "none"
            raise HoleError(f"{tp.topic}[{tp.partition}]: records {found} for the positions {start} to {position}")
        self.covered[tp] = reading, position
        return True

    # -- for any thread: they only read ----------------------------------------------------------------------

    def input_end(self, tp: TP) -> InputEnd | None:
        """The ends that the last fetch of an input saw."""
        state = self._known_state(tp)
        if state is None or state.lso is None or not state.answered_at:
            return None
        return InputEnd(state.lso, state.answered_at, max(state.lso, state.highwater or 0))

    def answered_at(self, tp: TP) -> float:
        """Monotonic time of the last answer to a fetch of an input; 0.0 before the first."""
        state = self._known_state(tp)
        return 0.0 if state is None else state.answered_at

    def _known_state(self, tp: TP) -> ReadState | None:
        state: ReadState | None = self._subscription.subscription.assignment.state_value(tp)
        return state

    def ask(self) -> None:
        """Ask a broker something: what it answers is heard. In the reader's own thread."""
        self._client.force_metadata_update()
