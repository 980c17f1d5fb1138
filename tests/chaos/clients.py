"""Who sends: customers of the simulated days, through producers that retry, repeat themselves, err and abort.

It keeps what its producers were told, which is what the verdict holds the log against.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from tests.chaos.days import COMPLETED, FIRST_DAY, DayEvent, Days

ACCOUNTS = 300
PATIENCE_S = 120.0
BLOCK = 15


class Acknowledged(NamedTuple):
    """A record and where Kafka said that it is."""

    topic: str
    partition: int
    offset: int
    value: bytes


class ChaosClients:
    """A thread that sends day after day until it is told to stop; the last day is sent to its end."""

    def __init__(self, bootstrap_servers: str, seed: int, partitions: int, rate_per_s: int) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.counts: Counter[str] = Counter()
        #: Values of records of which nothing else was ever sent: aborted, and not sent again.
        self.aborted: list[bytes] = []
        self.days_sent = 0
        self.error: BaseException | None = None
        self._common = {
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "linger.ms": 5,
            "delivery.timeout.ms": int(PATIENCE_S * 1000),
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
        self._plain = Producer(self._common)
        self._transactional = self._new_transactional()
        self._days = Days(seed, ACCOUNTS, partitions)
        self._rng = Random(seed)
        self._rate = rate_per_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clients", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let it send its day to the end, and wait until everything is acknowledged. Raises TimeoutError."""
        self._stopping.set()
        self._thread.join()
        if self.error is not None:
            raise TimeoutError(f"the clients gave up: {self.error!r}") from self.error

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._send_day(self.days_sent)
                self.days_sent += 1
        except BaseException as error:
            self.error = error

    def _send_day(self, number: int) -> None:
        noon = FIRST_DAY + timedelta(days=number + 1, hours=13)
        events = [*self._days.day(number), *self._days.tick(noon)]
        began, paced, at = time.monotonic(), 0, 0
        while at < len(events):
            if self._rng.random() < 1 / 150:
                block = events[at : at + BLOCK]
                self._transact(block)
                at += len(block)
            else:
                self._send(events[at])
                at += 1
            if self._stopping.is_set():
                began, paced = time.monotonic(), at  # what is left of the day goes out at once
            self._plain.poll(max(0.0, (at - paced) / self._rate - (time.monotonic() - began)))
        if self._plain.flush(PATIENCE_S):
            raise TimeoutError("Kafka does not take the events")

    def _send(self, event: DayEvent) -> None:
        self._produce(self._plain, event, self._told)
        if event.topic == COMPLETED and self._rng.random() < 0.02:
            self._produce(self._plain, event, self._told)  # a client that was not sure
        if self._rng.random() < 0.01:
            self._produce(self._plain, event._replace(topic=COMPLETED, value=b'{"job_id": '), self._told)

    def _told(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.counts["unknown"] += 1
            return
        self.acknowledged.append(_acknowledged(message))

    def _produce(self, producer: Producer, event: DayEvent, told: Callable[[Any, Message], None]) -> None:
        while True:
            try:
                producer.produce(
                    event.topic, event.value, event.key, event.partition, on_delivery=told, timestamp=event.at_ms
                )
            except BufferError:
                producer.poll(0.5)
            else:
                return

    def _transact(self, events: list[DayEvent]) -> None:
        """One block in a transaction. What is aborted is sent again by itself, or never."""
        self._plain.flush(PATIENCE_S)  # a partition's stamps never fall
        commits = self._rng.random() < 0.5
        told: list[Acknowledged] = []
        try:
            self._transactional.begin_transaction()
            for event in events:
                self._produce(self._transactional, event, lambda _, message: told.append(_acknowledged(message)))
            self._transactional.flush(PATIENCE_S)
            self._end(self._transactional.commit_transaction if commits else self._transactional.abort_transaction)
        except KafkaException:
            self._give_up(events)
            return
        if commits:
            self.acknowledged += told
        else:
            self.counts["aborted"] += len(events)
            self._after_abort(events)

    def _after_abort(self, events: list[DayEvent]) -> None:
        for event in events:
            if event.topic != COMPLETED or self._rng.random() < 0.5:
                self._send(event)
            else:
                self.aborted.append(event.value)

    def _end(self, end: Callable[[float], None]) -> None:
        """The end of a transaction may be asked for again after a retriable error, and only then."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return end(PATIENCE_S)
            except KafkaException as refused:
                if not refused.args[0].retriable() or time.monotonic() > deadline:
                    raise

    def _give_up(self, events: list[DayEvent]) -> None:
        """Whether it was done is not known. A new producer settles it; what counts is sent again by itself."""
        self.counts["unknown"] += len(events)
        self._transactional = self._new_transactional()
        for event in events:
            self._send(event)

    def _new_transactional(self) -> Producer:
        own = {"transactional.id": "chaos-clients", "transaction.timeout.ms": int(PATIENCE_S * 1000)}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            producer = Producer(self._common | own)
            try:
                producer.init_transactions(30)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
            else:
                return producer


def _acknowledged(message: Message) -> Acknowledged:
    return Acknowledged(message.topic() or "", message.partition(), message.offset() or 0, message.value() or b"")


def job_of(value: bytes) -> tuple[str, str] | None:
    """Account and job of a completion; None for what is none."""
    try:
        content = json.loads(value)
        return content["account_id"], content["job_id"]
    except (ValueError, LookupError, TypeError):
        return None
