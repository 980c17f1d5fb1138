"""The FOCUS file against the rules of FOCUS 1.2, as its validator puts them to DuckDB.

The validator itself (focus-validator 2.2.1) needs NumPy 1 and Python 3.12, so its queries are kept here. Left out are
the rules that it skips, those about columns that we do not have, and InvoiceId-C-003 to C-005: it asks that either all
rows have an invoice or none has, and refunds are on no invoice.
"""

import csv
import json
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from tests.sinks.stage import ODD, Stage

RULES = json.loads(Path(__file__).with_name("focus_rules.json").read_text("utf-8"))["rules"]
ASCII_RULE = "BillingAccountId-C-003-M"


def broken(file: Path, *changes: str) -> set[str]:
    """The rules that a file breaks, after some changes to its rows."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE focus_data AS SELECT * FROM read_csv(?, header = true)", [str(file)])
        for change in changes:
            connection.execute(change)
        return {name for name, rule in RULES.items() if (connection.execute(rule["sql"]).fetchone() or (1,))[0]}


@pytest.fixture
def file(stage: Stage, tmp_path: Path) -> Path:
    done = stage.run("sqlite", "export", "focus", "--out", str(tmp_path), "--period", "2019-01")
    assert done.returncode == 0, done.stderr
    return tmp_path / "focus-2019-01.csv"


def test_all_rules_hold_but_that_ids_are_ascii(file: Path) -> None:
    """An account's id is written as it is."""
    assert len(RULES) > 150
    assert broken(file) == {ASCII_RULE}
    assert broken(file, f"DELETE FROM focus_data WHERE BillingAccountId = '{ODD}'") == set()


def test_a_monthly_bill_at_a_contracts_price_keeps_them_too(stage: Stage, tmp_path: Path) -> None:
    done = stage.run("postgresql", "export", "focus", "--out", str(tmp_path), "--period", "2019-02")
    assert done.returncode == 0, done.stderr
    assert broken(tmp_path / "focus-2019-02.csv") == set()


def test_prices_times_quantities_are_the_costs_and_categories_are_those_of_focus(file: Path) -> None:
    """Rules for which the validator has no single query."""
    with file.open(newline="", encoding="utf-8") as text:
        charges = list(csv.DictReader(text))
    usage = [charge for charge in charges if charge["ChargeCategory"] == "Usage"]
    for charge in usage:
        for price, cost in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):
            assert Decimal(charge[price]) * Decimal(charge["PricingQuantity"]) == Decimal(charge[cost])
    assert {charge["ChargeCategory"] for charge in charges} == {"Usage", "Adjustment", "Credit"}
    assert {charge["ChargeFrequency"] for charge in charges} == {"Usage-Based", "One-Time"}
    assert {(charge["ServiceCategory"], charge["ServiceSubcategory"]) for charge in charges} == {
        ("AI and Machine Learning", "Other (AI and Machine Learning)")
    }


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("UPDATE focus_data SET BilledCost = NULL", "BilledCost-C-003-M"),
        ("UPDATE focus_data SET ChargeClass = 'Late' WHERE ChargeClass IS NOT NULL", "ChargeClass-C-005-C"),
        ("UPDATE focus_data SET ConsumedUnit = NULL", "ConsumedUnit-C-006-C"),
        ("UPDATE focus_data SET ChargePeriodEnd = NULL", "ChargePeriodEnd-C-003-M"),
    ],
)
def test_the_rules_find_what_is_wrong(file: Path, change: str, rule: str) -> None:
    assert rule in broken(file, change)
