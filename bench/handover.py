"""How long partitions stand still when a worker leaves, joins, or is killed: `python -m bench.handover [--ids N]`.

Three workers share eight partitions, of which each gets a completion every 20 ms. A stall is the longest time between
two of a partition's steps, by the broker's clock, from the event on. Each of the three has a disk of its own.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

from bench.cluster import PARTITIONS, Cluster, run_broker
from bench.completions import Completions, utc_now
from bench.contenders import Meter
from bench.load import load, producer
from bench.process import Deadline
from bench.report import WIDTH
from streams.broker.ports import free_port
from streams.terminal.layout import TextTable, laid_out

WORKERS = 3
EVERY_S = 0.02
QUIET_S = 4.0
SETTLE_S = 120.0
METER = Path(sys.executable).with_name("meter")


COLUMNS = ("event", "instance id", "ids", "moved", "worst stall s", "stayed", "worst stall s")


class Stall(NamedTuple):
    """The longest stalls after an event, in seconds: of the partitions that moved, and of those that stayed."""

    event: str
    static: bool
    ids: int
    moved: list[float]
    stayed: list[float]


class Worker:
    """One of the three."""

    def __init__(self, number: int, meter: "Workers") -> None:
        self.number, self._meter = number, meter
        self.port = free_port()
        self._log = meter.root / f"{meter.prefix}worker-{number}.log"
        self.start()

    def start(self) -> None:
        env = {**os.environ, **self._meter.environment(self.number), "METER_WEB_PORT": str(self.port)}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen([METER, "worker"], env=env, stdout=log, stderr=log)

    def ready(self) -> Mapping[str, object]:
        """What `/readyz` says; nothing while there is no answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as page:
                found: dict[str, object] = json.load(page)
                return found
        except HTTPError as error:
            return dict(json.load(error))
        except OSError:
            return {}


