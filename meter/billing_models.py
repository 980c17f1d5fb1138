"""The public contract of the money: commands in; bills, notes, ledger entries, notices and service states out."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from meter.arrears import Service
from meter.contracts import EVERY_REGION, Mode
from meter.durations import as_number
from meter.hints import nearest_region
from meter.ledger import Book, Cause
from meter.models import Amount, Day, Id, Instant, OutputRecord, Said
from meter.money import decimal_text
from meter.notes import NoteKind
from meter.regions import ZONE_OF
from meter.settlement import Kind

#: Money of commands: CNY, at most 2 places.
MONEY_PATTERN = r"-?[0-9]{1,12}(\.[0-9]{1,2})?"
_MONEY = re.compile(MONEY_PATTERN)


def _money(value: Any) -> Decimal:
    if not isinstance(value, str) or not _MONEY.fullmatch(value):
        raise PydanticCustomError(
            "bad_amount", "must be a decimal string with at most 2 places, got {value}", {"value": _written(value)}
        )
    return Decimal(value)


def _written(value: Any) -> str:
    return (as_number(value) or repr(value))[:64]


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise PydanticCustomError("bad_amount", "must be more than 0, got {value}", {"value": decimal_text(value)})
    return value


def _not_zero(value: Decimal) -> Decimal:
    if not value:
        raise PydanticCustomError("bad_amount", "must not be 0", {})
    return value


_SCHEMA = WithJsonSchema({"type": "string", "pattern": f"^{_MONEY.pattern}$", "description": "CNY"})
Money = Annotated[Decimal, BeforeValidator(_money), _SCHEMA]
Positive = Annotated[Money, AfterValidator(_positive)]
Reason = Annotated[str, Field(min_length=1, max_length=500)]


def _number(value: Any) -> Any:
    if isinstance(value, str | bool):
        raise ValueError("must be a whole number")
    return value


LineNumber = Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(_number)]


class Command(BaseModel):
    """What every command of `meter.commands` has. `issued_at`: older than the horizon is refused."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = 1
    command_id: Id
    issued_at: Instant


class AccountCommand(Command):
    """A command about one account. It belongs on the account's partition, like its completions."""

    account_id: Id


class OpenAccount(AccountCommand):
    """Open an account before its first job, which opens it too: daily mode, no balance."""

    type: Literal["open_account"] = "open_account"


class TopUp(AccountCommand):
    """Money that the customer has paid in."""

    type: Literal["top_up"] = "top_up"
    amount: Positive


class Adjust(AccountCommand):
    """A correction by hand, up or down, with its reason. It never takes more than there is: that is a charge."""

    type: Literal["adjustment"] = "adjustment"
    amount: Annotated[Money, AfterValidator(_not_zero)]
    reason: Reason


class ReversePayment(AccountCommand):
    """A top-up bounced: what it brought is owed, by a debit note. Once for each top-up, within 92 days, all of it."""

    type: Literal["payment_reversed"] = "payment_reversed"
    top_up: Id = Field(description="the command id of the top-up")


class Charge(AccountCommand):
    """Something is owed beside the bills: a debit note with its reason, paid and in arrears like a bill."""

    type: Literal["charge"] = "charge"
    amount: Positive
    reason: Reason


class CreditLine(AccountCommand):
    """A credit note: a line of a bill or debit note came to too much.

    At most what the line came to, to the next full 0.01, and what is left of the document after credits and refunds;
    within 92 days of its payment. It lowers what is owed where the document is open, else it adds to the balance.
    """

    type: Literal["credit_note"] = "credit_note"
    bill_id: Id = Field(description="a bill or a debit note")
    line: LineNumber = Field(description="1: the first")
    amount: Positive
    reason: Reason


class Refund(AccountCommand):
    """Give back what was paid on a bill or debit note, by ticket; the same ticket again changes nothing."""

    type: Literal["refund"] = "refund"
    ticket: Id
    bill_id: Id
    amount: Positive


class LowBalance(AccountCommand):
    """Tell the customer when the balance falls below a threshold; null: no longer."""

    type: Literal["low_balance"] = "low_balance"
    threshold: Positive | None


def _regions(prices: dict[str, str]) -> dict[str, str]:
    for name in prices:
        if name not in ZONE_OF and name != EVERY_REGION:
            raise unknown_region(name)
    return prices


