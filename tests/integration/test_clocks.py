"""Brokers and machines whose clocks are wrong. Kafka's own cannot be turned: a topic takes the producer's stamps."""

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from meter.regions import ZONES
from tests.integration.running import COMPLETED, Meter, Worker, job, until, value_of
from tests.machine.clock import WrongClock
from tests.open_kafka import OpenBroker
from tests.recount.placement import owner
from tests.recount.recount import recount

HOUR_MS = 3_600_000
MONTH_MS = 36 * 24 * HOUR_MS
FOR_EVER_MS = str(1 << 60)


def stamps(meter: Meter, kind: str) -> None:
    """Who stamps the records of the inputs from now on: `CreateTime`, as a broker with any clock; `LogAppendTime`."""
    entries = {"message.timestamp.type": kind, "message.timestamp.after.max.ms": FOR_EVER_MS}
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            meter.topic(name),
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in entries.items()
            ],
        )
        for name in (COMPLETED, "meter.commands")
    ]
    meter.administer(lambda admin: admin.incremental_alter_configs(resources))


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def top_up(command_id: str) -> bytes:
    issued = datetime.now(UTC).isoformat(timespec="milliseconds")
    command = {"command_id": command_id, "type": "top_up", "account_id": "A", "amount": "5.00", "issued_at": issued}
    return json.dumps(command).encode()


@pytest.fixture
def meter(kafka: str, tmp_path: Path) -> Iterator[Meter]:
    with Meter(kafka, tmp_path) as meter:
        yield meter.create()


