"""Throughput and CPU per event: each program works through the same backlog, one after the other.

Progress is what a read_committed consumer could have read of the priced topic. The window goes from the first tenth
of the records to the last one, so that starting up, which takes a JVM longer than Python, counts for nobody.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass

import msgspec
import psutil

from bench.cluster import Cluster
from bench.contenders import Contender
from bench.load import Load
from bench.process import Deadline, Worker, WorkerFailed

POLL_S = 0.1
QUIET_S = 2.0  # no new record for so long, with all of them there: the end
START_S = 90
SLOWEST_PER_S = 1_000
READER_S = 60


@dataclass(frozen=True)
class Rate:
    """One program's figures over its window of `events`.

    CPU in microseconds per event; `others` is the share of the machine that neither the program nor the broker nor the
    bench used: above a few percent, the machine was not free and the rate is too low.
    """

    name: str
    events: int
    seconds: float
    events_per_s: float
    cpu_us: float
    broker_cpu_us: float | None
    peak_rss: int | None
    others: float
    checked: bool


@dataclass(frozen=True)
class _Sample:
    at: float
    records: int
    cpu_s: float
    broker_cpu_s: float
    bench_cpu_s: float
    busy_s: float


def measure(cluster: Cluster, contender: Contender, load: Load, events: int) -> Rate:
    """Run one program over the backlog until `events` of it are done. Raises WorkerFailed.

    When that is the whole backlog, what it wrote is also counted and added up, and has to be right.
    """
    whole = events >= load.events
    target = load.unique if whole else events
    worker = contender.start()
    try:
        samples = _watch(cluster, contender, worker, target, whole)
        peak_rss = worker.peak_rss()
    finally:
        worker.stop()
    if whole:
        check_outputs(cluster, contender, load)
    share = load.events / load.unique  # events read per record written: duplicates write nothing
    return _rate(contender.name, samples, target * share, peak_rss=peak_rss, checked=whole)


def _watch(cluster: Cluster, contender: Contender, worker: Worker, target: int, whole: bool) -> list[_Sample]:
    deadline = Deadline.after(START_S + target / SLOWEST_PER_S, f"{target} records of {contender.priced}")
    samples: list[_Sample] = []
    changed_at = time.monotonic()
    while True:
        worker.check()
        deadline.check()
        sample = _sample(cluster, contender, worker)
        if samples and sample.records != samples[-1].records:
            changed_at = sample.at
        samples.append(sample)
        if sample.records >= target and (not whole or sample.at - changed_at > QUIET_S):
            return samples
        time.sleep(POLL_S)


def _sample(cluster: Cluster, contender: Contender, worker: Worker) -> _Sample:
    times = psutil.cpu_times()
    busy = sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)
    return _Sample(
        time.monotonic(),
        cluster.committed_end(contender.priced),
        worker.cpu_s(),
        cluster.broker_cpu_s(),
        time.process_time(),
        busy,
    )


def _rate(name: str, samples: list[_Sample], all_events: float, *, peak_rss: int, checked: bool) -> Rate:
    last = samples[-1].records
    end = next(sample for sample in samples if sample.records >= last)
    first = next(sample for sample in samples if sample.records >= last / 10)
    if first is end:
        raise WorkerFailed("too few events for a window: all were done between two looks; give more with --events")
    # Markers are a few in a thousand of what the offsets count; they are spread evenly and are no events.
    events = round((end.records - first.records) / last * all_events)
    seconds = end.at - first.at
    cpu_s = end.cpu_s - first.cpu_s
    broker_cpu_s = end.broker_cpu_s - first.broker_cpu_s
    ours = cpu_s + broker_cpu_s + end.bench_cpu_s - first.bench_cpu_s
    others = max(0.0, end.busy_s - first.busy_s - ours) / (seconds * (psutil.cpu_count() or 1))
    return Rate(
        name,
        events,
        seconds,
        events / seconds,
        cpu_s / events * 1e6,
        broker_cpu_s / events * 1e6,
        peak_rss,
        others,
        checked,
    )


class _TotalSeen(msgspec.Struct):
    jobs: int
    amount: str


def check_outputs(cluster: Cluster, contender: Contender, load: Load) -> None:
    """Raises WorkerFailed unless each new job was priced once and the last totals add up to the load's amount."""
    priced = sum(1 for _ in cluster.committed_records(contender.priced))
    decode = msgspec.json.Decoder(_TotalSeen).decode
    last = {bytes(record.key()): record.value() for record in cluster.committed_records(contender.daily)}
    totals = [decode(value) for value in last.values()]
    jobs = sum(total.jobs for total in totals)
    amount = sum(_ten_thousandths(total.amount) for total in totals)
    if (priced, jobs, amount) != (load.unique, load.unique, load.amount):
        raise WorkerFailed(
            f"wrong: {priced} priced and {jobs} in totals of {load.unique}, worth {amount} of {load.amount} CNY/10,000"
        )


def _ten_thousandths(amount: str) -> int:
    whole, _, fraction = amount.partition(".")
    return int(whole + fraction.ljust(4, "0"))


def measure_reader(cluster: Cluster, topic: str, events: int) -> Rate:
    """The bound: a program that only reads and decodes. Raises WorkerFailed."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.peers.reader_bound", cluster.bootstrap_servers, topic, str(events)],
            capture_output=True,
            text=True,
            check=False,
            timeout=READER_S,
        )
    except subprocess.TimeoutExpired as error:
        raise WorkerFailed(f"not in time: {events} events read") from error
    if done.returncode:
        raise WorkerFailed(f"the reader ended with code {done.returncode}:\n{done.stderr}")
    figures = json.loads(done.stdout)
    count, seconds = figures["events"], figures["seconds"]
    cpu_us = figures["cpu_seconds"] / count * 1e6
    return Rate("aiokafka reads and decodes", count, seconds, count / seconds, cpu_us, None, None, 0.0, False)
