"""The bound: read the input with aiokafka and decode it with msgspec, and do nothing with it.

No Python program on aiokafka can be faster. Prints one JSON object: events, seconds and CPU seconds between the first
tenth of the events and the last.
"""

import asyncio
import json
import sys
import time

import msgspec
from aiokafka import AIOKafkaConsumer


class Completion(msgspec.Struct):
    """The contract's fields; what else a record has is skipped."""

    job_id: str
    account_id: str
    region: str
    kinds: list[str]
    duration_s: float
    completed_at: str


async def read(bootstrap_servers: str, topic: str, events: int) -> dict[str, float]:
    """Read and decode `events` records; the steady window's figures."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 << 20,
    )
    await consumer.start()
    decode = msgspec.json.Decoder(Completion).decode
    count, first, wall, cpu = 0, 0, 0.0, 0.0
    while count < events:
        for records in (await consumer.getmany(timeout_ms=1000, max_records=20_000)).values():
            for record in records:
                decode(record.value)
            count += len(records)
        if not first and count >= events / 10:
            first, wall, cpu = count, time.monotonic(), time.process_time()
    figures = {
        "events": count - first,
        "seconds": time.monotonic() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }
    await consumer.stop()
    return figures


if __name__ == "__main__":
    print(json.dumps(asyncio.run(read(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