def unknown_region(name: str) -> PydanticCustomError:
    """The error of whatever names a region which is none, with the one that may be meant."""
    near = nearest_region(name)
    wrong = {"region": repr(name)[:128], "near": repr(near)}
    if near is None:
        return PydanticCustomError("unknown_region", "unknown region {region}", wrong)
    return PydanticCustomError("unknown_region", "unknown region {region}; did you mean {near}?", wrong)


Hours = Annotated[int, Field(ge=1, le=8784), BeforeValidator(_number)]


class AgreeContract(AccountCommand):
    """A contract from a billing day on; a mode only changes with a month. It replaces the account's last one.

    A contract that leaves the mode out leaves it as it is by then, and the arrears terms with it.
    """

    type: Literal["contract"] = "contract"
    effective_from: Day
    mode: Mode | None = Field(None, description="absent: as it is by then")
    prices: Annotated[dict[Said, Said], AfterValidator(_regions)] = Field(
        default_factory=dict, description="region code, price zone or * -> CNY per minute"
    )
    grace_hours: Hours | None = Field(
        None,
        description="monthly accounts: hours from a failed deduction to the stop; absent: never stopped, "
        "or as it is by then where the mode is left out",
    )


class WithdrawContract(AccountCommand):
    """A contract that has not begun is not to begin: what it would have replaced holds on."""

    type: Literal["withdraw_contract"] = "withdraw_contract"
    contract_id: Id = Field(description="the command id of the contract")


class WithdrawPriceBook(Command):
    """A price book that has not begun is not to begin. On every partition."""

    type: Literal["withdraw_price_book"] = "withdraw_price_book"
    version: Id


class Tick(Command):
    """Time passes on a meter with a simulated clock: the record's own time says how far. On every partition."""

    type: Literal["tick"] = "tick"


class Line(BaseModel):
    """One line of a bill. A late one names the day and the bill that it belongs to."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    region: str
    day: Day
    jobs: int
    minutes: int
    unit_price: Amount
    amount: Amount
    original_bill_id: str | None = None


class JournalRange(BaseModel):
    """Where in `meter.journal` the usage of a bill is: the first and the last step that priced some of it."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    partition: int
    first: int = Field(alias="from")
    last: int = Field(alias="to")


class Proof(BaseModel):
    """What a bill is recomputed from."""

    model_config = ConfigDict(frozen=True)

    journal: JournalRange
    cut: str
    prices_hash: str = Field(description="SHA-256 of [region, day, price version, unit price] of the lines, sorted")
    rules_version: int
    meter_version: str


class BillIssued(OutputRecord):
    """`billing.bills`: one for each account and period at most, never edited. Key: the account id."""

    bill_id: str
    account_id: str
    period: str
    mode: Mode
    lines: tuple[Line, ...]
    total: Amount
    payable: Amount
    rounding: Amount
    currency: Literal["CNY"] = "CNY"
    issued_at: str
    proof: Proof


class NoteIssued(OutputRecord):
    """`billing.notes`: what is owed, or no longer owed, beside the bills; never edited. Key: the account id.

    `charge` and `payment_reversed` are debit notes. `reference`: the top-up (command id) that was reversed, or the bill
    or debit note that is credited on `line`.
    """

    note_id: str
    account_id: str
    kind: NoteKind
    command_id: str
    day: Day
    amount: Amount
    currency: Literal["CNY"] = "CNY"
    issued_at: str
    reason: str | None = None
    reference: str | None = None
    line: int | None = None


class LedgerPosting(BaseModel):
    """One side of an entry; debit is positive."""

    model_config = ConfigDict(frozen=True)

    book: Book
    amount: Amount


class LedgerEntry(OutputRecord):
    """`billing.ledger`: double entry; the postings sum to zero. Key: the account id."""

    entry_id: str
    account_id: str
    at: str
    cause: Cause
    reference: str
    postings: tuple[LedgerPosting, ...]
    currency: Literal["CNY"] = "CNY"
    reason: str | None = None


class Notice(OutputRecord):
    """`billing.notices`: what a customer is to be told. Key: the account id."""

    notice_id: str
    account_id: str
    kind: Literal["arrears", "stopped", "restored", "low_balance"]
    at: str
    bill_id: str | None = None
    payable: Amount | None = None
    owed: Amount | None = None
    balance: Amount | None = None
    deadline: str | None = None
    currency: Literal["CNY"] | None = None


class AccountService(OutputRecord):
    """`account.service`: may this account start new jobs? None: yes. Key: the account id."""

    account_id: str
    state: Service
    may_start_jobs: bool
    since: str
    reason: str
