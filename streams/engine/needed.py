"""How far back the dedupe index must remember: to the oldest record that is still to be folded, and as long before it.

Inputs do not move together. After an outage one may be at its end while another is days behind, so the latest record
time says nothing about what is still asked for.
"""

from typing import Any

from aiokafka import AIOKafkaConsumer

from meter import topics
from meter.rules import Clock
from meter.state import PartitionState
from streams.kafka import offsets, read_range
from streams.settings import Settings

JOB_INPUTS = (topics.REROUTED, topics.COMPLETED)
#: Brokers' clocks may differ by this, and a transaction may hold its records back for less than this.
SLACK_MS = 3_600_000


class NeededSince:
    """The record time from which ids must be remembered, in milliseconds. 0: all of them."""

    def __init__(self, state: PartitionState, unread_ms: dict[str, int]) -> None:
        self._state = state
        self._reached_ms = unread_ms

    def folded(self, topic: str, record_time: int) -> None:
        """An input was folded from a record of this time on: what follows is later."""
        if topic in self._reached_ms:
            self._reached_ms[topic] = max(self._reached_ms[topic], record_time - SLACK_MS)

    def at_end(self, topic: str) -> None:
        """An input was seen to hold nothing more after all that is folded: what comes will come later."""
        self.folded(topic, self._state.record_time)

    @property
    def since_ms(self) -> int:
        """What is older is not asked for any more. A simulated clock may run in any order: it forgets nothing."""
        if self._state.rules.clock is Clock.SIMULATED:
            return 0
        return max(0, min(self._reached_ms.values()) - self._state.rules.remember_ms)


async def needed_since(consumer: AIOKafkaConsumer, settings: Settings, state: PartitionState) -> NeededSince:
    """What is needed when a partition is opened: by the first record of each input that is not folded yet."""
    unread = {topic: await _first_unread_ms(consumer, settings, state, topic) for topic in JOB_INPUTS}
    return NeededSince(state, unread)


async def _first_unread_ms(consumer: AIOKafkaConsumer, settings: Settings, state: PartitionState, topic: str) -> int:
    name = settings.topic(topic)
    _, end = await offsets(consumer, name, state.partition)
    reading: Any = read_range(consumer, name, state.partition, state.next[topic], end)
    async for records in reading:
        return max(0, min(int(records[0].timestamp), state.record_time) - SLACK_MS)
    return max(0, state.record_time - SLACK_MS)
