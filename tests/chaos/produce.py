"""How it is sent: librdkafka producers of every codec, in a process of their own.

It reads allowances from stdin (a line with the number of records that may have been sent by now), sends up to there at
no more than the given rate, and says on stdout what was acknowledged. Everything is sent with acks=all and idempotence.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from tests.chaos.traffic import ABORT, CODECS, CRC32, TRANSACTIONAL, Send, Traffic

PATIENCE_S = 120


class Producers:
    """One producer of each kind, and what the broker acknowledged."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self.topic = topic
        self.counts: Counter[str] = Counter()
        common = {
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "message.max.bytes": 1_048_576,
            "delivery.timeout.ms": PATIENCE_S * 1000,
            "reconnect.backoff.max.ms": 1000,
            "log_level": 0,
        }
        placed = {"partitioner": "murmur2_random"}
        self._producers = {codec: Producer(common | placed | {"compression.type": codec}) for codec in CODECS}
        self._producers[CRC32] = Producer(common | {"compression.type": "lz4"})
        self._transactional = Producer(
            common
            | placed
            | {
                "transactional.id": f"{topic}-chaos",
                "transaction.timeout.ms": PATIENCE_S * 1000,
                "compression.type": "zstd",
            }
        )
        self._transactional.init_transactions(PATIENCE_S)
        self._block: list[Send] = []

    def send(self, send: Send) -> None:
        if send.producer != TRANSACTIONAL:
            self._produce(self._producers[send.producer], send, self._acknowledged)
            return
        self._block.append(send)
        if send.end is not None:
            self._transact(self._block, send.end)
            self._block = []

    def _produce(self, producer: Producer, send: Send, acknowledged: Callable[..., None]) -> None:
        place = {} if send.partition is None else {"partition": send.partition}
        while True:
            try:
                producer.produce(
                    self.topic,
                    value=send.value,
                    key=send.key,
                    headers=send.headers,
                    on_delivery=acknowledged,
                    **place,
                )
            except BufferError:  # the broker is away or slow: its acknowledgements make room
                producer.poll(0.5)
            else:
                producer.poll(0)
                return

    def _acknowledged(self, error: KafkaError | None, _: Any) -> None:
        self.counts["acknowledged" if error is None else "failed"] += 1

    def _transact(self, block: list[Send], end: str) -> None:
        """Commit or abort; a commit that the broker refuses is aborted and done again."""
        while True:
            self._transactional.begin_transaction()
            for send in block:
                self._produce(self._transactional, send, lambda *_: None)
            self._transactional.flush(PATIENCE_S)  # an aborted record must have reached the log to prove anything
            if end == ABORT:
                self._finish(self._transactional.abort_transaction)
                self.counts["aborted"] += len(block)
                return
            try:
                self._finish(self._transactional.commit_transaction)
            except KafkaException as refused:
                if not refused.args[0].txn_requires_abort():
                    raise
                self._finish(self._transactional.abort_transaction)
                self.counts["aborted"] += len(block)
            else:
                self.counts["acknowledged"] += len(block)
                return

    def _finish(self, end: Callable[[float], None]) -> None:
        """The end of a transaction may be asked for again after a retriable error, and only then."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return end(PATIENCE_S)
            except KafkaException as refused:
                if not refused.args[0].retriable() or time.monotonic() > deadline:
                    raise

    def close(self) -> None:
        """Wait until everything is acknowledged."""
        if self._block:
            self._transact(self._block, ABORT)
        for producer in self._producers.values():
            self.counts["unsent"] += producer.flush(PATIENCE_S)

    def wait(self, seconds: float) -> None:
        """Let time pass usefully."""
        for producer in self._producers.values():
            producer.poll(seconds / len(self._producers))


def main(arguments: list[str]) -> None:
    """Arguments: bootstrap servers, topic, partitions, seed, records, base time, records a second."""
    bootstrap, topic, partitions, seed, records, base, rate = arguments
    traffic = Traffic(int(seed), int(records), datetime.fromisoformat(base), int(partitions))
    producers = Producers(bootstrap, topic)
    allowed, burst, began = 0, 0, 0.0
    for sent, send in enumerate(traffic):
        while sent >= allowed:
            allowed, burst, began = int(sys.stdin.readline()), sent, time.monotonic()
        producers.send(send)
        ahead = (sent - burst) / float(rate) - (time.monotonic() - began)
        if ahead > 0.02:
            producers.wait(ahead)
    producers.close()
    sys.stdout.write(json.dumps(producers.counts) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
