"""A worker whose data directory is on a disk that fills: one line, exit code 7, and nothing lost."""

from pathlib import Path

from tests.integration.running import COMPLETED, Meter, value_of
from tests.machine.disk import small_disk
from tests.recount.placement import owner

NO_ROOM = 7
JOBS = 30_000


def test_a_worker_on_a_full_disk_ends_with_one_line_and_another_goes_on(kafka: str, tmp_path: Path) -> None:
    with Meter(kafka, tmp_path) as meter:
        meter.create()
        with small_disk(tmp_path / "small", 2) as small:
            worker = meter.worker(data_dir=small)
            producer = meter.producer(**{"queue.buffering.max.messages": JOBS})
            for _ in range(JOBS):
                producer.produce(meter.topic(COMPLETED), value_of(), key=b"A", partition=owner("A", 2))
            assert producer.flush(60) == 0
            assert worker.ended() == NO_ROOM
        (line,) = [line for line in worker.said().splitlines() if "[error" in line]
        assert "no room for the dedupe index in " in line
        assert "Traceback" not in worker.said()

        meter.open_worker()
        meter.wait_folded()
        assert meter.counts()["priced"] == JOBS
