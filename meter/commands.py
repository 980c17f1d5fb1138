"""Commands of operators, each with an id: done or refused with a stable code, and the same answer when sent again.

They are records of `meter.commands`. What somebody types after `meter` is in `streams/cli/commands.py`.

A command is its id and its content. The first answer to an id uses it up, done or refused: the same content gets that
answer again, other content is refused as `id_reused`. Ids are remembered for the horizon by record time; a command
whose `issued_at` is older is refused, so that none can be done twice. Clocks may jump: whatever they say, an id is
remembered, or every command that can have had it was issued before an instant that the partition keeps, and is refused
for that. See `answers.Memory`.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from meter.account_changes import EntryName
from meter.answers import Answer
from meter.billing_models import (
    Adjust,
    AgreeContract,
    Charge,
    CreditLine,
    LowBalance,
    OpenAccount,
    Refund,
    ReversePayment,
    Tick,
    TopUp,
    WithdrawContract,
    WithdrawPriceBook,
)
from meter.command_content import digest_of, digest_of_bytes, digest_of_unread
from meter.command_target import CommandTarget, Times, entry_id, known, own, too_soon
from meter.contracts import Contract, Contracts, Mode, mode_on, terms_of
from meter.corrections import charge, credit_line, reverse_payment, withdraw_contract, withdraw_price_book
from meter.credits import credit, refund, top_up
from meter.durations import NumberLiteral
from meter.hints import hinted_number
from meter.intake import too_deep
from meter.keys import OnceEach, once_each
from meter.ledger import Book, Cause
from meter.models import CommandResult, PriceBookCommand, Source
from meter.money import EXACT, decimal_text
from meter.periods import instant_us
from meter.prices import accept_book, bad_prices
from meter.readable import readable_id
from meter.rejects import Code, Refusal
from meter.rules import Clock, Rules

#: Characters of a refusal's message: it may quote what came in, and must not grow with it.
MAX_MESSAGE_CHARS = 400
#: No number of a command is longer.
MAX_NUMBER_CHARS = 64


class Reading(NamedTuple):
    """A command's record as far as it can be read: its id and content, and what it asks for or why that is refused."""

    command_id: str | None
    account_id: str | None
    digest: str
    kind: str | None = None
    command: Any = None
    refusal: Refusal | None = None


def read_command(value: bytes | None) -> Reading:
    """Read a command. Whatever is wrong with it is in the answer."""
    value = value or b""
    try:
        text = value.decode()
        if too_deep(text):
            raise ValueError
        document, keys = once_each(text)
    except ValueError:
        document = None
    fields = document if isinstance(document, dict) else {}
    if document is fields and keys.repeated is not None:
        return _ambiguous(value, fields, keys)
    command_id, account_id = readable_id(fields.get("command_id")), readable_id(fields.get("account_id"))
    kind = _text(fields.get("type"))
    if command_id is None or kind is None:
        refusal = Refusal("bad_fields", "not a JSON object with command_id, of 1 to 128 characters, and type")
        return Reading(None, account_id, digest_of_bytes(value), kind, refusal=refusal)
    command = _command(kind, fields)
    if isinstance(command, Refusal):
        return Reading(command_id, account_id, digest_of_unread(fields), kind, refusal=command)
    return Reading(command_id, account_id, digest_of(command), kind, command)


def _command(kind: str, fields: Mapping[str, Any]) -> BaseModel | Refusal:
    if kind not in HANDLERS:
        return Refusal("unknown_command", f"there is no command {kind[:128]!r}")
    try:
        return HANDLERS[kind].model.model_validate({name: _exact(field) for name, field in fields.items()})
    except ValidationError as error:
        return _what_is_wrong(error)


def _text(value: Any) -> str | None:
    """A string that can be said in UTF-8."""
    return value if isinstance(value, str) and value.encode(errors="replace").decode() == value else None


def _exact(value: Any) -> Any:
    """A number by its exact value, whole where it is; all else, and one of a size that nothing has, as it is."""
    if not isinstance(value, NumberLiteral) or len(value.text) > MAX_NUMBER_CHARS:
        return value
    exact = hinted_number(value.text)
    if exact is None:
        return value
    return int(exact) if exact == exact.to_integral_value() else exact


def command_digest(value: bytes | None) -> str:
    """The digest of a command's content: records of one id with the same digest are the same command."""
    return read_command(value).digest


