"""Workers that leave, join and are killed, under traffic: how long partitions stand still, and that all is exact.

Who is asked to stop, or joins, has 5 s; who is killed, the session timeout and 5 s.
`python -m bench.handover` prints the same as a table.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from tests.integration.running import COMPLETED, Meter, Worker, until, value_of
from tests.recount.log import Log
from tests.recount.placement import owner
from tests.recount.recount import recount

PARTITIONS = 4
SESSION_S = 6
QUICK_S = 5.0
QUIET_S = 2.0
ACCOUNTS = [next(f"A{n}" for n in range(99) if owner(f"A{n}", PARTITIONS) == p) for p in range(PARTITIONS)]


class Traffic:
    """A completion for each partition, twenty times a second."""

    def __init__(self, meter: Meter) -> None:
        self._meter, self._stop, self.sent = meter, threading.Event(), 0
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        producer = self._meter.producer(**{"linger.ms": 1})
        while not self._stop.wait(0.05):
            for partition, account in enumerate(ACCOUNTS):
                producer.produce(self._meter.topic(COMPLETED), value_of(account_id=account), partition=partition)
                self.sent += 1
            producer.poll(0)
        assert producer.flush(30) == 0

    @contextmanager
    def going(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()


def shared(*workers: Worker) -> bool:
    """Whether these workers meter all partitions, each at least one."""
    shares = [worker.open_partitions() for worker in workers]
    return all(shares) and sorted(p for share in shares for p in share) == list(range(PARTITIONS))


def stalls(meter: Meter, since: float) -> dict[int, float]:
    """The longest time between two steps of each partition from then on, by the broker's clock."""
    found = {}
    with closing(Log(meter.bootstrap_servers, meter.prefix)) as log:
        for partition in range(PARTITIONS):
            stamps = [record.timestamp_ms / 1000 for record in log.records("meter.journal", partition)]
            later = [since, *(stamp for stamp in stamps if stamp > since), time.time()]
            found[partition] = max(after - before for before, after in pairwise(later))
    return found


def struck(meter: Meter, workers: list[Worker], strike: Callable[[], list[Worker]]) -> tuple[float, float]:
    """The longest stall of a partition that moved, and of one that stayed where it was."""
    before = {p: worker for worker in workers for p in worker.open_partitions()}
    since = time.time()
    left = strike()
    until(lambda: shared(*left), "the partitions to be open elsewhere")
    time.sleep(QUIET_S)  # what is measured is time
    after = {p: worker for worker in left for p in worker.open_partitions()}
    found = stalls(meter, since)
    moved = [stall for p, stall in found.items() if before.get(p) is not after.get(p)]
    stayed = [stall for p, stall in found.items() if before.get(p) is after.get(p)]
    return max(moved), max(stayed, default=0.0)


@pytest.mark.parametrize(
    "static",
    [pytest.param(True, id="with an instance id"), pytest.param(False, id="without", marks=pytest.mark.long)],
)
def test_partitions_move_quickly_and_those_that_stay_go_on(kafka: str, tmp_path: Path, static: bool) -> None:
    with Meter(kafka, tmp_path, PARTITIONS, session_timeout_s=SESSION_S) as meter:
        meter.create()

        def start(number: int) -> Worker:
            own = {"instance_id": f"w{number}"} if static else {}
            return meter.worker(data_dir=tmp_path / f"disk-{number}", **own)

        def stop(worker: Worker) -> list[Worker]:
            assert worker.stop() == 0
            return [first]

        def join() -> list[Worker]:
            return [first, start(1)]

        def kill(worker: Worker) -> list[Worker]:
            worker.kill()
            return [first]

        first, second = start(0), start(1)
        until(lambda: shared(first, second), "both to have a share")
        traffic = Traffic(meter)
        with traffic.going():
            until(lambda: meter.counts()["priced"] > 100, "traffic to flow")
            moved, stayed = struck(meter, [first, second], lambda: stop(second))
            assert (moved < QUICK_S, stayed < QUICK_S / 2) == (True, True), (moved, stayed)
            moved, stayed = struck(meter, [first], join)
            assert (moved < QUICK_S, stayed < QUICK_S / 2) == (True, True), (moved, stayed)
            second = meter.workers[-1]
            moved, stayed = struck(meter, [first, second], lambda: kill(second))
            assert (moved < SESSION_S + QUICK_S, stayed < QUICK_S / 2) == (True, True), (moved, stayed)
        meter.wait_folded()
        report = recount(meter.bootstrap_servers, meter.prefix)
        assert (report.first, report.outcomes["priced"]) == ([], traffic.sent)
        assert first.stop() == 0


def test_a_standby_takes_over_by_the_end_of_usage_priced_alone(kafka: str, tmp_path: Path) -> None:
    with Meter(kafka, tmp_path, 1, session_timeout_s=SESSION_S) as meter:
        meter.create()
        active = meter.worker(data_dir=tmp_path / "one")
        until(lambda: active.open_partitions() == [0], "the partition to be open")
        meter.submit(*({"job_id": f"job-{n}"} | _job() for n in range(500)))
        standby = meter.worker(data_dir=tmp_path / "other")
        until(lambda: '"standby"' in standby.page("/readyz")[1], "a worker that was given nothing to be ready")
        assert standby.page("/readyz")[0] == 200
        until(lambda: list((tmp_path / "other").rglob("seen-0.json")), "the standby to have an index")
        assert active.stop() == 0
        until(lambda: standby.open_partitions() == [0], "the standby to take over")
        (opened,) = [line for line in standby.said().splitlines() if "partition open" in line]
        assert "remembered=500" in opened
        assert int(opened.partition("caught_up=")[2].split()[0]) < 500
        meter.submit(*({"job_id": f"job-{n}"} | _job() for n in range(500)))
        assert meter.counts()["duplicate"] == 500
        assert standby.stop() == 0


def _job() -> dict[str, object]:
    return {
        "account_id": "A", "region": "Mainland China", "kinds": ["face"], "duration_s": 60, "completed_at": STAMP,
    }  # fmt: skip


STAMP = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 3600))
