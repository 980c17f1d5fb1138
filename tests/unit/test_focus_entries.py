"""The FOCUS file's rows beside the bills: every cost of the ledger is in it, and no payment is."""

import csv
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from sqlalchemy import insert

from streams.export.focus import export_focus
from streams.export.period import ExportPeriod
from streams.settings import Settings
from streams.store.database import open_engine, writing
from streams.store.migrate import migrate
from streams.store.schema import ledger_entry, posting
from tests.unit.billing import RULES, Customers

#: Books in which a cost ends.
COSTS = ("revenue", "rounding", "charges", "credits", "refunds", "adjustments")


def corrected() -> Customers:
    """A charge, a payment that bounced, a refund, an adjustment, and credits on open and paid documents."""
    meter = Customers()
    meter.top_up("2019-01-01 09:00", "20.00")
    meter.runs("A", "2019-01-01 10:00")
    meter.time_is("2019-01-02 12:00")
    (bill,) = meter.bills()
    meter.command("2019-01-02 13:00", "credit_note", bill_id=bill.bill_id, line=1, amount="2.80", reason="black")
    meter.command("2019-01-02 14:00", "refund", bill_id=bill.bill_id, ticket="T-1", amount="1.00")
    meter.command("2019-01-02 15:00", "adjustment", amount="-0.50", reason="booked twice")
    meter.command("2019-01-02 16:00", "payment_reversed", top_up="command-2")
    meter.command("2019-01-02 17:00", "charge", amount="5.00", reason="under-billed")
    note = meter.entries()[-1].reference
    meter.command("2019-01-02 18:00", "credit_note", bill_id=note, line=1, amount="2.00", reason="too much")
    return meter


def test_charges_and_credit_notes_are_rows_and_the_costs_sum_to_the_ledgers(tmp_path: Path) -> None:
    meter = corrected()
    engine = open_engine(Settings(data_dir=tmp_path))
    migrate(engine)
    with writing(engine) as connection:
        for position, entry in enumerate(meter.entries()):
            place, none = {"partition": 0, "position": position}, Decimal(0)
            named = {name: getattr(entry, name) for name in ("entry_id", "account_id", "cause", "reference", "reason")}
            sums = {"change": none, "balance_after": none, "unpaid_after": none, "value": entry.canonical().decode()}
            at = datetime.fromisoformat(entry.at)
            connection.execute(insert(ledger_entry).values(**place, **named, **sums, at=at))
            for line, each in enumerate(entry.postings):
                row = {"line": line, "book": each.book, "amount": Decimal(each.amount)}
                connection.execute(insert(posting).values(**place, **row))
    path, _ = export_focus(engine, RULES, ExportPeriod("2019-01-02", ("2019-01-02",)), "meter", None, tmp_path)
    engine.dispose()
    with path.open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    bill_id, note = meter.bills()[0].bill_id, rows[3]["InvoiceId"]
    columns = ("ChargeCategory", "ChargeClass", "BilledCost", "InvoiceId", "x_OriginalInvoiceId", "ChargeDescription")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        ("Credit", "Correction", "-2.80", "", bill_id, f"Credit on {bill_id}: black"),
        ("Credit", "Correction", "-1.00", "", bill_id, f"Refund of bill {bill_id}, ticket ticket T-1"),
        ("Adjustment", "", "0.50", "", "", "Adjustment: booked twice"),
        ("Adjustment", "", "5.00", note, "", "Charge: under-billed"),
        ("Credit", "Correction", "-2.00", "", note, f"Credit on {note}: too much"),
    ]
    assert note.startswith("D20190102-")
    books = [each for entry in meter.entries() for each in entry.postings if each.book in COSTS]
    of_bill = Decimal("16.80")
    assert sum(Decimal(row["BilledCost"]) for row in rows) + of_bill == -sum(Decimal(each.amount) for each in books)
