"""Commands of operators, each with an id: done or refused with a stable code, and the same answer when sent again.

A command is its id and its content. The first answer to an id uses it up, done or refused: the same content gets that
answer again, other content is refused as `id_reused`. Ids are remembered for the horizon by record time; a command
whose `issued_at` is older is refused, so that none can be done twice.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

import msgspec
from pydantic import BaseModel, ValidationError

from meter.accounts import Entry, Till
from meter.billing_models import Adjust, AgreeContract, LowBalance, OpenAccount, Refund, Tick, TopUp
from meter.command_content import digest_of, digest_of_bytes, digest_of_unread
from meter.contracts import Contract, Contracts, Mode, mode_on
from meter.intake import too_deep
from meter.ledger import Book, Cause
from meter.models import CommandResult, PriceBookCommand, Source
from meter.money import EXACT
from meter.periods import instant_us
from meter.prices import PriceBook, PriceBooks, PriceRefusal, accept_book, bad_price, start_ms
from meter.routing import owner
from meter.rules import Clock, Rules

#: Characters of a refusal's message: it may quote what came in, and must not grow with it.
MAX_MESSAGE_CHARS = 400


class Answer(NamedTuple):
    """What became of a command: `code` and `message` only when it was refused; record time in ms."""

    code: str | None
    message: str | None
    record_time: int
    account_id: str | None = None
    digest: str | None = None  # of the command's content


class Times(NamedTuple):
    """The times that decide about a command, in ms; apart only where a clock jumped or inputs lag."""

    record: int
    effective: int  # the record time, or the last settlement where that is later
    latest: int  # the record time, or that of the steps before where it is later


class Desk(Protocol):
    """What a command works on: a step, with the changes of the records before it."""

    books: PriceBooks
    till: Till

    @property
    def rules(self) -> Rules: ...
    @property
    def partition(self) -> int: ...
    def contracts_of(self, account_id: str) -> Contracts: ...
    def agree(self, account_id: str, contract: Contract) -> None: ...
    def publish(self, book: PriceBook) -> None: ...


class _Envelope(msgspec.Struct):
    command_id: str
    type: str
    account_id: Any = None


class _RefusedError(Exception):
    """A command that is not done: a stable code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Reading(NamedTuple):
    """A command's record as far as it can be read: its id and content, and what it asks for or why that is refused."""

    command_id: str | None
    account_id: str | None
    digest: str
    command: Any = None
    refusal: tuple[str, str] | None = None  # code and message


def read_command(value: bytes | None) -> Reading:
    """Read a command. Whatever is wrong with it is in the answer."""
    envelope = _envelope(value)
    if value is None or envelope is None:
        refusal = "bad_fields", "not a JSON object with command_id and type"
        return Reading(None, None, digest_of_bytes(value or b""), refusal=refusal)
    command_id = envelope.command_id if 1 <= len(envelope.command_id) <= 128 else None
    account_id = envelope.account_id
    if not isinstance(account_id, str) or len(account_id) > 128:
        account_id = None
    try:
        command = _handler(envelope.type)[0].model_validate_json(value)
    except (ValidationError, _RefusedError) as error:
        what = _what_is_wrong(error) if isinstance(error, ValidationError) else (error.code, error.message)
        return Reading(command_id, account_id, digest_of_unread(value), refusal=what)
    return Reading(command_id, account_id, digest_of(command), command)


def command_digest(value: bytes | None) -> str:
    """The digest of a command's content: records of one id with the same digest are the same command."""
    return read_command(value).digest


def _envelope(value: bytes | None) -> _Envelope | None:
    try:
        text = (value or b"").decode()
        return None if too_deep(text) else msgspec.json.decode(text, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeError):
        return None


def apply_command(read: Reading, desk: Desk, times: Times) -> Answer:
    """Do a command, or say why not."""
    if read.refusal is not None:
        return _refused(*read.refusal, times.record, read)
    try:
        _check_issued(read.command, times, desk.rules)
        HANDLERS[read.command.type][1](read.command, desk, times)
    except _RefusedError as refused:
        return _refused(refused.code, refused.message, times.record, read)
    return Answer(None, None, times.record, read.account_id, read.digest)


