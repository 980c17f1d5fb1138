"""What the steps of all partitions forwarded, to be found on the rerouted topic exactly once."""

from collections.abc import AsyncIterator

from xxhash import xxh3_128_digest

from meter import topics
from meter.records import ORIGIN_HEADER
from meter.rules import Rules
from meter.step import Step
from streams.kafka.clients import offsets, read_range, reader
from streams.proof.differences import Difference
from streams.settings import Settings


class RerouteCheck:
    """What the steps of all partitions forwarded, by origin, to be found on the rerouted topic exactly once."""

    def __init__(self) -> None:
        self._expected: dict[bytes, tuple[int, bytes]] = {}

    def expect(self, step: Step) -> None:
        """Note what a replayed step forwarded."""
        for row in step.outputs.rerouted:
            self._expected[row.headers[-1][1] or b""] = row.partition, xxh3_128_digest(row.value)

    async def differences(self, settings: Settings, rules: Rules) -> AsyncIterator[Difference]:
        """Records that the meter forwarded and the log does not explain, and those that are missing."""
        name = settings.topic(topics.REROUTED)
        seen: set[bytes] = set()
        async with reader(settings) as consumer:
            for partition in range(rules.partitions):
                start, end = await offsets(consumer, name, partition)
                async for records in read_range(consumer, name, partition, start, end):
                    for record in records:
                        origin = next((value for key, value in record.headers if key == ORIGIN_HEADER), None)
                        if origin is None:
                            continue  # not the meter's: it was judged as any input is
                        where = f"{name}[{partition}]@{record.offset}"
                        expected = self._expected.get(origin)
                        if origin in seen:
                            yield Difference(f"{where}: forwarded twice from {origin.decode(errors='replace')}")
                        elif expected is not None and expected != (partition, xxh3_128_digest(record.value or b"")):
                            yield Difference(f"{where}: not what came in at {origin.decode(errors='replace')}")
                        seen.add(origin)
        for origin in self._expected.keys() - seen:
            yield Difference(f"{name}: missing what came in at {origin.decode()}")
