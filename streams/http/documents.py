"""What the reads answer with, made from the rows of the read model."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from meter.contracts import Contract
from meter.models import Amount
from streams.http.answers import AnswerDocument, Moment, Page
from streams.http.tokens import Token
from streams.webhooks.endpoints import Listed

State = Literal["good", "in_arrears", "stopped"]


class AccountItem(AnswerDocument):
    """An account of the list. `since`: when its state began, which may be when it was opened (`seen_at`).

    `owed`: what open bills come to, less the balance, at least 0.00.
    """

    account_id: str
    state: State
    since: Moment = Field(validation_alias="in_state_since")
    balance: Amount
    owed: Amount
    seen_at: Moment


class OpenBillItem(AnswerDocument):
    """A bill or debit note that is not paid; `payable` less what was credited."""

    bill_id: str
    payable: Amount
    entered_at: Moment


class ContractItem(AnswerDocument):
    """A contract: own prices by region, zone or `*`, mode and arrears terms from a billing day on."""

    contract_id: str
    effective_from: str
    mode: str
    prices: dict[str, Amount]
    grace_hours: int | None


def contract_item(contract: Contract) -> ContractItem:
    """A contract as the API shows it."""
    return ContractItem(**contract._asdict() | {"prices": dict(contract.prices), "mode": contract.mode.value})


class ContractsDocument(AnswerDocument):
    """All contracts of an account, by their start, without those that were withdrawn."""

    items: list[ContractItem]


class LowBalanceDocument(AnswerDocument):
    """The balance below which the customer gets a notice; null: it gets none."""

    threshold: Amount | None
    currency: Literal["CNY"] = "CNY"


class AccountDocument(AccountItem):
    """One account. `deadline`: when its service stops unless what is owed is paid; null: it does not."""

    reason: str | None
    unpaid: Amount
    may_start_jobs: bool
    deadline: Moment | None
    open_bills: list[OpenBillItem]
    mode: str
    contract: ContractItem | None
    contracts_to_come: list[ContractItem]
    low_balance: Amount | None
    currency: Literal["CNY"] = "CNY"


class UsageItem(AnswerDocument):
    """What was used in a region on a billing day."""

    day: str
    region: str
    jobs: int
    minutes: int
    amount: Amount


class SumItem(AnswerDocument):
    """The exact sum of some usage."""

    jobs: int
    minutes: int
    amount: Amount


class UsageDocument(Page[UsageItem]):
    """Usage by billing day and region, page by page. A day goes on counting jobs that come in late.

    `sum`: of all pages, each time.
    """

    sum: SumItem
    currency: Literal["CNY"] = "CNY"


class AccountDayItem(UsageItem):
    """What an account used in a region on a billing day."""

    account_id: str


class PositionItem(AnswerDocument):
    """Where a record is in a topic."""

    topic: str
    partition: int
    offset: int


# So many fields: the answer has them.
class JobItem(AnswerDocument):
    """A job as it was priced; `completed_at` as it came."""

    job_id: str
    account_id: str
    region: str
    kinds: list[str]
    completed_at: str = Field(validation_alias="completed_at_text")
    day: str
    duration_s: str
    minutes: int
    unit_price: Amount
    amount: Amount
    price_version: str
    source: PositionItem
    origin: PositionItem | None


class BillItem(AnswerDocument):
    """A bill. `paid_at` null: it is open. `refunded`, `credited`: how much of it was given back, by credit notes."""

    bill_id: str
    account_id: str
    period: str
    mode: str
    total: Amount
    payable: Amount
    rounding: Amount
    issued_at: Moment
    lines: int
    paid_at: Moment | None
    refunded: Amount
    credited: Amount


class LineItem(AnswerDocument):
    """A line of a bill; a late one names the day and bill that it belongs to."""

    kind: str
    region: str
    day: str
    jobs: int
    minutes: int
    unit_price: Amount
    amount: Amount
    original_bill_id: str | None


class EntryItem(AnswerDocument):
    """An entry of the ledger: its change of the balance, the balance and what open bills come to after it."""

    entry_id: str
    at: Moment
    cause: str
    reference: str
    reason: str | None
    change: Amount
    balance_after: Amount
    unpaid_after: Amount


# So many fields: the answer has them.
class NoteItem(AnswerDocument):
    """A debit note (`charge`, `payment_reversed`) or `credit_note`. `paid_at` null: a debit note is open.

    `reference`: the top-up that was reversed, or the bill or debit note that is credited on `line`.
    """

    note_id: str
    account_id: str
    kind: str
    command_id: str
    day: str
    amount: Amount
    issued_at: Moment
    reason: str | None
    reference: str | None
    line: int | None
    paid_at: Moment | None
    refunded: Amount
    credited: Amount


class BillDocument(AnswerDocument):
    """A bill with its lines, and `published`: the record of `billing.bills`, of which all else is a view."""

    bill: BillItem
    lines: list[LineItem]
    entries: list[EntryItem]
    credit_notes: list[NoteItem]
    published: dict[str, Any]
    currency: Literal["CNY"] = "CNY"


class NoticeItem(AnswerDocument):
    """What a customer was to be told."""

    notice_id: str
    account_id: str
    kind: str
    at: Moment
    bill_id: str | None
    payable: Amount | None
    owed: Amount | None
    balance: Amount | None
    deadline: Moment | None


class ServiceDocument(AnswerDocument):
    """May this account start new jobs? `since` and `reason` are null where nothing ever happened to it."""

    account_id: str
    state: State
    may_start_jobs: bool
    since: str | None = None
    reason: str | None = None


class BookItem(AnswerDocument):
    """A price book: CNY per minute by price zone, from the start of a billing day; null: it has no start."""

    version: str
    effective_from: str | None
    prices: dict[str, Amount]
    published_at: Moment | None
    command_id: str | None


class PricesDocument(AnswerDocument):
    """All price books, and the version of the one in force on `day`."""

    day: str
    in_force: str
    books: list[BookItem]
    currency: Literal["CNY"] = "CNY"


class RejectItem(AnswerDocument):
    """A refused record. `position` is where it is in `usage.rejected`; `priced_later`: it was put right."""

    position: str
    code: str
    message: str
    account_id: str | None
    job_id: str | None
    amount_at_risk: Amount | None
    recorded_at: Moment
    source: PositionItem
    priced_later: bool


class RejectDocument(RejectItem):
    """A refused record with `published`: the record of `usage.rejected`, in which the original is base64."""

    published: dict[str, Any]


class TopicItem(AnswerDocument):
    """How far a topic is shown: `lag` records are not yet; it is complete up to `as_of`."""

    topic: str
    lag: int
    record_at: Moment | None
    as_of: Moment | None


class StatusDocument(AnswerDocument):
    """Whether Kafka and the store are there, and how old what is shown is."""

    version: str
    meter_id: str | None
    kafka: Literal["up", "down"]
    kafka_problem: str | None
    store: Literal["up", "down"]
    as_of: Moment | None
    topics: list[TopicItem]


class CommandDocument(AnswerDocument):
    """What became of a command: `done`, `refused` with a code of the contract, or `sent`: not answered yet."""

    command_id: str
    outcome: Literal["sent", "done", "refused"]
    code: str | None = None
    message: str | None = None


class AuditItem(AnswerDocument):
    """Who commanded what, when, and what came of it. `token_id` null: on a machine without tokens."""

    id: int
    at: Moment
    token_id: str | None
    role: str
    remote: str | None
    action: str
    account_id: str | None
    command_id: str | None
    outcome: str
    code: str | None
    detail: dict[str, Any]


class TokenItem(AnswerDocument):
    """A token, without its secret. `last_used_at`: to within ten minutes."""

    token_id: str
    role: Literal["operator", "account", "producer"]
    account_id: str | None
    label: str | None
    created_at: Moment
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None
    state: Literal["active", "expired", "revoked"]


class NewTokenDocument(TokenItem):
    """A token that was made. `token`: all of it, once; null where the same was asked before."""

    token: str | None


def token_item(token: Token) -> TokenItem:
    """A token as the API shows it."""
    return TokenItem.model_validate({**token._asdict(), "state": token.state(datetime.now(UTC))})


Event = Literal["bill", "notice", "service"]


class WebhookItem(AnswerDocument):
    """A webhook, without its secret, and how many of its messages wait or are dead. `account_id` null: of all."""

    webhook_id: str
    url: str
    events: list[Event]
    account_id: str | None
    created_at: Moment
    waiting: int
    dead: int


class NewWebhookDocument(WebhookItem):
    """A webhook that was added. `secret`: once; null where the same was asked before. `warning`: why it cannot work."""

    secret: str | None
    warning: str | None


def webhook_item(found: Listed) -> WebhookItem:
    """A webhook as the API shows it."""
    fields = found.endpoint._asdict()
    return WebhookItem(**fields | {"webhook_id": fields["endpoint_id"]}, waiting=found.waiting, dead=found.dead)


class DeadItem(AnswerDocument):
    """A message that was given up."""

    message_id: str = Field(validation_alias="event_id")
    event: str
    account_id: str
    attempts: int
    created_at: Moment
    last_error: str | None


class RetriedDocument(AnswerDocument):
    """How many messages wait again."""

    retried: int


class RedriveDocument(AnswerDocument):
    """A refused record that was sent again: its job, and the partition of `recognition.jobs.completed`."""

    position: str
    account_id: str
    job_id: str
    partition: int


class VerifyDocument(AnswerDocument):
    """A bill recomputed from the log: `proved` when every byte agrees; `unprovable` says why it cannot be done."""

    bill_id: str
    proved: bool
    differences: list[str]
    unprovable: str | None
    records: int
    steps: int
    checked_at: Moment


class VerifyingDocument(AnswerDocument):
    """A proof that goes on."""

    bill_id: str
    state: Literal["running"]
