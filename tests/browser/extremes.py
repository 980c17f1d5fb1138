"""A store of what is rare, for pages that must hold it all: ids as long as they may be, amounts of twelve digits, every
region, a long bill, records behind, and an account of which there is nothing yet.
"""

import base64
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, update

from meter.regions import REGIONS, ZONES
from streams.settings import Settings
from streams.store.database import open_engine, writing
from streams.store.kept_tables import audit_entry, webhook_delivery, webhook_endpoint
from streams.store.migrate import migrate
from streams.store.schema import (
    account,
    account_total,
    bill,
    bill_line,
    bill_standing,
    daily_total,
    ledger_entry,
    note,
    notice,
    priced_usage,
    projector_position,
    region_total,
    rejected,
    rejected_total,
)
from tests.browser.looking import account_path
from tests.unit.test_console import fill_one_account

NOW = datetime.now(UTC)
TODAY = (NOW + timedelta(hours=8)).date()
#: As long as an id may be, and nowhere to break it.
LONG = "W" * 128
HAN = "识别" * 21
JOB = "job_" + "0123456789abcdef" * 7
HUGE, FINE = Decimal("987654321098.76"), Decimal("123456789012.30812345")
WORDS = "averyveryverylongwordwithoutanyblank" * 12
BILL, LATE = "B20190101-00000000000000ff", "B20181231-00000000000000fe"
PLACES = [*ZONES, *(region.code for region in REGIONS)]
#: The pages of it.
PAGES = (
    "/console/overview", "/console/accounts", account_path("A"), account_path("A", "/bills"),
    account_path("A", "/ledger"), account_path("A", "/notices"), account_path("A", "/contract"), account_path(LONG),
    account_path(LONG) + "?days=7&show=minutes",
    account_path(LONG, "/bills"), account_path(LONG, "/ledger"), account_path(LONG, "/notices"),
    account_path(LONG) + f"?form=top-up&step=review&amount=123456789012.34&number={'9' * 128}",
    account_path(LONG) + "?form=contract&step=review&effective_from=2019-01-01&prices=nothing&grace_hours=x",
    account_path(HAN), f"/console/bills/{BILL}", f"/console/bills/{BILL}/print", "/console/rejects",
    "/console/rejects/0:1", "/console/health", "/console/webhooks", f"/console/days?day={TODAY}", "/console/audit",
)  # fmt: skip


def fill(folder: Path) -> Settings:
    """A store in a folder, and its settings; there is no Kafka."""
    settings = Settings(bootstrap_servers="127.0.0.1:9", data_dir=folder)
    engine = open_engine(settings)
    migrate(engine)
    with writing(engine) as connection:
        fill_one_account(connection, "A")
        connection.execute(update(projector_position).values(end_offset=9_876_543))
        _accounts(connection)
        _usage(connection)
        _bill(connection)
        _money(connection)
        _refused(connection)
        _own(connection)
    engine.dispose()
    return settings


def _accounts(connection: Connection) -> None:
    owed = HUGE - Decimal("0.01")
    money = {"balance": Decimal("0.01"), "unpaid": HUGE, "owed": owed}
    times = {"seen_at": NOW, "since": NOW, "arrears_at": NOW, "deadline": NOW + timedelta(hours=24)}
    rows: list[dict[str, Any]] = [
        {"account_id": LONG, "partition": 0, "state": "in_arrears", **money, **times},
        {"account_id": HAN, "partition": 0, "state": "stopped", **money, **times},
    ]
    connection.execute(insert(account), rows)
    totals = [("good", 1_234_567), ("in_arrears", 1), ("stopped", 1)]
    for state, accounts in totals:
        sums = {"accounts": accounts, "owed": HUGE, "balance": HUGE}
        connection.execute(insert(account_total).values(state=state, **sums))


def _usage(connection: Connection) -> None:
    for back in range(12):
        day = (TODAY - timedelta(days=back)).isoformat()
        for number, region in enumerate(PLACES):
            amount = (FINE / 10 ** (back + number % 3)).quantize(Decimal("0.00000001"))
            used = {"region": region, "day": day, "jobs": 9_876_543, "minutes": 98_765_432_109, "amount": amount}
            connection.execute(insert(daily_total).values(account_id=LONG, **used))
            connection.execute(insert(region_total).values(**used))
    for number, region in enumerate(PLACES):
        connection.execute(insert(priced_usage).values(
            partition=0, position=number, account_id=LONG, job_id=f"{JOB}{number:03}", region=region,
            kinds="face,frame_tag,opening_ending,speech,text", completed_at=NOW, completed_at_text=NOW.isoformat(),
            day=TODAY.isoformat(), duration_s="31536000", minutes=525_600, unit_price=Decimal("0.30812345"),
            amount=Decimal("161949.68532"), price_version="v", source_topic="t", source_partition=0,
            source_offset=number, recorded_at=NOW,
        ))  # fmt: skip


