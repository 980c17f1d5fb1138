"""A worker that ends, for whatever reason, and the next one: nothing is lost, and nothing is counted twice."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import COMPLETED, Meter, job, lines, until, value_of
from tests.recount.placement import owner
from tests.recount.recount import recount

FENCED = 4
BACKLOG = 60_000


@pytest.fixture
def meter(kafka: str, tmp_path: Path) -> Iterator[Meter]:
    with Meter(kafka, tmp_path) as meter:
        yield meter.create()


def test_a_worker_whose_partition_is_taken_over_opens_it_once_more_and_then_ends_with_a_clear_line(
    meter: Meter,
) -> None:
    worker = meter.open_worker(session_timeout_s=6)  # so long the next one waits for its partitions
    for count in (1, 2):
        other = meter.producer(**{"transactional.id": f"{meter.app_id}-{owner('A', 2)}"})
        other.init_transactions(30)
        assert meter.run("submit", "-", given=lines(job())).returncode == 0
        if count == 1:
            meter.wait_folded()
    assert worker.ended() == FENCED
    (line,) = [line for line in worker.said().splitlines() if "[error" in line]
    assert "another worker has taken over this worker's partition; nothing of the step was committed" in line
    assert "Traceback" not in worker.said()

    meter.open_worker()
    meter.wait_folded()
    assert meter.counts()["priced"] == 2


class TestDedupe:
    """Jobs sent again are duplicates, whatever became of the index on disk."""

    JOBS = tuple(job(account_id=account, job_id=f"job-{number}") for account in "ABCD" for number in range(25))

    @pytest.fixture(params=["there", "deleted", "of another meter", "older"])
    def index(self, request: pytest.FixtureRequest, meter: Meter) -> str:
        """What became of the index between the first worker and the second."""
        worker = meter.open_worker()
        meter.submit(*self.JOBS[:10])
        saved = meter.data_dir.with_name("saved")
        if request.param == "older":
            assert worker.stop() == 0
            shutil.copytree(meter.data_dir, saved)
            worker = meter.open_worker()
        meter.submit(*self.JOBS)
        assert worker.stop() == 0
        if request.param == "of another meter":
            for mark in self.marks(meter):
                mark.write_text(json.dumps({**json.loads(mark.read_text()), "meter_id": "another"}))
        if request.param in {"deleted", "older"}:
            shutil.rmtree(meter.data_dir)
        if request.param == "older":
            saved.rename(meter.data_dir)
        return str(request.param)

    @staticmethod
    def marks(meter: Meter) -> list[Path]:
        """The files that say up to where the index is true, one a partition."""
        found = sorted(meter.data_dir.rglob("seen-*.json"))
        assert len(found) == meter.partitions
        return found

    def test_jobs_sent_again_are_duplicates(self, meter: Meter, index: str) -> None:
        worker = meter.open_worker()
        # The changelog is read again in as far as the index does not have it, and no further.
        read = {"there": 0, "older": len(self.JOBS) - 10}.get(index, len(self.JOBS))
        caught_up = [row for row in worker.said().splitlines() if "partition open" in row]
        assert sum(int(row.partition("caught_up=")[2].split()[0]) for row in caught_up) == read
        meter.submit(*self.JOBS)
        counts = meter.counts()
        assert (counts["priced"], counts["duplicate"]) == (len(self.JOBS), len(self.JOBS) + 10)
        assert worker.stop() == 0
        self.marks(meter)


class TestGracefulStop:
    def test_sigterm_in_a_backlog_finishes_the_step_and_leaves_the_group(self, meter: Meter) -> None:
        self.send_backlog(meter)
        worker = meter.worker()
        until(lambda: meter.counts()["priced"], "the first step")
        assert worker.stop() == 0
        assert meter.counts()["priced"] < BACKLOG
        (group,) = meter.administer(lambda admin: admin.describe_consumer_groups([meter.app_id]))
        assert list(group.members) == []

        meter.open_worker()
        meter.wait_folded()
        report = recount(meter.bootstrap_servers, meter.prefix)
        assert (report.first, report.outcomes["priced"]) == ([], BACKLOG)

    @staticmethod
    def send_backlog(meter: Meter) -> None:
        """On both partitions alike, each job on its account's."""
        accounts = [next(name for name in "ABCDEFGH" if owner(name, 2) == partition) for partition in range(2)]
        values = [value_of(account_id=name, job_id="NUMBER").split(b"NUMBER") for name in accounts]
        producer = meter.producer(**{"queue.buffering.max.messages": BACKLOG})
        for number in range(BACKLOG):
            value = str(number).encode().join(values[number % 2])
            producer.produce(meter.topic(COMPLETED), value, partition=number % 2)
        assert producer.flush(60) == 0