def _ambiguous(value: bytes, clear: Mapping[str, Any], keys: OnceEach) -> Reading:
    """A command in which a key stands twice: nobody can say what it asks for, and it is the same as no other."""
    ids = readable_id(clear.get("command_id")), readable_id(clear.get("account_id"))
    refusal = Refusal(Code.DUPLICATE_KEY.value, keys.reason)
    return Reading(*ids, digest_of_bytes(value), _text(clear.get("type")), refusal=refusal)


def apply_command(read: Reading, target: CommandTarget, times: Times) -> Answer:
    """Do a command, or say why not."""
    refusal = read.refusal or _untimely(read.command, times, target.rules) or _do(read.command, target, times)
    if refusal is not None:
        return _refused(refusal, times.record, read)
    return Answer(None, None, times.record, read.account_id, read.digest)


def _do(command: Any, target: CommandTarget, times: Times) -> Refusal | None:
    """Do a command of an account that is where it must be. None: done."""
    handler = HANDLERS[command.type]
    lost = None if handler.account is None else handler.account(command, target, times)
    return lost or handler.do(command, target, times)


def id_reused(read: Reading, known: Answer, record_time: int, text: Callable[[int], str]) -> Answer:
    """The answer to a command whose id was used for another one, which has been answered."""
    whose = "" if known.account_id is None else f" of account {known.account_id!r}"
    message = f"the id was used for another command{whose} at {text(known.record_time)}: take a new one"
    return _refused(Refusal("id_reused", message), record_time, read)


def _refused(refusal: Refusal, record_time: int, read: Reading) -> Answer:
    return Answer(refusal.code, refusal.message[:MAX_MESSAGE_CHARS], record_time, read.account_id, read.digest)


def _what_is_wrong(error: ValidationError) -> Refusal:
    detail = error.errors(include_url=False)[0]
    code = detail["type"] if detail["type"] in {"bad_amount", "unknown_region"} else "bad_fields"
    where = ".".join(str(part) for part in detail["loc"])
    message = f"{where}: {detail['msg'].removeprefix('Value error, ')}"
    said = message.encode(errors="backslashreplace").decode()  # a name in it may be half a character
    return Refusal(code, said)


def _untimely(command: Any, times: Times, rules: Rules) -> Refusal | None:
    issued = instant_us(command.issued_at)
    assert issued is not None  # the model has read it
    issued_ms = issued // 1000
    if times.record - issued_ms > rules.horizon_ms:
        return Refusal("too_old", f"issued_at: {command.issued_at} is more than {rules.horizon_days} days ago")
    if issued_ms < times.forgotten + rules.future_tolerance_ms:
        return Refusal("too_old", f"issued_at: ids of {command.issued_at} and before are no longer remembered")
    if issued_ms - times.record > rules.future_tolerance_ms:
        return Refusal("in_future", f"issued_at: {command.issued_at} is after the record time")
    return None


def clock_ahead(read: Reading, record_time: int) -> Answer:
    """The answer to a command that a broker stamped whose clock was ahead: not done, and its id stays free."""
    message = "the broker's clock was ahead when it took the command: send the same command again, under its id"
    return _refused(Refusal("clock_ahead", message), record_time, read)


# -- one function for each command ------------------------------------------------------------------------------


def _publish_book(command: PriceBookCommand, target: CommandTarget, times: Times) -> Refusal | None:
    book = accept_book(command, target.terms.books, times.record, target.rules, target.metered_day(None))
    if isinstance(book, Refusal):
        return book
    target.terms.publish(book)
    return None


def _open_account(command: OpenAccount, target: CommandTarget, times: Times) -> Refusal | None:
    if target.accounts.find(command.account_id) is not None:
        return Refusal("account_exists", f"there is an account {command.account_id!r} already")
    target.accounts.opened(command.account_id, times.effective)
    return None


def _top_up(command: TopUp, target: CommandTarget, times: Times) -> Refusal | None:
    if target.accounts.payment(command.account_id, command.command_id, times.effective) is not None:
        return Refusal("id_reused", f"{command.command_id!r} is a top-up of the last 92 days already")
    entry = EntryName(entry_id(command, times), command.command_id)
    top_up(target.accounts, command.account_id, command.command_id, command.amount, times.effective, entry)
    return None


def _adjust(command: Adjust, target: CommandTarget, times: Times) -> Refusal | None:
    account = target.accounts.find(command.account_id)
    if account is not None and EXACT.add(account.cash, command.amount) < 0:
        balance = decimal_text(account.cash)
        return Refusal("over_balance", f"the balance is {balance} CNY: a charge is what can be owed")
    entry = EntryName(entry_id(command, times), command.command_id, command.reason)
    at_ms = times.effective
    credit(target.accounts, command.account_id, command.amount, at_ms, Book.ADJUSTMENTS, Cause.ADJUSTMENT, entry)
    return None


