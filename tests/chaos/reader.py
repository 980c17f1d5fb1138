"""Who reads: a consumer of committed records that follows all outputs while everything is struck.

Each time it stands at the end of a partition, what it has seen must be whole steps: so many records as the journal's
entries up to some step say. Books balance there, totals have not fallen, and no bill has come twice.
"""

import json
import threading
import time
from bisect import bisect_right
from collections import defaultdict
from decimal import Decimal
from itertools import accumulate, pairwise
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

JOURNAL, DAILY, BILLS, LEDGER = "meter.journal", "usage.daily", "billing.bills", "billing.ledger"
#: Each output of which the journal counts the records of a step, and under what name.
COUNTED = {
    "usage.priced": "priced",
    "usage.rejected": "rejected",
    BILLS: "bills",
    "billing.notes": "notes",
    LEDGER: "entries",
}
Place = tuple[str, int]
FIRST = 10
PATIENCE_S = 120.0


class CommittedReader:
    """A thread that reads until it is told to stop. `wrong` is what it has found, in words."""

    def __init__(self, bootstrap_servers: str, partitions: int) -> None:
        self.wrong: list[str] = []
        self.polls = 0
        self._partitions = partitions
        self._moves: list[list[float]] = [[] for _ in range(partitions)]
        self._steps: list[list[dict[str, Any]]] = [[] for _ in range(partitions)]
        self._counts: defaultdict[Place, int] = defaultdict(int)
        self._ends_seen: defaultdict[Place, set[int]] = defaultdict(set)
        self._owed: defaultdict[int, Decimal] = defaultdict(Decimal)
        self._totals: dict[bytes, tuple[int, Decimal]] = {}
        self._bills: dict[str, bytes] = {}
        self._at_end: set[Place] = set()
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "chaos-reader",  # never joined
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        topics = [JOURNAL, DAILY, *COUNTED]
        self._places = [(topic, partition) for topic in topics for partition in range(partitions)]
        self._consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in self._places])
        self._take: dict[str, Any] = {JOURNAL: self._step, DAILY: self._total, BILLS: self._bill, LEDGER: self._entry}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)
        self._thread.start()

    # -- what moved ------------------------------------------------------------------------------------------

    def moved_since(self, instant: float) -> bool:
        """Whether each partition has committed a step after an instant of the monotonic clock."""
        return all(moves and moves[-1] > instant for moves in self._moves)

    def stalls(self, began: float, ended: float) -> tuple[float, float]:
        """The longest time that a partition stood still around a fault, and how much of it was after its end."""
        longest = after = 0.0
        for moves in self._moves:
            after = max(after, next((move for move in moves[bisect_right(moves, ended) :]), ended) - ended)
            around = moves[max(0, bisect_right(moves, began) - 1) :]
            longest = max([longest, *(later - earlier for earlier, later in pairwise(around))])
        return longest, after

    # -- what is read ----------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Read to the end of everything, and judge. Nothing may be written any more."""
        self._stopping.set()
        self._thread.join()
        if len(self._at_end) < len(self._places):
            self._say("the reader did not get to the end of everything")
        self._judge_steps()

    def _positions(self) -> list[TopicPartition]:
        held = self._consumer.position([TopicPartition(*place) for place in self._places])
        return [TopicPartition(tp.topic, tp.partition, max(tp.offset, OFFSET_BEGINNING)) for tp in held]

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._poll()
        self._at_end.clear()
        self._consumer.assign(self._positions())  # anew: each partition tells of its end again
        deadline = time.monotonic() + PATIENCE_S
        while len(self._at_end) < len(self._places) and time.monotonic() < deadline:
            self._poll()
        self._consumer.close()

    def _poll(self) -> None:
        for message in self._consumer.consume(2_000, timeout=0.1):
            self._on(message)
        self.polls += 1

    def _on(self, message: Message) -> None:
        error = message.error()
        place = (message.topic() or "", message.partition() or 0)
        if error is None:
            self._counts[place] += 1
            if (take := self._take.get(place[0])) is not None:
                take(place[1], message)
        elif error.code() == KafkaError._PARTITION_EOF:
            self._stands_at_end(place)

    def _stands_at_end(self, place: Place) -> None:
        self._ends_seen[place].add(self._counts[place])
        self._at_end.add(place)
        if place[0] == LEDGER and self._owed[place[1]]:
            self._say(f"the ledger of partition {place[1]} came to {self._owed[place[1]]}")

    def _step(self, partition: int, message: Message) -> None:
        entry = json.loads(message.value() or b"{}")
        if entry["kind"] == "step":
            self._steps[partition].append(entry)
            self._moves[partition].append(time.monotonic())

    def _total(self, partition: int, message: Message) -> None:
        key, value = message.key() or b"", message.value()
        if value is None:  # a day that is billed, and older than the horizon
            self._totals.pop(key, None)
            return
        total = json.loads(value)
        now = total["jobs"], Decimal(total["amount"])
        if key in self._totals and (now[0] < self._totals[key][0] or now[1] < self._totals[key][1]):
            self._say(f"the total of {key!r} on partition {partition} fell from {self._totals[key]} to {now}")
        self._totals[key] = now

    def _bill(self, partition: int, message: Message) -> None:
        value = message.value() or b"{}"
        bill_id = json.loads(value)["bill_id"]
        if bill_id in self._bills:
            self._say(f"bill {bill_id} came a second time, on partition {partition}")
        self._bills[bill_id] = value

    def _entry(self, partition: int, message: Message) -> None:
        for posting in json.loads(message.value() or b"{}")["postings"]:
            self._owed[partition] += Decimal(posting["amount"])

    def _judge_steps(self) -> None:
        """Whether each end at which it stood was the end of a step."""
        for (topic, partition), seen in sorted(self._ends_seen.items()):
            if topic not in COUNTED:
                continue
            ends = {0, *accumulate(step[COUNTED[topic]] for step in self._steps[partition])}
            for torn in sorted(seen - ends):
                self._say(f"{topic}[{partition}]: {torn} records were seen, where no step ends")
            if self._counts[topic, partition] != max(ends):
                have = self._counts[topic, partition]
                self._say(f"{topic}[{partition}] holds {have} records, the journal says {max(ends)}")

    def _say(self, what: str) -> None:
        if len(self.wrong) < FIRST and what not in self.wrong:
            self.wrong.append(what)
