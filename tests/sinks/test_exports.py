"""Exports: what is in them, that they are the same bytes whoever makes them, and when they are refused."""

import csv
import hashlib
from decimal import Decimal
from pathlib import Path

import pytest
from pyarrow import dataset

from tests.sinks.stage import A_FIRST, ODD, Stage

KINDS = ("csv", "parquet", "focus")


def export(stage: Stage, store: str, out: Path, kind: str, *arguments: str) -> dict[str, str]:
    """The files of an export that is done, by path, with their digests."""
    done = stage.run(store, "export", kind, "--out", str(out), *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found = {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files(out)}
    assert sorted(row.partition(": ")[0] for row in done.stdout.splitlines()) == sorted(
        str(out / name) for name in found
    )
    return found


def files(out: Path) -> list[Path]:
    return sorted(path for path in out.rglob("*") if path.is_file())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_period_gives_the_same_bytes_twice_and_from_either_store(
    stage: Stage, kind: str, tmp_path: Path
) -> None:
    made = [
        export(stage, store, tmp_path / f"{store}-{time}", kind, "--period", "2019-01")
        for store in stage.urls
        for time in (1, 2)
    ]
    assert made[0]
    assert all(other == made[0] for other in made)


def test_each_job_is_in_one_file_in_time_or_late(stage: Stage, store: str, tmp_path: Path) -> None:
    made = export(stage, store, tmp_path, "csv", "--period", "2019-01")
    with_rows = {name: [row["job_id"] for row in rows(tmp_path / name)] for name in made}
    assert len(made) == 32  # 31 days, and one of late jobs
    assert {name: sorted(ids) for name, ids in with_rows.items() if ids} == {
        "day=2019-01-01/part-0.csv": ["a1", "a2", "b1", ODD],
        "day=2019-01-01/late-2019-01-02.csv": ["a3-late"],
        "day=2019-01-02/part-0.csv": ["a4"],
    }


def test_a_row_says_what_was_published(stage: Stage, store: str, tmp_path: Path) -> None:
    export(stage, store, tmp_path, "csv", "--day", "2019-01-01")
    found = {row["job_id"]: row for row in rows(tmp_path / "day=2019-01-01/part-0.csv")}
    published = {row["job_id"]: row for row in stage.meter.rows("usage.priced")}
    assert set(found) == {"a1", "a2", "b1", ODD}
    for job_id, row in found.items():
        for name in ("account_id", "region", "day", "duration_s", "unit_price", "amount", "currency", "price_version"):
            assert row[name] == published[job_id][name]
        source = published[job_id]["source"]
        assert (row["source_topic"], row["source_offset"]) == (source["topic"], str(source["offset"]))
    assert (found["a2"]["kinds"], found["a2"]["completed_at"]) == ("face;text", "2019-01-01T05:00:00.123456Z")


def test_parquet_has_exact_decimals_and_reads_as_a_table_by_day(stage: Stage, store: str, tmp_path: Path) -> None:
    export(stage, store, tmp_path, "parquet", "--period", "2019-01")
    table = dataset.dataset(tmp_path, format="parquet", partitioning="hive").to_table()
    published = [row for row in stage.meter.rows("usage.priced") if row["day"] < "2019-02"]
    assert sorted(zip(table["day"].to_pylist(), table["job_id"].to_pylist(), strict=True)) == sorted(
        (row["day"], row["job_id"]) for row in published
    )
    assert str(table.schema.field("amount").type) == "decimal128(20, 8)"
    assert sum(table["amount"].to_pylist()) == sum(Decimal(row["amount"]) for row in published)


def test_an_accounts_export_has_its_rows_alone(stage: Stage, tmp_path: Path) -> None:
    for kind, column in (("csv", "account_id"), ("focus", "BillingAccountId")):
        made = export(stage, "sqlite", tmp_path / kind, kind, "--period", "2019-01", "--account", ODD)
        assert {row[column] for name in made for row in rows(tmp_path / kind / name)} == {ODD}


class TestFocus:
    @pytest.fixture
    @staticmethod
    def charges(stage: Stage, tmp_path: Path) -> list[dict[str, str]]:
        export(stage, "postgresql", tmp_path, "focus", "--period", "2019-01", "--issuer", "Example Ltd")
        return rows(tmp_path / "focus-2019-01.csv")

    def test_the_rows_of_a_bill_sum_to_what_is_payable(self, stage: Stage, charges: list[dict[str, str]]) -> None:
        sums: dict[str, Decimal] = {}
        for charge in charges:
            if charge["InvoiceId"]:
                sums[charge["InvoiceId"]] = sums.get(charge["InvoiceId"], Decimal(0)) + Decimal(charge["BilledCost"])
        bills = {
            row["bill_id"]: Decimal(row["payable"])
            for row in stage.meter.rows("billing.bills")
            if row["period"] < "2019-02"
        }
        assert len(bills) == 4
        assert sums == bills

    def test_a_late_line_is_a_correction_of_its_own_day(self, charges: list[dict[str, str]]) -> None:
        (late,) = [charge for charge in charges if charge["ChargeClass"] and charge["ChargeCategory"] == "Usage"]
        assert (late["ChargeClass"], late["BilledCost"], late["ConsumedQuantity"]) == ("Correction", "2.80", "10.00")
        assert (late["ChargePeriodStart"], late["ChargePeriodEnd"]) == ("2018-12-31T16:00:00Z", "2019-01-01T16:00:00Z")
        assert (late["BillingPeriodStart"], late["x_OriginalInvoiceId"]) == ("2019-01-01T16:00:00Z", A_FIRST)

    def test_refunds_and_adjustments_are_rows_of_no_bill(self, charges: list[dict[str, str]]) -> None:
        found = [
            [charge[name] for name in ("ChargeCategory", "ChargeClass", "BilledCost", "x_OriginalInvoiceId")]
            for charge in charges
            if not charge["InvoiceId"]
        ]
        assert found == [["Credit", "Correction", "-1.80", A_FIRST], ["Adjustment", "", "-2.50", ""]]

    def test_a_contracts_price_stands_beside_the_list_price(self, stage: Stage, tmp_path: Path) -> None:
        export(stage, "sqlite", tmp_path, "focus", "--period", "2019-02")
        (charge,) = rows(tmp_path / "focus-2019-02.csv")
        assert [charge[name] for name in ("ContractedUnitPrice", "ListUnitPrice", "ContractedCost", "ListCost")] == [
            "0.25", "0.3136", "15.00", "18.816",
        ]  # fmt: skip
        assert (charge["BillingPeriodStart"], charge["BillingPeriodEnd"]) == (
            "2019-01-31T16:00:00Z",
            "2019-02-28T16:00:00Z",
        )
        assert charge["ChargePeriodStart"] == "2019-02-01T16:00:00Z"


class TestWhenAPeriodIsRefused:
    def test_one_that_is_not_settled_is(self, stage: Stage, tmp_path: Path) -> None:
        done = stage.run("sqlite", "export", "csv", "--out", str(tmp_path), "--period", "2019-03")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert "2019-03 may still change: it is settled at 2019-04-01T13:00:00.000+08:00" in done.stderr
        assert files(tmp_path) == []

    def test_what_is_there_now_can_be_had_with_partial(self, stage: Stage, tmp_path: Path) -> None:
        done = stage.run("sqlite", "export", "focus", "--out", str(tmp_path), "--period", "2019-04", "--partial")
        assert (done.returncode, done.stdout) == (0, f"{tmp_path}/focus-2019-04.csv: 0 rows\n")
        assert done.stderr == "partial: 2019-04 as far as the store has it now\n"

    def test_partial_makes_no_files_of_days_that_are_still_to_come(self, stage: Stage, tmp_path: Path) -> None:
        """It is 2019-03-01 there."""
        done = stage.run("sqlite", "export", "csv", "--out", str(tmp_path), "--period", "2019-03", "--partial")
        assert (done.returncode, done.stdout) == (0, f"{tmp_path}/day=2019-03-01/part-0.csv: 0 rows\n")
        assert [str(path.relative_to(tmp_path)) for path in files(tmp_path)] == ["day=2019-03-01/part-0.csv"]
        done = stage.run("sqlite", "export", "parquet", "--out", str(tmp_path), "--period", "2019-04", "--partial")
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.splitlines()[1:] == ["nothing is written: no day of 2019-04 has begun"]

    def test_one_row_is_not_called_rows(self, stage: Stage, tmp_path: Path) -> None:
        done = stage.run("sqlite", "export", "csv", "--out", str(tmp_path), "--day", "2019-01-02")
        assert sorted(line.partition(": ")[2] for line in done.stdout.splitlines()) == ["1 row", "1 row"]

    def test_one_of_which_something_is_not_metered_is(self, stage: Stage, tmp_path: Path) -> None:
        """A worker that is away has neither folded nor billed what came in."""
        stage.meter.workers[-1].stop()
        record = {"partition": 0, "timestamp": 1546400000000, "value": b"{}"}
        stage.meter.produce("recognition.jobs.completed", record)
        done = stage.run("sqlite", "export", "csv", "--out", str(tmp_path), "--day", "2019-01-03")
        stage.meter.open_worker()
        stage.meter.wait_folded()
        assert (done.returncode, done.stdout) == (1, "")
        assert "partition 0 has not metered all that was recorded before its settlement" in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            ((), "say one of --period YYYY-MM and --day YYYY-MM-DD"),
            (("--day", "2019-01-01", "--period", "2019-01"), "say one of"),
            (("--period", "2019-01-01"), "--period is YYYY-MM, such as 2026-11, got"),
            (("--day", "2019-02-30"), "--day is YYYY-MM-DD"),
        ],
    )
    def test_wrong_arguments_are_one_line(self, stage: Stage, arguments: tuple[str, ...], line: str) -> None:
        done = stage.run("sqlite", "export", "csv", "--out", "here", *arguments)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert line in done.stderr

    def test_a_folder_that_cannot_be_written_is_one_line(self, stage: Stage, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        done = stage.run("sqlite", "export", "csv", "--out", str(tmp_path / "file"), "--day", "2019-01-01")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert "cannot write" in done.stderr

    def test_an_empty_store_says_what_fills_it(self, stage: Stage, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path}/new.sqlite"
        done = stage.meter.run("projector", "migrate", database_url=url)
        assert done.returncode == 0, done.stderr
        done = stage.meter.run("export", "csv", "--out", str(tmp_path), "--day", "2019-01-01", database_url=url)
        assert (done.returncode, done.stderr) == (1, "meter: the store is empty: `meter projector` fills it\n")
