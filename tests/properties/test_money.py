"""The money's promises as properties: whatever comes in, however wrong the clock, wherever the process dies."""

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meter import topics
from meter.accounts import Account
from meter.billing_models import AccountService, BillIssued, LedgerEntry, NoteIssued
from meter.fold import fold
from meter.models import PricedJob
from meter.records import Chunk, Keyed
from meter.replay import concerns, replay, replay_bills
from meter.rules import Rules
from meter.settle import run_due
from meter.settlement import bill_id_of
from meter.step import Step
from tests.builders import HOUR_MS, Input, Partition, completion, encode, price_book
from tests.unit.billing import ms

ACCOUNTS = ("A", "B", "账户")
DAY_MS = 24 * HOUR_MS
START_MS = ms("2026-01-29 09:00")  # the end of a month is near
DAYS = ["2026-01-29", "2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02", "2026-02-05", "2026-03-01"]

accounts = st.sampled_from(ACCOUNTS)
amounts = st.sampled_from(["0.01", "0.28", "5.00", "16.80", "40.00"])
jobs = st.fixed_dictionaries({
    "account_id": accounts,
    "job_id": st.integers(0, 30).map("job-{}".format),
    "region": st.sampled_from(["ap-guangzhou", "Tokyo", "na-ashburn"]),
    "duration_s": st.sampled_from([1, 60, 61, 3600]),
    "age_h": st.sampled_from([0, 0, 1, 10, 24, 30, 72, 800]),
})  # fmt: skip
contracts = st.fixed_dictionaries({
    "type": st.just("contract"),
    "account_id": accounts,
    "effective_from": st.sampled_from(DAYS),
    "mode": st.sampled_from(["daily", "monthly", None]),
    "prices": st.sampled_from([{}, {"*": "0.1"}, {"Tokyo": "0.33333333"}, {"ap-guangzhou": "0"}]),
    "grace_hours": st.sampled_from([None, 1, 48]),
})  # fmt: skip
bill_ids = st.tuples(accounts, st.sampled_from([*DAYS, "2026-01", "2026-02"]))
refunds = st.builds(
    lambda of, m, t: {"type": "refund", "account_id": of[0], "bill_id": bill_id_of(*of), "amount": m, "ticket": t},
    bill_ids,
    amounts,
    st.sampled_from(["T-1", "T-2"]),
)
top_ups = st.builds(lambda a, m: {"type": "top_up", "account_id": a, "amount": m}, accounts, amounts)
adjustments = st.builds(
    lambda a, m: {"type": "adjustment", "account_id": a, "amount": f"-{m}", "reason": "r"}, accounts, amounts
)
charges = st.builds(lambda a, m: {"type": "charge", "account_id": a, "amount": m, "reason": "r"}, accounts, amounts)
credit_notes = st.builds(
    lambda of, m, n: {
        "type": "credit_note", "account_id": of[0], "bill_id": bill_id_of(*of), "line": n, "amount": m, "reason": "r",
    },
    bill_ids,
    amounts,
    st.sampled_from([1, 1, 2]),
)  # fmt: skip
#: Of one that was given before: see `lived`.
reversals = st.builds(
    lambda a, n: {"type": "payment_reversed", "account_id": a, "top_up": n}, accounts, st.integers(0, 9)
)
withdrawals = st.builds(
    lambda a, n: {"type": "withdraw_contract", "account_id": a, "contract_id": n}, accounts, st.integers(0, 3)
)
commands = st.one_of(
    *[top_ups] * 4,
    charges,
    credit_notes,
    reversals,
    withdrawals,
    adjustments,
    st.builds(lambda a, m: {"type": "low_balance", "account_id": a, "threshold": m}, accounts, amounts),
    st.builds(lambda a: {"type": "open_account", "account_id": a}, accounts),
    contracts,
    *[refunds] * 2,
)
forward = st.sampled_from([1, 60_000, HOUR_MS, 5 * HOUR_MS, 24 * HOUR_MS, 26 * HOUR_MS])
wrong = st.sampled_from([-1, -HOUR_MS, -30 * HOUR_MS, -33 * DAY_MS, 31 * DAY_MS, 40 * DAY_MS])
jumps = st.one_of(*[forward] * 8, wrong)
numbers = st.integers(0, 300)
crashes = st.sampled_from([None, None, None, None, "before the commit", "after the commit"])


def records(job: dict[str, Any], at_ms: int) -> tuple[str, int, bytes | None]:
    """A completion's record, of a job that ended some hours before it came in."""
    completed = datetime.fromtimestamp(at_ms / 1000, UTC) - timedelta(hours=job["age_h"])
    fields = {name: value for name, value in job.items() if name != "age_h"}
    return topics.COMPLETED, at_ms, encode(completion(**fields, completed_at=completed.isoformat()))


