"""What is read back of the records that the meter has published: one form for each topic.

The store, webhooks, proofs and recovery read these and no forms of their own, so that a new field or another type is a
change in one place. Two topics' values are read by the million; of these there are short forms, which leave fields out.
Money and instants are text, as they were published, but where they are added up at once.
"""

from decimal import Decimal

import msgspec

from meter.money import EXACT, ZERO


class PublishedSource(msgspec.Struct, gc=False):
    """Where a record was read, also as the header of a forwarded one says it; `timestamp` in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int = 0


# So many fields: the record has them.
class PublishedPriced(msgspec.Struct, gc=False):
    """A value of `usage.priced`."""

    job_id: str
    account_id: str
    region: str
    kinds: list[str]
    completed_at: str
    day: str
    duration_s: str
    minutes: int
    unit_price: str
    amount: str
    price_version: str
    source: PublishedSource
    origin: PublishedSource | None = None


class PricedAmount(msgspec.Struct, gc=False):
    """Of a value of `usage.priced`, what totals are added up from: a third of the time that all of it takes."""

    account_id: str
    region: str
    day: str
    amount: Decimal


class PricedAt(msgspec.Struct, gc=False):
    """The record time of a completion that was priced, in ms."""

    timestamp: int


class PricedIdentity(msgspec.Struct, gc=False):
    """Of a value of `usage.priced`, what the dedupe index remembers: an opening reads every id of the horizon."""

    job_id: str
    account_id: str
    region: str
    kinds: tuple[str, ...]
    completed_at: str
    duration_s: str
    source: PricedAt


class PublishedTotal(msgspec.Struct, gc=False):
    """A value of `usage.daily`."""

    account_id: str
    region: str
    day: str
    jobs: int
    minutes: int
    amount: str


class PublishedRejected(msgspec.Struct, gc=False):
    """A value of `usage.rejected`."""

    code: str
    message: str
    source: PublishedSource
    account_id: str | None = None
    job_id: str | None = None
    amount_at_risk: str | None = None


class PublishedBillLine(msgspec.Struct, gc=False):
    """A line of a bill."""

    kind: str
    region: str
    day: str
    jobs: int
    minutes: int
    unit_price: str
    amount: str
    original_bill_id: str | None = None


class PublishedBill(msgspec.Struct, gc=False):
    """A value of `billing.bills`."""

    bill_id: str
    account_id: str
    period: str
    mode: str
    lines: list[PublishedBillLine]
    total: str
    payable: str
    rounding: str
    issued_at: str


class PublishedNote(msgspec.Struct, gc=False):
    """A value of `billing.notes`."""

    note_id: str
    account_id: str
    kind: str
    command_id: str
    day: str
    amount: str
    issued_at: str
    reason: str | None = None
    reference: str | None = None
    line: int | None = None


class PublishedPosting(msgspec.Struct, gc=False):
    """One side of an entry."""

    book: str
    amount: str


class PublishedEntry(msgspec.Struct, gc=False):
    """A value of `billing.ledger`."""

    entry_id: str
    account_id: str
    at: str
    cause: str
    reference: str
    postings: list[PublishedPosting]
    reason: str | None = None

    def posted(self, book: str) -> Decimal:
        """What it puts into a book, debit positive."""
        total = ZERO
        for posting in self.postings:
            if posting.book == book:
                total = EXACT.add(total, Decimal(posting.amount))
        return total


class PublishedNotice(msgspec.Struct, gc=False):
    """A value of `billing.notices`."""

    notice_id: str
    account_id: str
    kind: str
    at: str
    bill_id: str | None = None
    payable: str | None = None
    owed: str | None = None
    balance: str | None = None
    deadline: str | None = None


class PublishedService(msgspec.Struct, gc=False):
    """A value of `account.service`."""

    account_id: str
    state: str
    since: str
    reason: str


class PublishedResult(msgspec.Struct, gc=False):
    """A value of `meter.command-results`."""

    command_id: str
    status: str
    source: PublishedSource
    account_id: str | None = None
    code: str | None = None
    message: str | None = None
    digest: str | None = None
