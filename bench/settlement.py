"""Settlement beside intake: how many accounts a second are billed, and what it does to the delay of completions.

On a meter with a simulated clock, so that a day can be over when the bench wants it: the completions of many accounts
come in as of the day before yesterday. Some accounts have a day before that, which is billed first, since a broker's
first minutes with a topic cost several times more. Then completions of now come in at a fixed rate; the first of them
tells each partition that the day's cut has passed, and all accounts are billed while the rest is metered. Afterwards
one bill is proved from the log with `meter verify BILL_ID`.
"""

import json
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Thread

from aiokafka.partitioner import murmur2
from confluent_kafka import Producer

from bench.cluster import PARTITIONS, Cluster
from bench.completions import BILLING_ZONE, Completions
from bench.contenders import Meter
from bench.delay import TICK_S, Run
from bench.load import producer, settle
from bench.process import Deadline, Worker, WorkerFailed

BILLS, COMMANDS, RESULTS, PRICED = "billing.bills", "meter.commands", "meter.command-results", "usage.priced"
LOOK_S = 0.1
WARM_UP_EVENTS = 30_000
WARM_UP_PER_S = 2_000
#: Of the accounts that pay, so many were billed for a day before.
BILLED_BEFORE = 10_000
#: What producers gather for; each request costs the broker the same, and it shares two cores with the worker.
LINGER_MS = 20
START_S = 120
SLOWEST_PER_S = 5_000
#: Deductions succeed for every second account, the others are in arrears.
TOP_UP = "1000.00"


@dataclass(frozen=True)
class SettlementRun:
    """Accounts billed a second, the delay of the completions beside them, and the time to prove one bill."""

    accounts: int
    events: int
    beside_per_s: int
    seconds: float
    accounts_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    verify_s: float