def id_reused(read: Reading, known: Answer, record_time: int, text: Callable[[int], str]) -> Answer:
    """The answer to a command whose id was used for another one, which has been answered."""
    whose = "" if known.account_id is None else f" of account {known.account_id!r}"
    message = f"the id was used for another command{whose} at {text(known.record_time)}: take a new one"
    return _refused("id_reused", message, record_time, read)


def _refused(code: str, message: str, record_time: int, read: Reading) -> Answer:
    return Answer(code, message[:MAX_MESSAGE_CHARS], record_time, read.account_id, read.digest)


def _what_is_wrong(error: ValidationError) -> tuple[str, str]:
    detail = error.errors(include_url=False)[0]
    code = detail["type"] if detail["type"] in {"bad_amount", "unknown_region"} else "bad_fields"
    where = ".".join(str(part) for part in detail["loc"])
    return code, f"{where}: {detail['msg'].removeprefix('Value error, ')}"


def _handler(kind: str) -> tuple[type[BaseModel], Callable[[Any, Desk, Times], None]]:
    try:
        return HANDLERS[kind]
    except KeyError:
        raise _RefusedError("unknown_command", f"there is no command {kind[:128]!r}") from None


def _check_issued(command: Any, times: Times, rules: Rules) -> None:
    issued = instant_us(command.issued_at)
    assert issued is not None  # the model has read it
    issued_ms = issued // 1000
    if times.latest - issued_ms > rules.horizon_ms:
        raise _RefusedError("too_old", f"issued_at: {command.issued_at} is more than {rules.horizon_days} days ago")
    if issued_ms - times.record > rules.future_tolerance_ms:
        raise _RefusedError("in_future", f"issued_at: {command.issued_at} is after the record time")


def forgettable(answer: Answer, latest_ms: int, rules: Rules) -> bool:
    """Whether a command's id need not be remembered: sent again it would be refused as too old."""
    return latest_ms - answer.record_time > rules.horizon_ms + rules.future_tolerance_ms


# -- one function for each command ------------------------------------------------------------------------------


def _publish_book(command: PriceBookCommand, desk: Desk, times: Times) -> None:
    book = accept_book(command, desk.books, times.record, desk.rules)
    if isinstance(book, PriceRefusal):
        raise _RefusedError(book.code, book.message)
    desk.publish(book)


def _own(command: Any, desk: Desk, times: Times) -> None:
    """The account must be this partition's. A deadline that has passed meanwhile comes first."""
    home = owner(command.account_id, desk.rules.partitions)
    if home != desk.partition:
        raise _RefusedError("wrong_partition", f"account {command.account_id!r} belongs to partition {home}")
    desk.till.expire(command.account_id, times.effective)


def _known(command: Any, desk: Desk, times: Times) -> None:
    _own(command, desk, times)
    if desk.till.find(command.account_id) is None:
        raise _RefusedError("unknown_account", f"there is no account {command.account_id!r}: open it first")


def _open_account(command: OpenAccount, desk: Desk, times: Times) -> None:
    _own(command, desk, times)
    if desk.till.find(command.account_id) is not None:
        raise _RefusedError("account_exists", f"there is an account {command.account_id!r} already")
    desk.till.opened(command.account_id, times.effective)


def _entry_id(command: Any, times: Times) -> str:
    """With the record time: a command's id may come again, for another command, when it is no longer remembered."""
    return f"command:{command.command_id}:{times.record}"


def _top_up(command: TopUp, desk: Desk, times: Times) -> None:
    _known(command, desk, times)
    entry = Entry(_entry_id(command, times), command.command_id)
    desk.till.credit(command.account_id, command.amount, times.effective, Book.CASH, Cause.TOP_UP, entry)


def _adjust(command: Adjust, desk: Desk, times: Times) -> None:
    _known(command, desk, times)
    account = desk.till.find(command.account_id)
    if account is not None and EXACT.add(account.cash, command.amount) < 0:
        raise _RefusedError("over_balance", f"the balance is {account.cash} CNY: less cannot be taken from it")
    entry = Entry(_entry_id(command, times), command.command_id, command.reason)
    desk.till.credit(command.account_id, command.amount, times.effective, Book.ADJUSTMENTS, Cause.ADJUSTMENT, entry)