class TestABrokerThatWasAhead:
    """Some records are stamped a month and eight hours ahead; the broker's clock is right again."""

    JOBS: ClassVar = {"month": MONTH_MS, "hours": 8 * HOUR_MS, "bearable": HOUR_MS // 2, "right": 0}

    @pytest.fixture
    def worker(self, meter: Meter) -> Worker:
        worker = meter.open_worker()
        meter.submit(job(job_id="before"))
        stamps(meter, "CreateTime")
        own, at = owner("A", meter.partitions), now_ms()
        jobs = [{"value": value_of(job_id=name), "timestamp": at + ahead} for name, ahead in self.JOBS.items()]
        meter.produce(COMPLETED, *({"key": b"A", "partition": own, **each} for each in jobs))
        meter.produce("meter.commands", {"value": top_up("paid"), "partition": own, "timestamp": at + MONTH_MS})
        meter.wait_folded()
        return worker

    def test_what_it_stamped_is_refused_and_nothing_else_is(self, meter: Meter, worker: Worker) -> None:
        refused = meter.rows("usage.rejected")
        assert {(row["code"], row["job_id"], row["amount_at_risk"]) for row in refused} == {
            ("clock_ahead", "month", "16.80"),
            ("clock_ahead", "hours", "16.80"),
        }
        assert {row["job_id"] for row in meter.rows("usage.priced")} == {"before", "bearable", "right"}
        steps = [row for row in meter.rows("meter.journal") if row["kind"] == "step"]
        assert max(row["record_time"] for row in steps) < now_ms() + HOUR_MS
        assert "records refused as clock_ahead" in worker.said()
        assert worker.page("/readyz")[0] == 200
        metrics = worker.metrics()
        for partition in range(meter.partitions):
            assert abs(metrics[f'meter_clock_skew_seconds{{partition="{partition}"}}']) < 60
            assert metrics[f'meter_intake_paused{{partition="{partition}"}}'] == 0

    def test_commands_books_and_contracts_are_done_as_before(self, meter: Meter, worker: Worker) -> None:
        (answer,) = meter.rows("meter.command-results")
        assert (answer["status"], answer["code"]) == ("refused", "clock_ahead")
        stamps(meter, "LogAppendTime")
        paid = ("account", "topup", "A", "--amount", "5.00", "--command-id")
        for _ in range(2):
            assert meter.run(*paid, "paid").stdout.startswith("done")
        assert meter.ask("account", "show", "A")["balance"] == "5.00"
        soon = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
        assert meter.run("account", "contract", "A", "--from", soon, "--price", "*=0.2").stdout.startswith("done")
        book = json.dumps({"version": "next", "effective_from": soon, "prices": dict.fromkeys(ZONES, "0.5")})
        assert meter.run("prices", "publish", "-", given=book).stdout.startswith("done on 2 partitions")
        meter.verified()

    def test_once_the_clock_is_right_all_of_it_is_metered_once(self, meter: Meter, worker: Worker) -> None:
        stamps(meter, "LogAppendTime")
        assert meter.run("rejects", "redrive", "--code", "clock_ahead").returncode == 0
        meter.wait_folded()
        metered = [row["job_id"] for row in meter.rows("usage.priced")]
        assert sorted(metered) == sorted(["before", *self.JOBS])
        meter.submit(*(job(job_id=name) for name in metered))
        assert meter.counts()["priced"] == len(metered)
        meter.verified()
        assert recount(meter.bootstrap_servers, meter.prefix).first == []


def test_intake_waits_loudly_while_nobody_can_tell_which_clock_is_right(meter: Meter, tmp_path: Path) -> None:
    ahead = tmp_path / "ahead"
    ahead.write_text(str(-8 * 3600))
    worker = meter.worker(command=[sys.executable, "-m", "tests.integration.wrong_clock", ahead, "worker"])
    until(lambda: worker.open_partitions() == [0, 1], "the worker to open its partitions")
    assert meter.run("submit", "-", given=json.dumps(job(account_id="A"))).returncode == 0
    own = owner("A", meter.partitions)
    until(lambda: worker.page("/readyz")[0] == 503, "readiness to fail")
    page: dict[str, Any] = json.loads(worker.page("/readyz")[1])
    assert (page["status"], page["paused"]) == ("paused", [own])
    metrics = worker.metrics()
    assert metrics[f'meter_intake_paused{{partition="{own}"}}'] == 1
    assert abs(metrics[f'meter_clock_skew_seconds{{partition="{own}"}}'] - 8 * 3600) < 60
    assert "intake is paused" in worker.said()
    assert meter.counts()["read"] == 0
    ahead.write_text("0")
    meter.wait_folded()
    assert (meter.counts()["priced"], meter.counts()["rejected"]) == (1, 0)
    until(lambda: worker.page("/readyz")[0] == 200, "readiness")


def test_a_broker_whose_clock_jumps_ahead_and_is_put_right(tmp_path: Path) -> None:
    """The stamps of the journal are ahead like all others: intake waits, and refuses what was stamped so afterwards."""
    clock = WrongClock(tmp_path / "clock")
    with (
        OpenBroker(tmp_path, extras=clock.extras) as broker,
        Meter(broker.bootstrap_servers, tmp_path) as meter,
    ):
        worker = meter.create().open_worker()
        meter.submit(job(job_id="before"))
        clock.set(timedelta(hours=8))
        assert meter.run("submit", "-", given=json.dumps(job(job_id="meanwhile"))).returncode == 0
        until(lambda: worker.page("/readyz")[0] == 503, "readiness to fail")
        ahead_s = worker.metrics()[f'meter_clock_skew_seconds{{partition="{owner("A", meter.partitions)}"}}']
        assert abs(ahead_s - 8 * 3600) < 60
        assert "intake is paused" in worker.said()
        clock.set(timedelta())
        meter.submit(job(job_id="after"))
        assert [(row["job_id"], row["code"]) for row in meter.rows("usage.rejected")] == [("meanwhile", "clock_ahead")]
        assert meter.run("rejects", "redrive", "--code", "clock_ahead").returncode == 0
        meter.wait_folded()
        assert sorted(row["job_id"] for row in meter.rows("usage.priced")) == ["after", "before", "meanwhile"]
        assert worker.page("/readyz")[0] == 200
        meter.verified()