class Workers:
    """A meter of its own on the run's broker, and its workers."""

    def __init__(self, cluster: Cluster, *, static: bool, ids: int) -> None:
        self.static, self.ids, self.root = static, ids, cluster.work_dir
        self.prefix = f"handover-{'static' if static else 'dynamic'}."
        self._cluster = cluster
        self._topics = Meter(cluster, self.prefix)
        self._topics.create_topics()
        self._source = Completions(1, PARTITIONS, utc_now())
        self._stop = threading.Event()
        self._steps: dict[int, list[float]] = {partition: [] for partition in range(PARTITIONS)}
        self._workers: list[Worker] = []

    def environment(self, number: int) -> dict[str, str]:
        own = {
            "METER_BOOTSTRAP_SERVERS": self._cluster.bootstrap_servers,
            "METER_DATA_DIR": str(self.root / f"{self.prefix}{number}"),
            "METER_APP_ID": f"{self.prefix}meter",
            "METER_TOPIC_PREFIX": self.prefix,
        }
        return own | ({"METER_INSTANCE_ID": f"worker-{number}"} if self.static else {})

    def measure(self) -> list[Stall]:
        """All events, one after the other."""
        threads = [threading.Thread(target=work) for work in (self._send, self._listen)]
        try:
            self._workers = [Worker(number, self) for number in range(WORKERS)]
            self._wait_shared()
            load(self._cluster.bootstrap_servers, self._topics.completed, self._source, self.ids, duplicates=0)
            self._wait_folded()
            for thread in threads:
                thread.start()
            first, second = self._workers[:2]
            return [
                self._event("leave", lambda: self._end(first, signal.SIGTERM)),
                self._event("join", first.start),
                self._event("restart in place", lambda: (self._end(second, signal.SIGTERM), second.start())),
                self._event("SIGKILL", lambda: self._end(first, signal.SIGKILL)),
            ]
        finally:
            self._stop.set()
            for worker in self._workers:
                worker.process.kill()
                worker.process.wait()
            for thread in threads:
                if thread.ident:
                    thread.join()

    @staticmethod
    def _end(worker: Worker, number: int) -> None:
        worker.process.send_signal(number)
        worker.process.wait()

    def _send(self) -> None:
        """A completion to each partition, again and again."""
        out = producer(self._cluster.bootstrap_servers, **{"linger.ms": 1})
        while not self._stop.wait(EVERY_S):
            chunk = self._source.chunk(500, duplicates=0)
            sent: set[int] = set()
            for partition, key, value in zip(chunk.partitions, chunk.keys, chunk.values, strict=True):
                if partition not in sent:
                    sent.add(partition)
                    out.produce(self._topics.completed, value, key)
            out.poll(0)
        out.flush(10)

    def _event(self, name: str, strike: Callable[[], object]) -> Stall:
        before, began = self._places(), time.time()
        strike()
        self._wait_shared()
        time.sleep(QUIET_S)
        moved = {partition for partition, place in self._places().items() if before.get(partition) != place}
        stalls = self._stalls(began)
        return Stall(
            name,
            self.static,
            self.ids,
            [stall for partition, stall in stalls.items() if partition in moved],
            [stall for partition, stall in stalls.items() if partition not in moved],
        )

    def _places(self) -> dict[int, tuple[int, int]]:
        """The process that meters each partition."""
        return {
            int(partition): (worker.number, worker.process.pid)
            for worker in self._workers
            if worker.process.poll() is None
            for partition in worker.ready().get("open", [])  # type: ignore[attr-defined]
        }

    def _wait_shared(self) -> None:
        """Until every partition is open on one worker, and no worker that runs is without any."""
        deadline = Deadline.after(SETTLE_S, "the partitions to be open")
        while True:
            running = [worker for worker in self._workers if worker.process.poll() is None]
            shares = [worker.ready().get("open", []) for worker in running]
            if sorted(p for share in shares for p in share) == list(range(PARTITIONS)) and all(shares):  # type: ignore[attr-defined]
                return
            deadline.check()
            time.sleep(0.1)

    def _wait_folded(self) -> None:
        deadline = Deadline.after(SETTLE_S + self.ids / 5_000, "the ids to be metered")
        while self._cluster.committed_end(self._topics.priced) < self.ids:
            deadline.check()
            time.sleep(0.2)

    def _listen(self) -> None:
        """Note the broker's time of each step."""
        with self._cluster.reader(f"{self.prefix}meter.journal", from_end=True) as reader:
            while not self._stop.is_set():
                for record in reader.consume(1_000, timeout=0.2):
                    if record.error() is None:
                        self._steps[record.partition()].append(record.timestamp()[1] / 1000)

    def _stalls(self, began: float) -> dict[int, float]:
        """The longest time between two steps of each partition from then on."""
        until = time.time()
        rows = {p: [began, *(stamp for stamp in steps if stamp > began), until] for p, steps in self._steps.items()}
        return {p: max(later - earlier for earlier, later in pairwise(row)) for p, row in rows.items()}


def main() -> int:
    """Both kinds of members, and a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.handover", description=__doc__)
    parser.add_argument("--ids", type=int, default=100, help="ids to remember before (default 100)")
    ids = parser.parse_args().ids
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="handover-", ignore_cleanup_errors=True) as work:
        for static in (True, False):
            with run_broker(Path(work) / str(static)) as cluster:
                rows += [_cells(row) for row in Workers(cluster, static=static, ids=ids).measure()]
    print("\n".join(laid_out(TextTable(COLUMNS, rows), WIDTH)))
    return 0


def _cells(row: Stall) -> list[str]:
    return [
        row.event,
        "yes" if row.static else "no",
        f"{row.ids:,}",
        *_stalls(row.moved),
        *_stalls(row.stayed),
    ]


def _stalls(stalls: list[float]) -> tuple[str, str]:
    return str(len(stalls)), f"{max(stalls):.2f}" if stalls else ""


if __name__ == "__main__":
    sys.exit(main())
