"""What differs between the recount and what was published, in words. Bills and money are in `compare_money`."""

import base64
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from tests.recount.count import COMMANDS, COMPLETED, REROUTED, PartitionCount, Record
from tests.recount.rules import money

Row = dict[str, Any]
OUTCOMES = ("read", "priced", "duplicate", "rejected", "rerouted", "commands")
AT_RISK = {"in_future", "too_old", "clock_ahead", "conflict"}  # here both the price and the minutes are known


class Published(NamedTuple):
    """What one partition's output topics hold, parsed, in the order of the log."""

    journal: list[Row]
    priced: list[Row]
    daily: dict[tuple[str, str, str], Row]
    rejected: list[Row]
    results: Sequence[Row] = ()
    bills: Sequence[Row] = ()
    ledger: Sequence[Row] = ()
    notices: Sequence[Row] = ()
    services: Sequence[Row] = ()
    notes: Sequence[Row] = ()


class Reroutes(NamedTuple):
    """What all partitions forwarded, what arrived, and the priced rows that name an origin."""

    forwarded: dict[tuple[str, int, int], tuple[int, bytes]]
    arrived: dict[tuple[str, int, int], bytes]
    metered: list[Row]

    def add(self, count: PartitionCount, published: Published) -> None:
        self.forwarded.update(count.forwarded)
        self.arrived.update(count.arrived)
        self.metered.extend(row for row in published.priced if "origin" in row)


def fold_journal(count: PartitionCount, inputs: dict[str, list[Record]], journal: list[Row]) -> Iterator[str]:
    """Fold the inputs into `count` as the journal says; yields where the journal itself is wrong."""
    here = f"journal[{count.partition}]"
    if not journal or journal[0].get("kind") != "rules":
        yield f"{here} does not begin with the rules record"
    reached = {COMPLETED: 0, REROUTED: 0, COMMANDS: 0}
    previous = None
    for step in journal[1:]:
        if previous is not None and step["seq"] != previous + 1:
            yield f"{here} goes from seq {previous} to {step['seq']}"
        previous = step["seq"]
        records: list[Record] = []
        for part in step["inputs"]:
            yield from follow(here, step["seq"], part, reached)
            records += between(inputs.get(part["topic"], []), part["from"], part["to"])
        if step.get("due"):
            yield from run_due(count, f"{here} seq {step['seq']}", **step["due"])
        not_after = step.get("not_after")
        if not_after is not None and all(record.timestamp_ms <= not_after for record in records):
            yield f"{here} seq {step['seq']} refuses what was recorded after {not_after}, where nothing was"
        yield from same_counts(f"{here} seq {step['seq']}", step, count.fold(records, step["seq"], not_after))
    for topic, end in reached.items():
        left = len(inputs.get(topic, [])) - at(inputs.get(topic, []), end)
        if left:
            yield f"{left} records of {topic}[{count.partition}] from {end} on were never folded"


def run_due(count: PartitionCount, here: str, until: int, actions: int) -> Iterator[str]:
    if until < count.billing.settled_until_ms:
        yield f"{here} settles until {until}, after {count.billing.settled_until_ms}"
    due = count.billing.run_due(until, actions)
    if due < actions:
        yield f"{here} says that {actions} actions were due, recounted {due}"


def follow(here: str, seq: int, part: Row, reached: dict[str, int]) -> Iterator[str]:
    topic, start, end = part["topic"], part["from"], part["to"]
    if start != reached.get(topic, 0) or end < start:
        yield f"{here} seq {seq} folds {topic} [{start}, {end}) where {reached.get(topic, 0)} was next"
    reached[topic] = end


def at(records: list[Record], offset: int) -> int:
    return bisect_left(records, offset, key=attrgetter("offset"))


def between(records: list[Record], start: int, end: int) -> list[Record]:
    return records[at(records, start) : at(records, end)]


def same_counts(here: str, step: Row, counts: Counter[str]) -> Iterator[str]:
    for outcome in OUTCOMES:
        if step[outcome] != counts[outcome]:
            yield f"{here} says {outcome} {step[outcome]}, recounted {counts[outcome]}"