def order(command: dict[str, Any], number: int, at_ms: int) -> tuple[str, int, bytes | None]:
    """A command's record."""
    issued = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
    return topics.COMMANDS, at_ms, encode({"command_id": f"c-{number}", "issued_at": issued, **command})


class Meter:
    """One partition with its logs: it folds, settles, dies and goes on."""

    def __init__(self, spread_s: int = 3600) -> None:
        self.rules = Rules(meter_id="test", partitions=1, settlement_spread_s=spread_s)
        self.partition = Partition(self.rules)
        self.logs: dict[str, list[Input]] = {topic: [] for topic in topics.INPUTS}
        #: What is to be done in one step with the records that come next: until when, how many.
        self.due: tuple[int, int] | None = None

    def append(self, topic: str, at_ms: int, value: bytes | None) -> None:
        self.logs[topic].append(Input(len(self.logs[topic]), at_ms, None, value, ()))

    def fold(self, crash: str | None = None) -> None:
        """Everything that is there, commands first; after a crash again, until it is in the state."""
        state = self.partition.state
        waiting = [(topic, state.position.next[topic], len(self.logs[topic])) for topic in topics.INPUTS]
        chunks = [Chunk(topic, a, b, self.logs[topic][a:b]) for topic, a, b in waiting if b > a]
        if chunks:
            step = Step(state, self.partition.seen)
            if self.due is not None:
                run_due(step, *self.due)
            for chunk in chunks:
                fold(step, chunk)
            self.due = None
            self._commit(step, crash)

    def settle(self, until_ms: int, limit: int, crash: str | None = None) -> None:
        """A slice of what is due by an instant."""
        step = Step(self.partition.state, self.partition.seen)
        run_due(step, until_ms, limit)
        self.due = None
        self._commit(step, crash)

    def settle_all(self, until_ms: int, limit: int) -> None:
        while (due := self.partition.state.agenda.next_ms()) is not None and due <= until_ms:
            self.settle(until_ms, limit)

    def _commit(self, step: Step, crash: str | None) -> None:
        if crash == "before the commit":
            self.partition.reopen()
            return
        self.partition.publish(step)
        if crash == "after the commit":
            self.partition.reopen()
        else:
            self.partition.state.apply(step.changes, self.partition.seen)

    @property
    def steps(self) -> list[Step]:
        return self.partition.steps

    def read(self, span: Any) -> list[Input]:
        return self.logs[span.topic][span.start : span.next]

    def bills(self) -> list[BillIssued]:
        return [BillIssued.read(value) for step in self.steps for _, value in step.outputs.bills]

    def entries(self) -> list[LedgerEntry]:
        return [LedgerEntry.read(value) for step in self.steps for _, value in step.outputs.entries]


def published(step: Step) -> list[list[Keyed]]:
    out = step.outputs
    daily = list(step.daily())
    money = [out.bills, out.notes, out.entries, out.notices, out.services]
    return [step.outputs.priced, daily, step.outputs.rejected, step.outputs.results, *money]


events = st.lists(
    st.one_of(
        *[st.tuples(st.just("job"), jobs, st.just(0))] * 3,
        *[st.tuples(st.just("command"), commands, numbers)] * 3,
        *[st.tuples(st.just("time"), jumps, st.just(0))] * 2,
        *[st.tuples(st.just("settle"), crashes, st.sampled_from([1, 3, 1000]))] * 2,
        st.tuples(st.just("settle with the next"), st.none(), st.sampled_from([1, 3, 1000])),
        st.tuples(st.just("fold"), crashes, st.just(0)),
    ),
    min_size=30,  # short ones show little: a bill that is not paid in time takes two days and a dozen events
    max_size=80,
)


def lived(history: list[tuple[str, Any, int]]) -> Meter:
    """A meter that has lived through it. Due actions run only when everything is folded, as in the stream."""
    meter, now_ms = Meter(), START_MS
    given: dict[tuple[str, str], list[str]] = defaultdict(list)
    for what, detail, number in history:
        match what:
            case "job":
                meter.append(*records(detail, now_ms))
            case "command":
                meter.append(*order(about_given(detail, given), number, now_ms))
                given[detail["type"], detail["account_id"]].append(f"c-{number}")
            case "fold":
                meter.fold(detail)
            case "time":
                now_ms += detail
            case "settle":
                meter.fold()
                meter.settle(now_ms, number, detail)
            case "settle with the next":
                meter.fold()
                meter.due = now_ms, number
    meter.fold()
    return meter


def about_given(command: dict[str, Any], given: dict[tuple[str, str], list[str]]) -> dict[str, Any]:
    """A command that names another one by how long ago it was given, with that one's id."""
    for field, kind in (("top_up", "top_up"), ("contract_id", "contract")):
        if field in command:
            ids = given[kind, command["account_id"]] or ["never"]
            return command | {field: ids[-1 - command[field] % len(ids)]}
    return command