def _refund(command: Refund, desk: Desk, times: Times) -> None:
    _known(command, desk, times)
    before = desk.till.ticket(command.account_id, command.ticket)
    if before is not None:
        if before == (command.bill_id, command.amount):
            return
        raise _RefusedError(
            "ticket_conflict", f"ticket {command.ticket!r} refunded {before[1]} CNY of bill {before[0]}"
        )
    paid = desk.till.paid_bill(command.account_id, command.bill_id)
    if paid is None:
        raise _RefusedError("not_paid", f"nothing that can be refunded was paid on bill {command.bill_id!r}")
    if command.amount > (left := EXACT.subtract(paid.payable, paid.refunded)):
        raise _RefusedError("over_paid", f"of bill {command.bill_id} {left} CNY can be refunded")
    desk.till.refund(command.account_id, command.bill_id, command.ticket, command.amount, times.effective)


def _low_balance(command: LowBalance, desk: Desk, times: Times) -> None:
    _known(command, desk, times)
    desk.till.warn_below(command.account_id, command.threshold)


def _agree(command: AgreeContract, desk: Desk, times: Times) -> None:
    _own(command, desk, times)
    rules, known = desk.rules, desk.contracts_of(command.account_id)
    start = start_ms(command.effective_from, rules)
    if start is None:
        raise _RefusedError("bad_fields", f"effective_from: there is no day {command.effective_from}")
    if start - times.effective < rules.price_notice_s * 1000:
        raise _RefusedError("effective_in_past", f"{command.effective_from} begins less than an hour after the command")
    if start <= times.latest + rules.future_tolerance_ms:
        raise _RefusedError("effective_in_past", f"jobs of {command.effective_from} may have been metered already")
    if known and known[-1].effective_from >= command.effective_from:
        raise _RefusedError("overlapping", f"there is a contract from {known[-1].effective_from} on already")
    _check_mode(command, known)
    prices = _prices(command.prices)
    desk.till.opened(command.account_id, times.effective)
    contract = Contract(command.command_id, command.effective_from, command.mode, prices, command.grace_hours)
    desk.agree(command.account_id, contract)


def _check_mode(command: AgreeContract, known: Contracts) -> None:
    first_of_month = command.effective_from.endswith("-01")
    if command.mode is not mode_on(known, command.effective_from) and not first_of_month:
        raise _RefusedError("mode_mid_month", f"a mode changes with a month, not on {command.effective_from}")
    if command.grace_hours is not None and command.mode is Mode.DAILY:
        raise _RefusedError("bad_fields", "grace_hours: a daily account has 24 hours; they are agreed for monthly ones")


def _prices(prices: Mapping[str, str]) -> tuple[tuple[str, Decimal], ...]:
    for name, price in prices.items():
        if (bad := bad_price(name, price)) is not None:
            raise _RefusedError(bad.code, bad.message)
    return tuple((name, Decimal(price)) for name, price in sorted(prices.items()))


def _tick(_: Tick, desk: Desk, __: Times) -> None:
    if desk.rules.clock is not Clock.SIMULATED:
        raise _RefusedError("not_simulated", "this meter's clock is the broker's: it cannot be moved")


HANDLERS: dict[str, tuple[type[BaseModel], Callable[[Any, Desk, Times], None]]] = {
    "price_book": (PriceBookCommand, _publish_book),
    "open_account": (OpenAccount, _open_account),
    "top_up": (TopUp, _top_up),
    "adjustment": (Adjust, _adjust),
    "refund": (Refund, _refund),
    "low_balance": (LowBalance, _low_balance),
    "contract": (AgreeContract, _agree),
    "tick": (Tick, _tick),
}


def result_value(command_id: str, partition: int, answer: Answer, source: Source) -> bytes:
    """`meter.command-results`: the answer of one partition."""
    return CommandResult(
        command_id=command_id,
        account_id=answer.account_id,
        partition=partition,
        status="done" if answer.code is None else "refused",
        code=answer.code,
        message=answer.message,
        digest=answer.digest,
        source=source,
    ).canonical()