def differences(count: PartitionCount, published: Published) -> Iterator[str]:
    """Everything in one partition's outputs that is missing, too much or not as recounted."""
    yield from priced_differences(count, published.priced)
    yield from total_differences(count, published.daily)
    yield from refused_differences(count, published.rejected)


def priced_differences(count: PartitionCount, rows: list[Row]) -> Iterator[str]:
    seen: Counter[tuple[str, str]] = Counter((row["account_id"], row["job_id"]) for row in rows)
    for identity, times in seen.items():
        if identity not in count.priced:
            yield f"priced but not owed: account, job {identity}"
        elif times > 1:
            yield f"priced {times} times: account, job {identity}"
    for identity in count.priced.keys() - seen.keys():
        yield f"never priced: account, job {identity}, {count.priced[identity]['amount']} CNY"
    for row in rows:
        expected = count.priced.get((row["account_id"], row["job_id"]), row)
        yield from same_fields(f"priced job {row['job_id']!r}", expected, row)
        if (row["source"]["topic"] == REROUTED) != ("origin" in row):
            yield f"priced job {row['job_id']!r}: origin is given for rerouted records and no others"


def same_fields(what: str, expected: Row, row: Row) -> Iterator[str]:
    for name, value in expected.items():
        if row.get(name) != value:
            yield f"{what}: {name} is {row.get(name)!r}, recounted {value!r}"


def total_differences(count: PartitionCount, daily: dict[tuple[str, str, str], Row]) -> Iterator[str]:
    for key in daily.keys() - count.totals.keys():
        yield f"total without a job: {key}"
    for key, (jobs, minutes, amount) in count.totals.items():
        if key not in daily:
            yield f"total missing: {key}, {money(amount)} CNY"
            continue
        names = dict(zip(("account_id", "region", "day"), key, strict=True))
        figures = {"jobs": jobs, "minutes": minutes, "amount": money(amount), "currency": "CNY"}
        yield from same_fields(f"total {key}", {"v": 1} | names | figures, daily[key])


def refused_differences(count: PartitionCount, rows: list[Row]) -> Iterator[str]:
    places = Counter(place(row["source"]) for row in rows)
    for where in places.keys() - count.refused.keys():
        yield f"refused for nothing: {where}"
    for where in count.refused.keys() - places.keys():
        yield f"neither priced nor refused: {where}, {count.refused[where].code}"
    for row in rows:
        where = place(row["source"])
        if places[where] > 1:
            yield f"refused {places[where]} times: {where}"
        if where in count.refused:
            yield from same_refusal(count, where, row)


def same_refusal(count: PartitionCount, where: tuple[str, int, int], row: Row) -> Iterator[str]:
    refused = count.refused[where]
    if row["code"] != refused.code:
        yield f"refused {where} as {row['code']}, recounted {refused.code}"
    if row["source"]["timestamp"] != refused.record.timestamp_ms:
        yield f"refused {where} with another timestamp: {row['source']['timestamp']}"
    if not row.get("truncated") and base64.b64decode(row.get("record") or "") != (refused.record.value or b""):
        yield f"refused {where} with other bytes than the record's"
    stated = row.get("amount_at_risk")
    if refused.amount != stated and (stated is not None or refused.code in AT_RISK) and refused.amount:
        yield f"refused {where} with {stated} CNY at risk, recounted {refused.amount}"


def place(source: Row) -> tuple[str, int, int]:
    return source["topic"], source["partition"], source["offset"]


def reroute_differences(reroutes: Reroutes) -> Iterator[str]:
    """Every misplaced completion arrived with its owner once, with its bytes, and nothing else did."""
    sent = Counter(reroutes.forwarded.values())
    came = Counter((partition, digest) for (_, partition, _), digest in reroutes.arrived.items())
    for (partition, _), times in (sent - came).items():
        yield f"a record for {REROUTED}[{partition}] is missing there ({times} times)"
    for (partition, _), times in (came - sent).items():
        yield f"a record on {REROUTED}[{partition}] was not rerouted from anywhere ({times} times)"
    for row in reroutes.metered:
        origin, source = place(row["origin"]), place(row["source"])
        if reroutes.forwarded.get(origin) != (source[1], reroutes.arrived.get(source)):
            yield f"priced job {row['job_id']!r} names {origin} as its origin, which it is not"