def _bill(connection: Connection) -> None:
    lines = [
        {"bill_id": BILL, "line": number, "account_id": LONG, "kind": "late" if number % 5 == 4 else "usage",
         "region": region, "day": "2018-12-31" if number % 5 == 4 else "2019-01-01", "jobs": 9_876_543,
         "minutes": 98_765_432_109, "unit_price": Decimal("0.30812345"), "amount": FINE,
         "original_bill_id": LATE if number % 5 == 4 else None}
        for number, region in enumerate(PLACES)
    ]  # fmt: skip
    proof = {
        "journal": {"partition": 0, "from": 123_456_789, "to": 987_654_321}, "cut": "2019-01-02T12:00:00.000+08:00",
        "prices_hash": "f" * 64, "rules_version": 1, "meter_version": "1",
    }  # fmt: skip
    money = {"total": HUGE + Decimal("0.00412345"), "payable": HUGE, "rounding": Decimal("-0.00412345")}
    published = {
        "v": 1, "bill_id": BILL, "account_id": LONG, "period": "2019-01-01", "mode": "daily", "lines": [],
        **{name: str(value) for name, value in money.items()}, "currency": "CNY",
        "issued_at": "2019-01-02T12:00:00+08:00", "proof": proof,
    }  # fmt: skip
    connection.execute(insert(bill).values(
        bill_id=BILL, partition=0, position=0, account_id=LONG, period="2019-01-01", mode="daily", **money,
        issued_at=NOW, lines=len(lines), value=json.dumps(published),
    ))  # fmt: skip
    connection.execute(insert(bill_line), lines)
    connection.execute(insert(bill_standing).values(
        bill_id=BILL, account_id=LONG, payable=HUGE, entered_at=NOW, refunded=HUGE, credited=HUGE, paid_at=None
    ))  # fmt: skip


def _money(connection: Connection) -> None:
    causes = ("top_up", "bill", "payment", "refund", "adjustment", "charge", "credit_note", "payment_reversed")
    for number, cause in enumerate(causes):
        change = HUGE if number % 2 else -HUGE
        postings = [{"book": "balance", "amount": str(change)}, {"book": "receivable", "amount": str(-change)}]
        published = {"v": 1, "entry_id": f"e{number}", "account_id": LONG, "at": NOW.isoformat(), "cause": cause,
                     "reference": "R" * 128, "postings": postings}  # fmt: skip
        connection.execute(insert(ledger_entry).values(
            partition=0, position=number, entry_id=f"e{number}", account_id=LONG, at=NOW, cause=cause,
            reference="R" * 128, reason=WORDS, change=change, balance_after=HUGE, unpaid_after=HUGE,
            value=json.dumps(published),
        ))  # fmt: skip
    for number, kind in enumerate(("charge", "credit_note", "payment_reversed")):
        connection.execute(insert(note).values(
            partition=0, position=number, note_id=f"N20190101-00000000000000f{number}", account_id=LONG, kind=kind,
            command_id="c", day="2019-01-01", amount=HUGE, issued_at=NOW, reason=WORDS, reference="R" * 128, line=1,
            value="{}",
        ))  # fmt: skip
    for number, kind in enumerate(("arrears", "stopped", "restored", "low_balance")):
        connection.execute(insert(notice).values(
            partition=0, position=number, notice_id=f"n{number}", account_id=LONG, kind=kind, at=NOW, bill_id=BILL,
            payable=HUGE, owed=HUGE, balance=HUGE, deadline=NOW + timedelta(hours=24), value="{}",
        ))  # fmt: skip


def _refused(connection: Connection) -> None:
    day = TODAY.isoformat()
    record = json.dumps({"job_id": JOB, "account_id": LONG, "region": WORDS, "kinds": ["face"], "duration_s": 60})
    for number in range(3):
        message = f"region: unknown region '{WORDS}'"
        published = {
            "v": 1, "code": "unknown_region", "message": message, "account_id": LONG, "job_id": JOB,
            "record": base64.b64encode(record.encode()).decode(), "headers": [],
            "source": {"topic": "recognition.jobs.completed", "partition": 0, "offset": number, "timestamp": 1},
        }  # fmt: skip
        connection.execute(insert(rejected).values(
            partition=0, position=number, code="unknown_region", message=message, account_id=LONG, job_id=JOB,
            amount_at_risk=HUGE if number else None, day=day, recorded_at=NOW, source_topic="t", source_partition=0,
            source_offset=number, priced_later=False, value=json.dumps(published),
        ))  # fmt: skip
    connection.execute(insert(rejected_total).values(
        day=day, code="unknown_region", records=98_765_432, amount_at_risk=HUGE, open_records=98_765_431,
        open_amount=HUGE, unknown=12_345_678, open_unknown=12_345_678,
    ))  # fmt: skip


def _own(connection: Connection) -> None:
    detail = json.dumps({"amount": str(HUGE), "reason": WORDS, "number": "9" * 128})
    connection.execute(insert(audit_entry).values(
        at=NOW, token_id="t0000000", role="operator", remote="2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        action="adjustment", account_id=LONG, command_id="9" * 128, outcome="refused", code="over_balance",
        detail=detail,
    ))  # fmt: skip
    connection.execute(insert(webhook_endpoint).values(
        endpoint_id="e1", url=f"https://example.com/{WORDS}", secret="s", created_at=NOW,
        events="account.service,bill,ledger,notice",
    ))  # fmt: skip
    connection.execute(insert(webhook_delivery).values(
        endpoint_id="e1", event_id="x", event="account.service", account_id=LONG, partition=0, position=0,
        payload="{}", state="dead", attempts=20, created_at=NOW, last_error=WORDS,
    ))  # fmt: skip