@settings(max_examples=300, deadline=None)
@given(events)
def test_whatever_happens_the_sums_agree_and_nothing_is_billed_twice(history: list[tuple[str, Any, int]]) -> None:
    meter = lived(history)
    check_sums(meter)
    check_ledger(meter)
    check_stops(meter)


@settings(max_examples=150, deadline=None)
@given(events)
def test_replay_gives_the_same_bytes_and_one_accounts_bills_alone(history: list[tuple[str, Any, int]]) -> None:
    meter = lived(history)
    meter.settle_all(
        meter.partition.state.position.due_until, 2
    )  # an account alone has no slices: what is begun is finished
    journal = [step.journal_entry() for step in meter.steps]
    again = [step for _, step, _ in replay(meter.rules, 0, journal, meter.read)]
    assert [published(step) for step in again] == [published(step) for step in meter.steps]
    bills = [row for step in meter.steps for row in step.outputs.bills]
    for account_id in ACCOUNTS:
        about = concerns(account_id)

        def own(span: Any, about: Any = about) -> list[Input]:
            return [r for r in meter.read(span) if span.topic == topics.COMMANDS or about(r.value)]

        alone = list(replay_bills(meter.rules, 0, account_id, journal, own))
        assert alone == [row for row in bills if row[0] == account_id.encode()]


@settings(max_examples=150, deadline=None)
@given(events)
def test_a_restart_knows_what_the_process_before_it_knew(history: list[tuple[str, Any, int]]) -> None:
    meter = lived(history)
    before = meter.partition.state
    meter.partition.reopen()
    after = meter.partition.state
    for name in ("next", "last", "seq", "due_until", "record_time"):
        assert getattr(after.position, name) == getattr(before.position, name)
    assert (after.accounts.by_id, after.accounts.tickets) == (before.accounts.by_id, before.accounts.tickets)
    assert (after.terms.contracts, after.commands) == (before.terms.contracts, before.commands)
    assert list(after.agenda.until(2**53)) == list(before.agenda.until(2**53))
    assert after.unbilled.amount() == before.unbilled.amount()
    for name in ("documents", "payments"):
        kept, were = getattr(after.accounts, name), getattr(before.accounts, name)
        assert {k: v for k, v in kept.items() if v} == {k: v for k, v in were.items() if v}


def check_sums(meter: Meter) -> None:
    """One bill an account and period; every line is minutes times price; billed and unbilled is what was priced."""
    bills = meter.bills()
    assert max(Counter((bill.account_id, bill.period) for bill in bills).values(), default=1) == 1
    assert len({bill.bill_id for bill in bills}) == len(bills)
    for bill in bills:
        assert sum(Decimal(line.amount) for line in bill.lines) == Decimal(bill.total)
        assert all(Decimal(line.unit_price) * line.minutes == Decimal(line.amount) for line in bill.lines)
        assert Decimal(bill.payable) - Decimal(bill.total) == Decimal(bill.rounding)
    priced = sum((Decimal(PricedJob.read(v).amount) for v in meter.partition.priced_topic), Decimal(0))
    billed = sum((Decimal(bill.total) for bill in bills), Decimal(0))
    assert billed + meter.partition.state.unbilled.amount() == priced


def check_ledger(meter: Meter) -> None:
    """Each entry sums to zero; ids are there once; balances and debts are the fold."""
    entries = meter.entries()
    folded: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for entry in entries:
        assert sum(Decimal(posting.amount) for posting in entry.postings) == 0
        for posting in entry.postings:
            folded[entry.account_id, posting.book] += Decimal(posting.amount)
    assert sum(folded.values()) == 0
    assert len({entry.entry_id for entry in entries}) == len(entries)
    notices = [json.loads(value)["notice_id"] for step in meter.steps for _, value in step.outputs.notices]
    assert len(set(notices)) == len(notices)
    for account_id, account in meter.partition.state.accounts.by_id.items():
        assert -folded[account_id, "balance"] == account.cash >= 0
        assert folded[account_id, "receivable"] == sum(bill.payable for bill in account.open_bills)
        assert all(bill.payable > 0 for bill in account.open_bills)
        check_arrears(account)
    notes = [NoteIssued.read(value) for step in meter.steps for _, value in step.outputs.notes]
    assert len({note.note_id for note in notes}) == len(notes)
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for note in notes:
        totals[note.kind] += Decimal(note.amount)
    assert sum(amount for (_, book), amount in folded.items() if book == "charges") == -totals["charge"]
    assert sum(amount for (_, book), amount in folded.items() if book == "credits") == totals["credit_note"]