def measure(
    cluster: Cluster, meter: Meter, source: Completions, *, accounts: int, events: int, rate: int, seconds: float
) -> SettlementRun:
    """Bill `accounts` accounts of `events` jobs while `rate` completions a second come in. Raises WorkerFailed."""
    worker = meter.start()
    try:
        _load_day(cluster, meter, worker, accounts, events)
        with cluster.reader(meter.daily, from_end=True) as consumer:
            run = _Settling(cluster, meter, worker, consumer, accounts)
            delays, took = run.settle(source, rate, seconds)
    finally:
        worker.stop()
    p50, p99 = delays[len(delays) // 2], delays[len(delays) * 99 // 100]
    verify_s = _prove_one(cluster, meter)
    return SettlementRun(accounts, events, rate, took, accounts / took, p50, p99, delays[-1], verify_s)


def _load_day(cluster: Cluster, meter: Meter, worker: Worker, accounts: int, events: int) -> None:
    """Top-ups for every second account; a day of some, and the day before yesterday of all; wait for all of it."""
    day = (datetime.now(BILLING_ZONE) - timedelta(days=2)).replace(hour=10, minute=0, second=0, microsecond=0)
    deadline = Deadline.after(START_S + events / SLOWEST_PER_S, f"{events} completions metered")

    def wait(topic: str, records: int) -> None:
        while cluster.committed_end(_topic(meter, topic)) < records:
            worker.check()
            deadline.check()
            time.sleep(LOOK_S)

    out = producer(cluster.bootstrap_servers)
    before = day - timedelta(days=2)
    for number in range(0, accounts, 2):
        _top_up(out, meter, number, before)
    wait(RESULTS, accounts // 2)
    first = range(0, min(accounts, 2 * BILLED_BEFORE), 2)
    for number in first:
        _complete(out, meter.completed, number, number, before)
    settle(out, meter.completed)
    for number in range(accounts, accounts + events):
        _complete(out, meter.completed, number, number % accounts, day)
    settle(out, meter.completed)
    wait(PRICED, events + len(first))
    wait(BILLS, len(first))
    _warm_up(out, meter.completed, accounts + events, accounts, day)
    everything = len(first) + events + WARM_UP_EVENTS
    wait(PRICED, everything)
    # That may count markers for records, and a rest of it would be read as totals of what is measured.
    while sum(1 for _ in cluster.committed_records(_topic(meter, PRICED))) < everything:
        worker.check()
        deadline.check()


def _topic(meter: Meter, name: str) -> str:
    return meter.completed.replace("recognition.jobs.completed", name)


def _top_up(out: Producer, meter: Meter, number: int, at: datetime) -> None:
    account = f"payer-{number}"
    body = {
        "v": 1,
        "command_id": f"top-up-{number}",
        "type": "top_up",
        "issued_at": at.isoformat(),
        "account_id": account,
        "amount": TOP_UP,
    }
    _send(out, _topic(meter, COMMANDS), account, body, int(at.timestamp()) * 1000)


def _warm_up(out: Producer, topic: str, first: int, accounts: int, day: datetime) -> None:
    """Many small steps before what is measured: a broker's first thousands of transactions cost several times more."""
    began, sent = time.monotonic(), 0
    while sent < WARM_UP_EVENTS:
        due = min(WARM_UP_EVENTS, int((time.monotonic() - began) * WARM_UP_PER_S))
        for number in range(first + sent, first + due):
            _complete(out, topic, number, number % accounts, day)
        sent = due
        out.poll(TICK_S)
    settle(out, topic)


def _complete(out: Producer, topic: str, number: int, payer: int, day: datetime) -> None:
    account = f"payer-{payer}"
    job = {
        "job_id": f"{number:032x}",
        "account_id": account,
        "region": "ap-guangzhou",
        "kinds": ["face"],
        "duration_s": 60 + number % 3000,
        "completed_at": day.isoformat(),
    }
    _send(out, topic, account, job, int(day.timestamp()) * 1000)


def _send(out: Producer, topic: str, account: str, body: dict[str, object], at_ms: int) -> None:
    partition = (murmur2(account.encode()) & 0x7FFFFFFF) % PARTITIONS
    while True:
        try:
            out.produce(topic, json.dumps(body).encode(), account.encode(), partition=partition, timestamp=at_ms)
        except BufferError:
            out.poll(0.1)
        else:
            return


class _Settling(Run):
    """A delay run that also looks at how many bills there are."""

    def __init__(self, cluster: Cluster, meter: Meter, worker: Worker, consumer: object, accounts: int) -> None:
        super().__init__(cluster, meter, worker, consumer, LINGER_MS)
        self._cluster = cluster
        self._bills = _topic(meter, BILLS)
        self._accounts = accounts
        self._target = cluster.committed_end(self._bills) + accounts
        self.done_at: float | None = None

    def settle(self, source: Completions, rate: int, seconds: float) -> tuple[list[float], float]:
        """Delays in ms of the completions that came in until all was billed, and the seconds that took."""
        began = time.time()
        Thread(target=self._look, daemon=True).start()
        self._at_rate(source, rate, seconds)
        deadline = Deadline.after(START_S, f"{self._accounts} accounts billed")
        while self.done_at is None:
            self.worker.check()
            deadline.check()
            self._at_rate(source, rate, 1.0)
        self._read_all(Deadline.after(START_S, "the totals of the meter"))
        delays = self.ledger.delays_ms(began, until=self.done_at)
        if not delays:
            raise WorkerFailed("no completion came in while accounts were billed")
        return delays, self.done_at - began

    def _look(self) -> None:
        """Beside the run, so that no answer of the broker's keeps the reading of totals waiting."""
        deadline = Deadline.after(START_S, f"{self._accounts} accounts billed")
        while self._cluster.committed_end(self._bills) < self._target:
            deadline.check()
            time.sleep(LOOK_S)
        self.done_at = time.time()


def _prove_one(cluster: Cluster, meter: Meter) -> float:
    """Seconds that `meter verify BILL_ID` takes for one bill. Raises WorkerFailed when it finds a difference."""
    bills = _topic(meter, BILLS)
    record = next(iter(cluster.committed_records(bills)))
    bill_id = json.loads(record.value())["bill_id"]
    began = time.monotonic()
    ended = meter.run("verify", bill_id)
    took = time.monotonic() - began
    if ended.returncode:
        raise WorkerFailed(f"meter verify {bill_id}: {ended.stdout}{ended.stderr}")
    return took