def _refund(command: Refund, target: CommandTarget, times: Times) -> Refusal | None:
    before = target.accounts.ticket(command.account_id, command.ticket)
    if before is not None:
        if before == (command.bill_id, command.amount):
            return None
        refunded = f"{decimal_text(before[1])} CNY of bill {before[0]}"
        return Refusal("ticket_conflict", f"ticket {command.ticket!r} refunded {refunded}")
    paid = target.accounts.document(command.account_id, command.bill_id, times.effective)
    if paid is None or paid.paid_ms is None:
        return Refusal("not_paid", f"nothing that can be refunded was paid on bill {command.bill_id!r}")
    if command.amount > paid.left:
        return Refusal("over_paid", f"of bill {command.bill_id} {decimal_text(paid.left)} CNY can be refunded")
    refund(target.accounts, command.account_id, command.bill_id, command.ticket, command.amount, times.effective)
    return None


def _low_balance(command: LowBalance, target: CommandTarget, times: Times) -> Refusal | None:
    target.accounts.warn_below(command.account_id, command.threshold)
    return None


def _agree(command: AgreeContract, target: CommandTarget, times: Times) -> Refusal | None:
    agreed = target.terms.contracts_of(command.account_id)
    early = too_soon(command.effective_from, command, target, times)
    refusal = early or _follows_none(command, agreed) or _wrong_terms(command, agreed) or bad_prices(command.prices)
    if refusal is not None:
        return refusal
    mode, grace_hours = terms_of(command.mode, command.grace_hours, agreed, command.effective_from)
    prices = tuple((name, Decimal(price)) for name, price in sorted(command.prices.items()))
    target.accounts.opened(command.account_id, times.effective)
    contract = Contract(command.command_id, command.effective_from, mode, prices, grace_hours)
    target.terms.agree(command.account_id, contract)
    return None


def _follows_none(command: AgreeContract, agreed: Contracts) -> Refusal | None:
    """Why it is not the next contract of an account."""
    if agreed and agreed[-1].effective_from >= command.effective_from:
        last = agreed[-1]
        return Refusal("overlapping", f"contract {last.contract_id!r} is from {last.effective_from} on already")
    if any(contract.contract_id == command.command_id for contract in agreed):
        return Refusal("id_reused", f"{command.command_id!r} is a contract of the account already")
    return None


def _wrong_terms(command: AgreeContract, agreed: Contracts) -> Refusal | None:
    """Why its mode and grace cannot begin on its day."""
    mode, grace_hours = terms_of(command.mode, command.grace_hours, agreed, command.effective_from)
    if mode is not mode_on(agreed, command.effective_from) and not command.effective_from.endswith("-01"):
        return Refusal("mode_mid_month", f"a mode changes with a month, not on {command.effective_from}")
    if grace_hours is not None and mode is Mode.DAILY:
        return Refusal("bad_fields", "grace_hours: a daily account has 24 hours; they are agreed for monthly ones")
    return None


def _tick(_: Tick, target: CommandTarget, __: Times) -> Refusal | None:
    if target.rules.clock is not Clock.SIMULATED:
        return Refusal("not_simulated", "this meter's clock is the broker's: it cannot be moved")
    return None


class CommandHandler(NamedTuple):
    """What a command of a kind says, what must be true of its account, where it has one, and how it is done.

    The last two return why it is not done; None: all is well.
    """

    model: type[BaseModel]
    account: Callable[[Any, CommandTarget, Times], Refusal | None] | None
    do: Callable[[Any, CommandTarget, Times], Refusal | None]


HANDLERS: dict[str, CommandHandler] = {
    "price_book": CommandHandler(PriceBookCommand, None, _publish_book),
    "open_account": CommandHandler(OpenAccount, own, _open_account),
    "top_up": CommandHandler(TopUp, known, _top_up),
    "adjustment": CommandHandler(Adjust, known, _adjust),
    "refund": CommandHandler(Refund, known, _refund),
    "payment_reversed": CommandHandler(ReversePayment, known, reverse_payment),
    "charge": CommandHandler(Charge, known, charge),
    "credit_note": CommandHandler(CreditLine, known, credit_line),
    "low_balance": CommandHandler(LowBalance, known, _low_balance),
    "contract": CommandHandler(AgreeContract, own, _agree),
    "withdraw_contract": CommandHandler(WithdrawContract, own, withdraw_contract),
    "withdraw_price_book": CommandHandler(WithdrawPriceBook, None, withdraw_price_book),
    "tick": CommandHandler(Tick, None, _tick),
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
