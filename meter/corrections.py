"""Commands that put right what cannot be edited: payments that bounced, charges, credits, what is not to begin.

Each leaves a document of its own (`meter.notes`) or takes away what does not hold yet; bills stay as they were issued.
"""

from decimal import Decimal
from typing import Any

from meter.billing_models import Charge, CreditLine, ReversePayment, WithdrawContract, WithdrawPriceBook
from meter.command_target import CommandTarget, Times, entry_id, too_soon, too_soon_for_all
from meter.contracts import Contracts, Mode, contract_on
from meter.credits import credit_a_line
from meter.debts import debit, reverse_top_up
from meter.ledger import Book, Cause
from meter.money import creditable, decimal_text
from meter.notes import Note, NoteKind, note_id_of
from meter.rejects import Refusal

#: Bills and debit notes that an account owes, where more may be charged: all of them are one record of the state.
MAX_OPEN = 10_000


def charge(command: Charge, target: CommandTarget, times: Times) -> Refusal | None:
    """A debit note with its reason."""
    account = target.accounts.find(command.account_id)
    if account is not None and len(account.open_bills) >= MAX_OPEN:
        return Refusal("too_many_open", f"{MAX_OPEN} bills and debit notes are not paid")
    note = _note(command, NoteKind.CHARGE, command.amount, target, times)._replace(reason=command.reason)
    terms = contract_on(target.terms.contracts_of(command.account_id), note.day)
    debit(target.accounts, command.account_id, note, Book.CHARGES, Cause.CHARGE, times.effective, terms)
    return None


def reverse_payment(command: ReversePayment, target: CommandTarget, times: Times) -> Refusal | None:
    """A debit note of all that a top-up had brought."""
    payment = target.accounts.payment(command.account_id, command.top_up, times.effective)
    if payment is None:
        return Refusal("unknown_payment", f"there is no top-up {command.top_up!r} of the last 92 days")
    if payment.reversed:
        return Refusal("already_reversed", f"top-up {command.top_up!r} was reversed before")
    note = _note(command, NoteKind.PAYMENT_REVERSED, payment.amount, target, times)._replace(reference=command.top_up)
    terms = contract_on(target.terms.contracts_of(command.account_id), note.day)
    reverse_top_up(target.accounts, command.account_id, note, times.effective, terms)
    return None


def credit_line(command: CreditLine, target: CommandTarget, times: Times) -> Refusal | None:
    """A credit note on a line of a bill or debit note."""
    bill_id, number = command.bill_id, command.line
    document = target.accounts.document(command.account_id, bill_id, times.effective)
    if document is None:
        return Refusal("unknown_bill", f"there is no bill or debit note {bill_id!r} that can be credited")
    if number > len(document.lines):
        return Refusal("no_such_line", f"bill {bill_id} has {len(document.lines)} lines, there is no line {number}")
    if command.amount > (left := min(creditable(document.lines[number - 1]), document.left)):
        return Refusal("over_credited", f"of line {number} of bill {bill_id} {decimal_text(left)} CNY can be credited")
    note = _note(command, NoteKind.CREDIT_NOTE, command.amount, target, times)
    note = note._replace(reason=command.reason, reference=bill_id, line=number)
    credit_a_line(target.accounts, command.account_id, note, times.effective)
    return None


def _note(command: Any, kind: NoteKind, amount: Decimal, target: CommandTarget, times: Times) -> Note:
    day = target.days.day_of(times.effective * 1000)
    note_id = note_id_of(kind, command.account_id, day, entry_id(command, times))
    return Note(note_id, kind, command.command_id, day, amount)


def withdraw_contract(command: WithdrawContract, target: CommandTarget, times: Times) -> Refusal | None:
    """A contract that has not begun is not to begin."""
    agreed = target.terms.contracts_of(command.account_id)
    number = next((n for n, contract in enumerate(agreed) if contract.contract_id == command.contract_id), None)
    if number is None:
        return Refusal("unknown_contract", f"the account has no contract {command.contract_id!r}")
    early = too_soon(agreed[number].effective_from, command, target, times)
    refusal = early or _wrong_modes((*agreed[:number], *agreed[number + 1 :]))
    if refusal is not None:
        return refusal
    target.terms.withdraw_contract(command.account_id, number)
    return None


def _wrong_modes(contracts: Contracts) -> Refusal | None:
    """What was agreed for later was agreed after it: without it, a mode must still change with a month."""
    mode = Mode.DAILY
    for contract in contracts:
        if contract.mode is not mode and not contract.effective_from.endswith("-01"):
            return Refusal(
                "mode_mid_month",
                f"without it contract {contract.contract_id!r} would change the mode on {contract.effective_from}: "
                "withdraw that first",
            )
        mode = contract.mode
    return None


def withdraw_price_book(command: WithdrawPriceBook, target: CommandTarget, times: Times) -> Refusal | None:
    """A price book that has not begun is not to begin. Its version may be published again."""
    book = target.terms.books.find(command.version)
    if book is None or book.effective_from is None:
        return Refusal("unknown_version", f"no price book {command.version!r} was published")
    early = too_soon_for_all(book.effective_from, command, target, times)
    if early is not None:
        return early
    target.terms.withdraw_book(command.version)
    return None
