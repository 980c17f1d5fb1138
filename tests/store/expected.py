"""What the tables must hold, said by the topics' JSON alone: none of the projector's own code is asked."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, select

from streams.store import schema
from tests.integration.running import Meter
from tests.recount.count import Record
from tests.recount.log import Log

Tables = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZERO = Decimal()


def of_topics(meter: Meter) -> Tables:
    """The tables as the topics have them: rows as tuples, counted, so that a row too many shows."""
    log = Log(meter.bootstrap_servers, meter.prefix)
    try:
        records = {
            topic: [record for partition in range(meter.partitions) for record in log.records(topic, partition)]
            for topic in TOPICS
        }
    finally:
        log.close()
    read = {topic: [(record, json.loads(record.value or b"null")) for record in rows] for topic, rows in records.items()
            if topic != "meter.commands"}  # fmt: skip
    return {
        "priced": Counter(_priced(record, job) for record, job in read["usage.priced"]),
        "daily": _daily(records["usage.daily"]),
        "regions": _regions(_daily(records["usage.daily"])),
        "rejected": _rejected(read),
        "at risk": _at_risk(read),
        "bills": Counter(
            (b["bill_id"], b["account_id"], b["period"], b["mode"], Decimal(b["total"]), Decimal(b["payable"]),
             Decimal(b["rounding"]), when(b["issued_at"]), (r.value or b"").decode())
            for r, b in read["billing.bills"]
        ),
        "lines": Counter(_lines(b for _, b in read["billing.bills"])),
        "notes": Counter(
            (r.partition, r.offset, n["note_id"], n["account_id"], n["kind"], n["command_id"], n["day"],
             Decimal(n["amount"]), when(n["issued_at"]), n.get("reason"), n.get("reference"), n.get("line"),
             (r.value or b"").decode())
            for r, n in read["billing.notes"]
        ),
        "standings": _standings(e for _, e in read["billing.ledger"]),
        "ledger": Counter(_ledger(read["billing.ledger"])),
        "postings": Counter(
            (r.partition, r.offset, n, p["book"], Decimal(p["amount"]))
            for r, e in read["billing.ledger"] for n, p in enumerate(e["postings"])
        ),
        "notices": Counter(
            (r.partition, r.offset, n["notice_id"], n["account_id"], n["kind"], when(n["at"]), n.get("bill_id"),
             money(n.get("payable")), money(n.get("owed")), money(n.get("balance")),
             when(n["deadline"]) if "deadline" in n else None, (r.value or b"").decode())
            for r, n in read["billing.notices"]
        ),
        "services": {
            s["account_id"]: (s["state"], when(s["since"]), s["reason"]) for _, s in read["account.service"]
        },
        "balances": _balances(e for _, e in read["billing.ledger"]),
        "commands": Counter(
            (r.partition, r.offset, (r.value or b"").decode(errors="backslashreplace"), at_ms(r.timestamp_ms))
            for r in records["meter.commands"]
        ),
        "results": Counter(
            (r.partition, r.offset, a["command_id"], a.get("account_id"), a["status"], a.get("code"), a.get("message"),
             a["source"]["offset"])
            for r, a in read["meter.command-results"]
        ),
        "accounts": _accounts(read),
    }  # fmt: skip


TOPICS = (
    "usage.priced", "usage.daily", "usage.rejected", "billing.bills", "billing.notes", "billing.ledger",
    "billing.notices", "account.service", "meter.commands", "meter.command-results",
)  # fmt: skip


def money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def when(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def at_ms(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)


def _priced(record: Record, job: dict[str, Any]) -> tuple[Any, ...]:
    source, origin = job["source"], job.get("origin")
    return (
        record.partition, record.offset, job["account_id"], job["job_id"], job["region"], ",".join(job["kinds"]),
        when(job["completed_at"]), job["completed_at"], job["day"], job["duration_s"], job["minutes"],
        Decimal(job["unit_price"]), Decimal(job["amount"]), job["price_version"],
        source["topic"], source["partition"], source["offset"], at_ms(source["timestamp"]),
        *((origin["topic"], origin["partition"], origin["offset"]) if origin else (None, None, None)),
    )  # fmt: skip


def _daily(records: list[Record]) -> dict[tuple[str, str, str], tuple[int, int, Decimal]]:
    totals = {}
    for record in records:
        account_id, region, day = json.loads(record.key or b"")
        total = json.loads(record.value or b"")
        totals[account_id, day, region] = total["jobs"], total["minutes"], Decimal(total["amount"])
    return totals


def _regions(daily: dict[tuple[str, str, str], tuple[int, int, Decimal]]) -> dict[Any, Any]:
    sums: dict[Any, Any] = {}
    for (_, day, region), (jobs, minutes, amount) in daily.items():
        before = sums.get((day, region), (0, 0, ZERO))
        sums[day, region] = before[0] + jobs, before[1] + minutes, before[2] + amount
    return sums


def _last_priced(read: Any) -> dict[tuple[str, str], int]:
    last: dict[tuple[str, str], int] = {}
    for _, job in read["usage.priced"]:
        key = job["account_id"], job["job_id"]
        last[key] = max(last.get(key, 0), job["source"]["timestamp"])
    return last


def _put_right(refused: dict[str, Any], last: dict[tuple[str, str], int]) -> bool:
    key = refused.get("account_id"), refused.get("job_id")
    return refused["code"] != "conflict" and last.get(key, 0) > refused["source"]["timestamp"]  # type: ignore[arg-type]


def _rejected(read: Any) -> Counter[Any]:
    last = _last_priced(read)
    return Counter(
        (r.partition, r.offset, x["code"], x["message"], x.get("account_id"), x.get("job_id"),
         money(x.get("amount_at_risk")), at_ms(x["source"]["timestamp"]), x["source"]["topic"],
         x["source"]["partition"], x["source"]["offset"], _put_right(x, last), (r.value or b"").decode())
        for r, x in read["usage.rejected"]
    )  # fmt: skip


def _at_risk(read: Any) -> dict[str, Any]:
    last, sums = _last_priced(read), dict[str, tuple[Any, ...]]()
    for _, refused in read["usage.rejected"]:
        amount, is_open = Decimal(refused.get("amount_at_risk", 0)), not _put_right(refused, last)
        unknown = "amount_at_risk" not in refused
        before = sums.get(refused["code"], (0, ZERO, 0, ZERO, 0, 0))
        change = 1, amount, int(is_open), amount if is_open else ZERO, int(unknown), int(unknown and is_open)
        sums[refused["code"]] = tuple(a + b for a, b in zip(before, change, strict=True))
    return sums


def _lines(bills: Iterator[dict[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for bill in bills:
        for number, line in enumerate(bill["lines"]):
            yield (
                bill["bill_id"], number, bill["account_id"], line["kind"], line["region"], line["day"], line["jobs"],
                line["minutes"], Decimal(line["unit_price"]), Decimal(line["amount"]), line.get("original_bill_id"),
            )  # fmt: skip


def _posted(entry: dict[str, Any], book: str) -> Decimal:
    return sum((Decimal(p["amount"]) for p in entry["postings"] if p["book"] == book), ZERO)


def _standings(entries: Iterator[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for entry in entries:
        if entry["cause"] in ("bill", "charge", "payment_reversed"):
            payable, paid_at = _posted(entry, "receivable"), when(entry["at"])
            found[entry["reference"]] = [entry["account_id"], payable, None if payable else paid_at, ZERO, ZERO]
        elif entry["cause"] == "payment":
            found[entry["reference"]][2] = when(entry["at"])
        elif entry["cause"] == "refund":
            found[entry["reference"]][3] += _posted(entry, "refunds")
        elif entry["cause"] == "credit_note":
            standing = found[entry["reference"]]
            standing[4] += _posted(entry, "credits")
            if standing[2] is None and standing[4] == standing[1]:
                standing[2] = when(entry["at"])
    return {bill: tuple(standing) for bill, standing in found.items()}


def _ledger(read: list[tuple[Record, dict[str, Any]]]) -> Iterator[tuple[Any, ...]]:
    balances: dict[str, Decimal] = defaultdict(Decimal)
    unpaid: dict[str, Decimal] = defaultdict(Decimal)
    for record, entry in read:
        account_id = entry["account_id"]
        balances[account_id] -= _posted(entry, "balance")
        unpaid[account_id] += _posted(entry, "receivable")
        yield (
            record.partition, record.offset, entry["entry_id"], account_id, when(entry["at"]), entry["cause"],
            entry["reference"], entry.get("reason"), -_posted(entry, "balance"), balances[account_id],
            unpaid[account_id], (record.value or b"").decode(),
        )  # fmt: skip


def _balances(entries: Iterator[dict[str, Any]]) -> dict[str, tuple[Decimal, Decimal, Decimal]]:
    found: dict[str, tuple[Decimal, Decimal]] = defaultdict(lambda: (ZERO, ZERO))
    for entry in entries:
        balance, unpaid = found[entry["account_id"]]
        found[entry["account_id"]] = balance - _posted(entry, "balance"), unpaid + _posted(entry, "receivable")
    return {account: (has, owes, max(owes - has, ZERO)) for account, (has, owes) in found.items()}


def _accounts(read: Any) -> set[str]:
    spoken_of = {row["account_id"] for topic in ("usage.priced", "billing.ledger", "account.service", "billing.notices")
                 for _, row in read[topic]}  # fmt: skip
    answered = {
        a["account_id"] for _, a in read["meter.command-results"] if a["status"] == "done" and "account_id" in a
    }
    return spoken_of | answered


# -- the same of a store ----------------------------------------------------------------------------------------


def of_store(engine: Engine) -> Tables:
    """The same tables as a store has them."""
    with engine.connect() as connection:
        rows = {table.name: connection.execute(select(table)).all() for table in schema.READ_MODEL}
    return {
        "priced": Counter(map(tuple, rows["priced_usage"])),
        "daily": {tuple(row[:3]): tuple(row[3:]) for row in rows["daily_total"]},
        "regions": {tuple(row[:2]): tuple(row[2:]) for row in rows["region_total"]},
        "rejected": Counter((*row[:7], *row[8:]) for row in rows["rejected"]),
        "at risk": _sums_by_code(rows["rejected_total"]),
        "bills": Counter((row[0], *row[3:10], row.value) for row in rows["bill"]),
        "lines": Counter(map(tuple, rows["bill_line"])),
        "standings": {r.bill_id: (r.account_id, r.payable, r.paid_at, r.refunded, r.credited) for r in
                      rows["bill_standing"]},
        "notes": Counter(map(tuple, rows["note"])),
        "ledger": Counter(map(tuple, rows["ledger_entry"])),
        "postings": Counter(map(tuple, rows["posting"])),
        "notices": Counter(map(tuple, rows["notice"])),
        "services": {r.account_id: (r.state, r.since, r.reason) for r in rows["account"] if r.since is not None},
        "balances": {r.account_id: (r.balance, r.unpaid, r.owed) for r in rows["account"] if r.balance or r.unpaid or
                     r.account_id in {e.account_id for e in rows["ledger_entry"]}},
        "commands": Counter((r.partition, r.position, r.value, r.recorded_at) for r in rows["command"]),
        "results": Counter((*row[:7], row.command_position) for row in rows["command_result"]),
        "accounts": {r.account_id for r in rows["account"]},
    }  # fmt: skip


def _sums_by_code(rows: Any) -> dict[str, Any]:
    sums: dict[str, Any] = {}
    for row in rows:
        before = sums.get(row.code, (0, ZERO, 0, ZERO, 0, 0))
        sums[row.code] = tuple(a + b for a, b in zip(before, row[2:], strict=True))
    return sums


def differences(meter: Meter, engine: Engine) -> list[str]:
    """The tables that are not as the topics say, each with the first rows that only one of them has."""
    wanted, found = of_topics(meter), of_store(engine)
    assert wanted.keys() == found.keys()
    return [_difference(name, wanted[name], found[name]) for name in wanted if wanted[name] != found[name]]


def _difference(name: str, wanted: Any, found: Any) -> str:
    only = [item for item in _items(wanted) if item not in _items(found)][:2]
    extra = [item for item in _items(found) if item not in _items(wanted)][:2]
    return f"{name}: {len(wanted)} in the topics, {len(found)} in the store; missing {only}, too many {extra}"


def _items(rows: Any) -> list[Any]:
    return list(rows.items()) if isinstance(rows, dict) else list(rows)
