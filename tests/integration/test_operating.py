"""What an operator does with a meter: rejects, totals, and the worker's pages."""

import base64
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.running import COMPLETED, Meter, Worker, job, until, value_of
from tests.recount.placement import owner

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
NOON = f"{YESTERDAY}T12:00:00+08:00"
HOME = owner("A", 2)
OTHER = next(name for name in "BCDEFGH" if owner(name, 2) != HOME)


class TestTotalsAndPages:
    """Three accounts' jobs, a duplicate, a conflict, junk and one on the wrong partition."""

    @pytest.fixture(scope="module")
    @staticmethod
    def metered(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Meter, Worker]]:
        with Meter(kafka, tmp_path_factory.mktemp("totals")) as meter:
            worker = meter.create().open_worker()
            first = job(job_id="1", completed_at=NOON)
            meter.submit(first, first, {**first, "duration_s": 1}, job(job_id="2", region="Frankfurt", duration_s=61))
            meter.submit(job(job_id="3", account_id=OTHER, region="Virginia", completed_at=NOON))
            meter.produce(COMPLETED, {"value": b"junk"}, {"value": value_of(job_id="4"), "partition": 1 - HOME})
            meter.wait_folded()
            yield meter, worker

    @pytest.mark.parametrize(
        ("options", "jobs", "amount"),
        [
            ((), 4, "52.7072"),
            (("--account", "A"), 3, "34.2272"),
            (("--account", OTHER, "--region", "na-ashburn"), 1, "18.48"),
            (("--region", "Frankfurt"), 1, "0.6272"),
            (("--day", YESTERDAY, "--region", "Mainland China"), 1, "16.80"),
            (("--account", "nobody"), 0, "0.00"),
        ],
    )
    def test_totals_by_account_region_and_day(
        self, metered: tuple[Meter, Worker], options: tuple[str, ...], jobs: int, amount: str
    ) -> None:
        answer = metered[0].ask("totals", *options)
        assert answer["sum"].items() >= {"jobs": jobs, "amount": amount}.items()
        assert answer["not_metered"] == 0  # the ends of transactions, of which the rerouted topic has some, are none

    def test_the_metrics_say_what_was_metered(self, metered: tuple[Meter, Worker]) -> None:
        found = metered[1].metrics()
        outcomes = {"priced": 4, "duplicate": 1, "rejected": 2, "rerouted": 1}
        assert {name: found[f'meter_records_total{{outcome="{name}"}}'] for name in outcomes} == outcomes
        assert found['meter_amount_cny_total{region="eu-frankfurt"}'] == pytest.approx(0.6272)
        assert found['meter_billable_seconds_total{region="Mainland China"}'] == 120 * 60
        assert found['meter_refused_total{code="conflict"}'] == found['meter_refused_total{code="not_json"}'] == 1
        assert found["meter_partitions_open"] == 2
        assert sum(found[f'meter_dedupe_ids{{partition="{partition}"}}'] for partition in range(2)) == 4
        assert found["meter_step_records_sum"] == sum(outcomes.values())
        for name in ("meter_fold_seconds", "meter_commit_seconds", "meter_delay_seconds", "meter_step_records"):
            assert found[f"{name}_count"] > 0
        for partition in range(2):
            assert found[f'meter_lag_records{{partition="{partition}",topic="{COMPLETED}"}}'] == 0
            assert found[f'meter_recovery_seconds{{partition="{partition}"}}'] > 0
            assert found[f'meter_dedupe_bytes{{partition="{partition}"}}'] > 0

    def test_a_worker_that_moves_is_alive_and_ready(self, metered: tuple[Meter, Worker]) -> None:
        assert metered[1].page("/healthz") == (200, '{"status":"ok","stuck":[]}')
        status, body = metered[1].page("/readyz")
        assert status == 200
        assert json.loads(body).items() >= {"status": "ok", "stalled": [], "open": [0, 1]}.items()


