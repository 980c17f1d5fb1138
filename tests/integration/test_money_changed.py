"""A bill that was changed after it was published: the proof names it, and the line."""

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.record.util import calc_crc32c

from tests.integration.money import InProcess
from tests.integration.running import Meter, job
from tests.open_kafka import OpenBroker

DAY = "2019-01-01T12:00:00+08:00"
#: In a batch of Kafka's log: where the CRC-32C stands, and from where on it covers the batch.
CRC_AT, COVERED_FROM = 17, 21


def change(segment: Path, old: bytes, new: bytes) -> None:
    """Change a record in a log segment of Kafka, as who can write to its disk would."""
    log = bytearray(segment.read_bytes())
    place = log.index(old)
    assert log.find(old, place + 1) == -1
    assert len(old) == len(new)
    log[place : place + len(old)] = new
    start, end = next(span for span in batches(log) if span[0] < place < span[1])
    struct.pack_into(">I", log, start + CRC_AT, calc_crc32c(bytes(log[start + COVERED_FROM : end])))
    segment.write_bytes(log)


def batches(log: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Where each batch begins and ends: 8 bytes of offset, 4 of length, and so many more."""
    start = 0
    while start < len(log):
        (length,) = struct.unpack_from(">i", log, start + 8)
        yield start, start + 12 + length
        start += 12 + length


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Meter, str]]:
    """A meter on a copy of its broker's data in which a bill says 0.3137 for 0.3136 in its second line."""
    root = tmp_path_factory.mktemp("changed")
    with OpenBroker(root / "kafka") as broker, InProcess(broker.bootstrap_servers, root, 1) as meter:
        worker = meter.create("--clock", "simulated").open_worker()
        tokyo = job(job_id="j2", region="ap-tokyo", duration_s=60, completed_at=DAY)
        meter.submit(job(job_id="j1", completed_at=DAY), tokyo, job(job_id="j3", account_id="B", completed_at=DAY))
        assert meter.run("clock", "advance", "--to", "2019-01-02T13:00:00+08:00").returncode == 0
        bill = meter.ask("bills", "show", "B20190101-559aead08264d579")
        assert [line["amount"] for line in bill["lines"]] == ["16.80", "0.3136"]
        meter.verified()
        assert worker.stop() == 0
    shutil.copytree(root / "kafka", root / "copy")
    (segment,) = (root / "copy").rglob(f"{meter.topic('billing.bills')}-0/*.log")
    change(segment, b'"amount":"0.3136"', b'"amount":"0.3137"')
    with OpenBroker(root / "copy") as broker:
        meter.bootstrap_servers = broker.bootstrap_servers
        yield meter, bill["bill_id"]


@pytest.mark.parametrize("of", ["all", "the bill"])
def test_a_digit_of_a_published_bill_that_was_changed_is_named_with_bill_and_line(
    changed: tuple[Meter, str], of: str
) -> None:
    meter, bill_id = changed
    done = meter.run("verify", "--all" if of == "all" else bill_id)
    assert (done.returncode, done.stderr) == (1, "meter: verify: 1 difference\n")
    place, _, what = done.stdout.rstrip("\n").partition(": ")
    assert place.startswith(f"{meter.topic('billing.bills')}[0]@")
    assert what == f"bill {bill_id}: line 2 amount: published 0.3137, the log says 0.3136 differ from what the log says"


def test_the_other_bill_is_as_it_was(changed: tuple[Meter, str]) -> None:
    meter, bill_id = changed
    (other,) = [bill["bill_id"] for bill in meter.ask_lines("bills", "list") if bill["bill_id"] != bill_id]
    done = meter.run("verify", other)
    assert (done.returncode, done.stderr) == (0, "")
