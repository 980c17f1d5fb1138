"""Kafka away at the start: the worker waits. Kafka lost in mid-run: it ends with its own code, and loses nothing."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.broker.ports import free_port
from tests.integration.running import METER, Meter, Worker, job, lines, until
from tests.open_kafka import OpenBroker
from tests.recount.recount import recount

BROKER_LOST = 5
#: A worker waits three of its session timeouts, 6 s here; `submit` gives a batch 30 s.
LOST_WITHIN_S = 45


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[OpenBroker]:
    """A broker of the test's own, on one port over all its starts."""
    broker = OpenBroker(tmp_path / "broker", port=free_port())
    yield broker
    broker.stop()


@pytest.fixture
def meter(broker: OpenBroker, tmp_path: Path) -> Iterator[Meter]:
    with Meter(broker.start().bootstrap_servers, tmp_path) as meter:
        yield meter.create()


def test_the_worker_waits_for_a_broker_that_is_missing_at_its_start(meter: Meter, broker: OpenBroker) -> None:
    broker.stop()
    worker = meter.worker()
    until(lambda: worker.said().count("no Kafka at") >= 3, "the worker to try again and again")
    assert "retry_in_s=0.5" in worker.said()
    assert "retry_in_s=1.0" in worker.said()
    broker.start()
    until(lambda: worker.open_partitions() == [0, 1], "the worker to open its partitions")
    meter.submit(job())
    assert meter.counts()["priced"] == 1
    assert worker.stop() == 0


def test_sigterm_ends_a_worker_that_waits(meter: Meter, broker: OpenBroker) -> None:
    broker.stop()
    worker = meter.worker()
    until(lambda: "no Kafka at" in worker.said(), "the worker to try")
    assert worker.stop() == 0


def test_a_broker_that_is_lost_ends_everything_with_one_line_and_loses_nothing(
    meter: Meter, broker: OpenBroker
) -> None:
    """One story, since each of its ends takes half a minute: a worker, one that is asked to stop, and a submit."""
    # So long the worker after them waits for their partitions.
    worker, asked = (meter.worker(session_timeout_s=6) for _ in range(2))
    until(lambda: len(worker.open_partitions()) == len(asked.open_partitions()) == 1, "each to open a partition")
    with start_submitting(meter) as submitting:
        give(submitting, *(job(account_id=account) for account in "ABCD"))
        until(lambda: meter.counts()["priced"] == 4, "the first lines to be metered")

        broker.kill()
        lost = time.monotonic()
        give(submitting, *(job(account_id=account) for account in "EFGH"))
        assert submitting.stdin is not None
        assert submitting.stderr is not None
        submitting.stdin.close()
        asked.process.terminate()
        totals = meter.execute("totals")
        assert (totals.returncode, totals.stderr.count("\n")) == (BROKER_LOST, 1)
        assert totals.stderr.startswith(f"meter: no Kafka at {meter.bootstrap_servers}")
        assert asked.ended(LOST_WITHIN_S) in (0, BROKER_LOST)  # 0: it had nothing on its way
        assert worker.ended(LOST_WITHIN_S) == BROKER_LOST
        assert submitting.wait(LOST_WITHIN_S) == 1
        assert time.monotonic() - lost < LOST_WITHIN_S
        assert last_words(worker) == f"Kafka at {meter.bootstrap_servers} has not answered for 18 s"
        if asked.ended(0) == BROKER_LOST:
            assert last_words(asked) == "Kafka has not let this worker go for 20 s: ended all the same"
        (line,) = submitting.stderr.read().decode().splitlines()
        assert "4 records were acknowledged, and more may have been sent; submit all of it again" in line

    broker.start()
    meter.open_worker()
    meter.submit(*(job(account_id=account) for account in "EFGH"))
    assert meter.counts()["priced"] >= 8
    assert recount(meter.bootstrap_servers, meter.prefix).first == []


def start_submitting(meter: Meter) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [METER, "submit", "-"], env=meter.environment(), stdin=pipe, stdout=pipe, stderr=pipe, cwd=meter.root
    )


def give(process: subprocess.Popen[bytes], *jobs: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(lines(*jobs).encode())
    process.stdin.flush()


def last_words(worker: Worker) -> str:
    """The one error that it logged, without time and code."""
    (line,) = [line for line in worker.said().splitlines() if "[error" in line]
    return line.partition("] ")[2].partition(" exit_code=")[0].strip()