def check_arrears(account: Account) -> None:
    """A service is bad when something is owed, and then only; so with a deadline or a stop and what is pressing."""
    lenient = sum((bill.payable for bill in account.open_bills if bill.grace_hours is None), Decimal(0))
    assert lenient <= account.lenient <= account.open_amount
    assert (account.service == "good") == (account.owed <= 0) == (not account.open_bills)
    assert (account.service == "stopped" or account.deadline_ms is not None) == (account.pressing > 0)


def check_stops(meter: Meter) -> None:
    """Nobody is stopped who owes nothing, nor before arrears have lasted as long as the terms say: an hour at least.

    The first bill that is not paid begins them; a newer one that is still unpaid at the deadline is enough to stop.
    """
    unpaid: dict[str, set[str]] = defaultdict(set)
    arrears: dict[str, datetime] = {}
    for step in meter.steps:
        now = datetime.fromtimestamp(
            max(step.changes.position.record_time, step.changes.position.due_until) / 1000, UTC
        )
        entries = [LedgerEntry.read(value) for _, value in step.outputs.entries]
        for entry in entries:
            if entry.cause in ("bill", "charge", "payment_reversed"):
                unpaid[entry.account_id].add(entry.reference)
        for service in (AccountService.read(value) for _, value in step.outputs.services):
            since = datetime.fromisoformat(service.since)
            if service.state == "in_arrears":
                arrears[service.account_id] = since
            elif service.state == "stopped":
                grace_h = 1 if meter.partition.state.terms.contracts.get(service.account_id) else 24
                assert arrears[service.account_id] + timedelta(hours=grace_h) <= since <= now
                assert unpaid[service.account_id]
        for entry in entries:
            if entry.cause == "payment":
                unpaid[entry.account_id].discard(entry.reference)


# -- when it is settled makes no difference ---------------------------------------------------------------------------

ZONE_NAMES = list(price_book()["prices"])
books = st.builds(
    lambda day, price: price_book(
        account_id="A", version=f"{day} {price}", effective_from=day, prices=dict.fromkeys(ZONE_NAMES, price)
    ),
    st.sampled_from(DAYS),
    st.sampled_from(["0.2", "0.31415926"]),
)
logs = st.lists(
    st.tuples(forward, st.one_of(jobs, jobs, commands, books), numbers),
    min_size=10,
    max_size=40,
)


def settled(
    log: list[tuple[str, int, bytes | None]], outage_ms: int, limit: int, chunk: int, *, beside: bool = False
) -> Meter:
    """The same records, folded in chunks and settled as often as the outages allow, in slices of so many actions.

    `beside`: slices share their steps with the records that come next.
    """
    meter, up_ms = Meter(), 0
    for (topic, at_ms, value), (_, next_ms, _) in pairwise([*log, (topics.COMMANDS, log[-1][1] + 60 * DAY_MS, None)]):
        meter.append(topic, at_ms, value)
        if sum(map(len, meter.logs.values())) % chunk == 0:
            meter.fold()
        if next_ms - 1 >= up_ms:
            meter.fold()
            if beside:
                meter.due = next_ms - 1, limit
                continue
            for instant_ms in range(at_ms, next_ms, HOUR_MS) if not outage_ms else [next_ms - 1]:
                meter.settle_all(instant_ms, limit)
            up_ms = next_ms + outage_ms
    meter.fold()
    meter.settle_all(log[-1][1] + 60 * DAY_MS, limit)
    return meter


def without_place(meter: Meter) -> dict[str, bytes]:
    """The bills' bytes, but for where in this journal their usage stands."""
    found = {}
    for step in meter.steps:
        for _, value in step.outputs.bills:
            bill = json.loads(value)
            assert set(bill["proof"].pop("journal")) == {"partition", "from", "to"}
            found[bill["bill_id"]] = json.dumps(bill).encode()
    return found


@settings(max_examples=150, deadline=None)
@given(logs, st.integers(1, 7))
def test_on_time_after_three_days_in_one_slice_or_a_thousand_the_bills_are_the_same(
    events: list[tuple[int, dict[str, Any], int]], chunk: int
) -> None:
    log, now_ms = [], START_MS
    for step_ms, event, number in events:
        now_ms += step_ms
        log.append(order(event, number, now_ms) if "type" in event else records(event, now_ms))
    on_time = settled(log, outage_ms=0, limit=1000, chunk=1)
    check_sums(on_time)
    assert on_time.partition.state.unbilled.amount() == 0
    for outage_ms, limit, beside in ((0, 1, False), (3 * DAY_MS, 1000, False), (3 * DAY_MS, 1, False), (0, 2, True)):
        other = settled(log, outage_ms, limit, chunk, beside=beside)
        assert without_place(other) == without_place(on_time)