class TestRejects:
    """Four refused records of A, by what is wrong with them, and what can be done about each."""

    @pytest.fixture(scope="module")
    @staticmethod
    def meter(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
        with Meter(kafka, tmp_path_factory.mktemp("rejects")) as meter:
            meter.create().open_worker()
            meter.submit(job(job_id="known"))
            meter.produce(
                COMPLETED,
                *({"value": value, "key": "A", "partition": HOME, "headers": [("trace", b"t\xff")]} for value in (
                    value_of(job_id="mars", region="Mars", extra=[1.50]),
                    value_of(job_id="old", completed_at="2019-01-01T12:00:00+08:00"),
                    value_of(job_id="known", duration_s=1),
                    b"\xffjunk\x1b[31m",
                )),
            )  # fmt: skip
            meter.wait_folded()
            yield meter

    @pytest.fixture(scope="module")
    @staticmethod
    def listed(meter: Meter) -> dict[str, dict[str, Any]]:
        rows = [json.loads(row) for row in meter.run("rejects", "list", "--json").stdout.splitlines()]
        return {row["code"]: row for row in rows[:4]}

    def test_the_list_says_why_and_what_is_at_risk(self, meter: Meter, listed: dict[str, dict[str, Any]]) -> None:
        assert listed.keys() == {"unknown_region", "too_old", "conflict", "not_json"}
        assert (listed["too_old"]["amount_at_risk"], listed["conflict"]["amount_at_risk"]) == ("16.80", "0.28")
        (row,) = meter.ask_lines("rejects", "list", "--code", "too_old", "--account", "A")
        assert row == listed["too_old"]
        assert meter.ask_lines("rejects", "list", "--day", YESTERDAY) == []
        table = meter.run("rejects", "list", "--code", "conflict").stdout
        heading = ["position", "time", "code", "account", "job", "at", "risk", "put", "right", "reason"]
        assert table.splitlines()[0].split() == heading
        assert listed["conflict"]["position"] in table

    def test_one_is_shown_whole_and_harmless_for_a_terminal(self, meter: Meter, listed: dict[str, Any]) -> None:
        position = listed["not_json"]["position"]
        shown = meter.run("rejects", "show", position)
        assert shown.returncode == 0
        assert "\x1b" not in shown.stdout
        assert "\\xffjunk" in shown.stdout
        assert "header trace" in shown.stdout
        whole = meter.ask("rejects", "show", position)
        assert base64.b64decode(whole["record"]) == b"\xffjunk\x1b[31m"

    @pytest.mark.parametrize(
        ("position", "code", "message"),
        [
            ("0:4711", 1, "has no record at 0:4711"),
            ("7:0", 1, "has no record at 7:0"),
            ("x", 2, "a position is PARTITION:OFFSET, such as 3:17, got 'x'"),
        ],
    )
    def test_a_position_without_a_record(self, meter: Meter, position: str, code: int, message: str) -> None:
        for command in ("show", "redrive"):
            done = meter.run("rejects", command, position)
            assert (done.returncode, done.stderr.count("\n")) == (code, 1)
            assert message in done.stderr

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            ("too_old", "the horizon has passed"),
            ("conflict", "was metered with other content"),
            ("not_json", "it would be refused again: not_json"),
            ("unknown_region", "it would be refused again: unknown_region"),
        ],
    )
    def test_what_would_only_be_refused_again_is_not_sent(
        self, meter: Meter, listed: dict[str, Any], code: str, reason: str
    ) -> None:
        done = meter.run("rejects", "redrive", listed[code]["position"])
        assert (done.returncode, done.stdout) == (1, "0 records acknowledged\n")
        assert reason in done.stderr

    def test_a_corrected_one_is_metered_once_however_often_it_is_sent(self, meter: Meter) -> None:
        correct = ("rejects", "redrive", "--code", "unknown_region", "--set", "region=Frankfurt")
        before = meter.counts()
        dry = meter.run(*correct, "--dry-run")
        assert (dry.returncode, dry.stdout.split()[1:]) == (0, f"would go to partition {HOME}: mars of A".split())
        meter.wait_folded()
        assert meter.counts() == before
        for _ in range(2):
            sent = meter.run(*correct)
            assert (sent.returncode, sent.stderr, sent.stdout.splitlines()[-1]) == (0, "", "1 record acknowledged")
        meter.wait_folded()
        gained = Counter(meter.counts()) - Counter(before)
        assert gained == {"read": 2, "priced": 1, "duplicate": 1}
        (priced,) = [row for row in meter.rows("usage.priced") if row["job_id"] == "mars"]
        assert (priced["region"], priced["amount"]) == ("eu-frankfurt", "18.816")

    @pytest.mark.parametrize(
        "arguments",
        [(), ("--code", "smell"), ("--code", "conflict", "0:0"), ("0:0", "--set", "colour=red"), ("0:0", "--set", "x")],
    )
    def test_arguments_that_make_no_sense(self, meter: Meter, arguments: tuple[str, ...]) -> None:
        done = meter.run("rejects", "redrive", *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def unready(worker: Worker) -> dict[str, Any]:
    """What a worker says of itself while a partition of it stands still; nothing while none does."""
    status, body = worker.page("/readyz")
    said: dict[str, Any] = json.loads(body) if status == 503 else {}
    return said if said.get("stalled") else {}


def test_a_partition_with_lag_that_does_not_move_makes_the_worker_unready(
    kafka: str, kafka_process: psutil.Process, tmp_path: Path
) -> None:
    with Meter(kafka, tmp_path) as meter:
        producer = meter.create().producer(**{"queue.buffering.max.messages": 100_000})
        for number in range(60_000):
            producer.produce(meter.topic(COMPLETED), value_of(job_id=str(number)), partition=HOME)
        assert producer.flush(60) == 0
        worker = meter.open_worker(stalled_after_s=0.2)
        until(lambda: worker.metrics().get("meter_step_records_count"), "the first step")
        kafka_process.suspend()
        try:
            stalled = until(lambda: unready(worker), "the worker to be unready")
        finally:
            kafka_process.resume()
        assert stalled["stalled"] == [HOME]
        assert stalled["lag"] > 0
        meter.wait_folded()
        until(lambda: worker.page("/readyz")[0] == 200, "the worker to be ready again")
        assert meter.counts()["priced"] == 60_000
