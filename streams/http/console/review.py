"""What a command would do, before it is given: the meter's own rules, on an account as the read model has it.

Nothing here is decided: the command is judged again, on its partition, once it is given. So a review may be wrong where
the read model is behind, and never does any harm.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from meter.account_changes import AccountChanges
from meter.accounts import Account, Accounts, Document, OpenBill, Payment, grace_hours_of
from meter.agenda import Agenda
from meter.arrears import Service
from meter.command_target import CommandTarget, Times
from meter.commands import apply_command, read_command
from meter.contracts import Contracts, contract_on
from meter.money import EXACT, ZERO
from meter.outputs import Outputs
from meter.periods import milliseconds
from meter.routing import owner
from meter.terms import NewTerms, Terms
from streams.commands.writing import Command, digest_of, written
from streams.http.console.views import Scene, account_contracts
from streams.store.queries import accounts, bills, commands, money
from streams.store.schema import bill_standing, daily_total, ledger_entry, note


class AccountMoney(NamedTuple):
    """An account's money and service. `deadline`: when the service stops unless it is paid."""

    balance: Decimal
    owed: Decimal
    open_bills: int
    state: Service
    deadline: datetime | None


class Review(NamedTuple):
    """What a command would do. `refused`: the code of what the meter would say against it.

    `before`, `after`: None where it is about no account's money. `done_at`: when the same command was done already.
    """

    refused: str | None
    before: AccountMoney | None
    after: AccountMoney | None
    done_at: datetime | None

    @property
    def changes(self) -> bool:
        """Whether an account's money or service would be another."""
        return self.before != self.after


def review(connection: Connection, here: Scene, command: Command) -> Review:
    """A command as it would be judged now."""
    known = commands.command_by_id(connection, command["command_id"])
    told = [each for each in known if each.status is not None and each.code != "id_reused"]
    if told:
        same = told[0].digest == digest_of(command)
        code = told[0].code if same else "key_reused"
        return Review(code, None, None, told[0].recorded_at if code is None else None)
    target = _target(connection, here, command)
    account_id: str | None = command.get("account_id")
    before = _money(target.accounts, account_id)
    at_ms = milliseconds(here.now)
    answer = apply_command(read_command(written(command)), target, Times(at_ms, at_ms, 0))
    return Review(answer.code, before, _money(target.accounts, account_id), None)


def _target(connection: Connection, here: Scene, command: Command) -> CommandTarget:
    """What a command works on: of its account, and of the documents that it names."""
    account_id: str | None = command.get("account_id")
    known, contracts = Accounts(Agenda()), dict[str, Contracts]()
    if account_id:
        contracts[account_id] = account_contracts(connection, account_id, here.rules)
        _know(known, connection, here, command, contracts[account_id])

    def metered_day(account_id: str | None) -> str:
        latest = select(func.max(daily_total.c.day, type_=daily_total.c.day.type))
        if account_id is not None:
            latest = latest.where(daily_total.c.account_id == account_id)
        return connection.execute(latest).scalar() or ""

    terms = Terms(commands.books_of(commands.price_books(connection, here.rules)), contracts)
    partition = owner(account_id, here.rules.partitions) if account_id else 0
    changes = AccountChanges(known, Outputs(), here.days.text)
    return CommandTarget(here.rules, partition, here.days, NewTerms(terms), changes, metered_day)


def _know(known: Accounts, connection: Connection, here: Scene, command: Command, contracts: Contracts) -> None:
    """Put in a command's account, and the bill, the top-up and the ticket that it names."""
    account_id: str = command["account_id"]
    due = accounts.open_bills(connection, account_id)
    if (account := _account(connection, here, account_id, contracts, due)) is not None:
        known.put(account_id, account)
    for bill in due:
        known.put_document(account_id, bill.bill_id, Document(bill.payable, (bill.payable,)))
    for bill_id, document in _document(connection, account_id, command.get("bill_id")).items():
        known.put_document(account_id, bill_id, document)
    for top_up, payment in _payment(connection, account_id, command.get("top_up")).items():
        known.put_payment(account_id, top_up, payment)
    for (_, ticket), (bill_id, amount) in _ticket(connection, account_id, command.get("ticket")).items():
        known.put_ticket(account_id, ticket, bill_id, amount)


def _account(
    connection: Connection,
    here: Scene,
    account_id: str,
    contracts: Contracts,
    due: Sequence[accounts.StoredOpenBill],
) -> Account | None:
    found = accounts.account_by_id(connection, account_id)
    if found is None:
        return None
    grace = grace_hours_of(contract_on(contracts, here.today))
    return Account(
        milliseconds(found.seen_at),
        found.balance,
        tuple(OpenBill(each.bill_id, each.payable, grace) for each in due),
        found.state,
        milliseconds(found.in_state_since),
        None if found.deadline is None else milliseconds(found.deadline),
        commands.low_balance(connection, account_id, here.rules),
        lenient=ZERO if grace is not None else found.unpaid,
    )


def _money(changes: AccountChanges, account_id: str | None) -> AccountMoney | None:
    """The account's money as it is now, or after the command."""
    account = changes.find(account_id) if account_id else None
    if account is None:
        return None
    deadline = None if account.deadline_ms is None else datetime.fromtimestamp(account.deadline_ms / 1000, UTC)
    deadline = deadline if account.service is Service.IN_ARREARS else None
    return AccountMoney(account.cash, max(account.owed, ZERO), len(account.open_bills), account.service, deadline)


def _document(connection: Connection, account_id: str, bill_id: str | None) -> dict[str, Document]:
    """The bill or debit note that a command names, with what is left of its lines."""
    if bill_id is None:
        return {}
    table = bill_standing.c
    mine = select(bill_standing).where(table.bill_id == bill_id, table.account_id == account_id)
    row = connection.execute(mine).first()
    if row is None:
        return {}
    whole = bills.bill_by_id(connection, bill_id)
    lines = [line.amount for line in whole.lines] if whole else [row.payable]
    for each in money.notes_on(connection, bill_id):
        number = (each.line or 1) - 1
        lines[number] = max(EXACT.subtract(lines[number], each.amount), ZERO)
    paid_ms = None if row.paid_at is None else milliseconds(row.paid_at)
    return {bill_id: Document(row.payable, tuple(lines), paid_ms, row.credited or ZERO, row.refunded)}


def _payment(connection: Connection, account_id: str, top_up: str | None) -> dict[str, Payment]:
    """The top-up that a command names."""
    if top_up is None:
        return {}
    entries = [each for each in money.entries_about(connection, top_up) if each.account_id == account_id]
    paid = next((each for each in reversed(entries) if each.cause == "top_up"), None)
    if paid is None:
        return {}
    gone = select(note.c.note_id).where(note.c.reference == top_up, note.c.kind == "payment_reversed")
    reversed_ = connection.execute(gone.where(note.c.account_id == account_id)).first() is not None
    return {top_up: Payment(paid.change, milliseconds(paid.at), reversed_)}


def _ticket(connection: Connection, account_id: str, ticket: str | None) -> dict[tuple[str, str], tuple[str, Decimal]]:
    """What a refund's ticket gave back already."""
    if ticket is None:
        return {}
    table = ledger_entry.c
    made = select(table.reference, table.change).where(
        table.account_id == account_id, table.cause == "refund", table.reason == f"ticket {ticket}"
    )
    row = connection.execute(made).first()
    return {} if row is None else {(account_id, ticket): (row.reference, row.change)}
