"""What differs in the money, in words: bill by bill, entry by entry, and whether the sums agree."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal

from tests.recount.compare import Published, Row, same_fields
from tests.recount.count import PartitionCount
from tests.recount.rules import money


def money_differences(count: PartitionCount, published: Published) -> Iterator[str]:
    """Everything about one partition's money that is missing, too much or not as recounted."""
    yield from answer_differences(count, published.results)
    yield from digest_differences(count, published.results)
    yield from bill_differences(count, published.bills)
    yield from row_differences("notes", count.accounts.notes, published.notes)
    yield from row_differences("ledger", count.accounts.entries, published.ledger)
    yield from row_differences("notices", count.accounts.notices, published.notices)
    yield from row_differences("services", last_of_each(count.accounts.services), last_of_each(published.services))
    yield from ledger_differences(count, published.ledger)
    yield from sum_differences(count, published)


def answer_differences(count: PartitionCount, rows: Sequence[Row]) -> Iterator[str]:
    given = {row["source"]["offset"]: row for row in rows}
    if len(given) != len(rows):
        yield f"partition {count.partition}: a command was answered twice"
    for offset, command_id, answer in count.commands.answers:
        what = f"command {command_id!r} at {offset} of partition {count.partition}"
        if offset not in given:
            yield f"{what} was never answered"
            continue
        status = "done" if answer.code is None else "refused"
        fields = {"command_id": command_id, "account_id": answer.account_id, "status": status, "code": answer.code}
        yield from same_fields(what, fields, given[offset])
    for offset in given.keys() - {offset for offset, _, _ in count.commands.answers}:
        yield f"an answer to no command: {given[offset]['command_id']!r} at {offset}"


def digest_differences(count: PartitionCount, rows: Sequence[Row]) -> Iterator[str]:
    """Of records with one id: equal digests where they ask for the same, and only there."""
    of_id: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["source"]["offset"] in count.commands.contents:
            of_id[row["command_id"]].append(row)
    for first, *others in of_id.values():
        for other in others:
            one, two = (count.commands.contents[row["source"]["offset"]] for row in (first, other))
            if (one == two) is not (first.get("digest") == other.get("digest")):
                at = f"{first['source']['offset']} and {other['source']['offset']} of partition {count.partition}"
                yield f"command {first['command_id']!r}: the digests of the records at {at} are wrong"


def bill_differences(count: PartitionCount, rows: Sequence[Row]) -> Iterator[str]:
    times = Counter((row["account_id"], row["period"]) for row in rows)
    for (account_id, period), bills in times.items():
        if bills > 1:
            yield f"account {account_id}, {period}: billed {bills} times"
        if (account_id, period) not in count.billing.bills:
            yield f"account {account_id}, {period}: billed for nothing"
    for (account_id, period), bill in count.billing.bills.items():
        if (account_id, period) not in times:
            yield f"account {account_id}, {period}: bill {bill['bill_id']} of {bill['payable']} CNY was never issued"
    for row in rows:
        if expected := count.billing.bills.get((row["account_id"], row["period"])):
            yield from same_bill(expected, row)


def same_bill(expected: Row, row: Row) -> Iterator[str]:
    what = f"bill {row['bill_id']} of account {row['account_id']}"
    plain = {name: value for name, value in expected.items() if name not in {"lines", "cut", "journal"}}
    yield from same_fields(what, plain, row)
    yield from same_fields(f"{what}, proof", {name: expected[name] for name in ("cut", "journal")}, row["proof"])
    if len(row["lines"]) != len(expected["lines"]):
        yield f"{what} has {len(row['lines'])} lines, recounted {len(expected['lines'])}"
    for number, (line, stated) in enumerate(zip(expected["lines"], row["lines"], strict=False), 1):
        if line != stated:
            yield f"{what}, line {number} is {stated}, recounted {line}"


def row_differences(what: str, expected: Sequence[Row], rows: Sequence[Row]) -> Iterator[str]:
    """The rows of each account, in order; the first that differs of each."""
    accounts = {row["account_id"] for row in (*expected, *rows)}
    mine, theirs = by_account(expected), by_account(rows)
    for account_id in sorted(accounts):
        wanted, stated = mine.get(account_id, []), theirs.get(account_id, [])
        if len(wanted) != len(stated):
            yield f"account {account_id}, {what}: {len(stated)} rows, recounted {len(wanted)}"
        for number, (row, other) in enumerate(zip(wanted, stated, strict=False), 1):
            if any(other.get(name) != value for name, value in row.items()):
                yield f"account {account_id}, {what}, row {number} is {other}, recounted {row}"
                break


def by_account(rows: Sequence[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["account_id"], []).append(row)
    return grouped


def last_of_each(rows: Sequence[Row]) -> list[Row]:
    """What is left of a compacted topic."""
    return list({row["account_id"]: row for row in rows}.values())


def ledger_differences(count: PartitionCount, entries: Sequence[Row]) -> Iterator[str]:
    """Every entry sums to zero and is there once; the balance and what is owed are the fold of them."""
    for entry_id, times in Counter(entry["entry_id"] for entry in entries).items():
        if times > 1:
            yield f"ledger: entry {entry_id} is there {times} times"
    for entry in entries:
        if (total := sum(Decimal(posting["amount"]) for posting in entry["postings"])) != 0:
            yield f"ledger: entry {entry['entry_id']} sums to {total}"
    folded = fold(entries)
    for account_id, customer in count.accounts.of.items():
        for book, expected in (("balance", -customer.cash), ("receivable", customer.waiting)):
            if (stated := folded[account_id, book]) != expected:
                yield f"account {account_id}: {book} folds to {money(stated)}, recounted {money(expected)}"


def fold(entries: Sequence[Row]) -> dict[tuple[str, str], Decimal]:
    """The sums of the ledger by account and book."""
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for entry in entries:
        for posting in entry["postings"]:
            sums[entry["account_id"], posting["book"]] += Decimal(posting["amount"])
    return sums


def sum_differences(count: PartitionCount, published: Published) -> Iterator[str]:
    """Billed and unbilled is what was priced, to the last place."""
    priced = sum((Decimal(row["amount"]) for row in published.priced), Decimal(0))
    billed = sum((Decimal(row["total"]) for row in published.bills), Decimal(0))
    waiting = sum((line.amount for lines in count.billing.waiting.values() for line in lines.values()), Decimal(0))
    if priced != billed + waiting:
        left = money(priced - billed - waiting)
        yield f"partition {count.partition}: priced {money(priced)} CNY, of which {left} are neither billed nor waiting"
