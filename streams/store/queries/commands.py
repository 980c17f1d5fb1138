"""Commands and their answers; the price books and contracts that they made, in force and with history."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Select, select

from meter.contracts import Contract, Mode, contract_on, terms_of
from meter.prices import BUILT_IN, PriceBook, PriceBooks
from meter.regions import ZONES
from meter.rules import Rules
from streams.store.queries.pages import RowPage, page
from streams.store.schema import command, command_result


class StoredCommand(NamedTuple):
    """A command as it came, with its answer; `status` None: there is none yet. `value`: its JSON."""

    partition: int
    position: int
    command_id: str | None
    type: str | None
    account_id: str | None
    issued_at: str | None
    recorded_at: datetime
    value: str
    status: str | None
    code: str | None
    message: str | None
    digest: str | None  # of its content, as the answer says


class PublishedBook(NamedTuple):
    """A price book; `published_at` and `command_id` None: the built-in one."""

    book: PriceBook
    command_id: str | None
    published_at: datetime | None


class AgreedContract(NamedTuple):
    """A contract of an account, and when the command that made it was recorded."""

    account_id: str
    contract: Contract
    agreed_at: datetime


def _answered() -> Select[Any]:
    joined = command.outerjoin(
        command_result,
        (command_result.c.partition == command.c.partition) & (command_result.c.command_position == command.c.position),
    )
    answer = command_result.c
    return select(*command.c, answer.status, answer.code, answer.message, answer.digest).select_from(joined)


def commands(
    connection: Connection, account_id: str, *, after: str | None = None, limit: int = 50
) -> RowPage[StoredCommand]:
    """The commands about an account, the latest first."""
    query = _answered().where(command.c.account_id == account_id)
    order = (command.c.position,)
    return page(connection, query, order, StoredCommand._make, after=after, limit=limit, descending=True)


def command_by_id(connection: Connection, command_id: str) -> list[StoredCommand]:
    """All records of a command: one on each partition that it was sent to, and one for each time it was sent."""
    query = _answered().where(command.c.command_id == command_id).order_by(command.c.partition, command.c.position)
    return [StoredCommand(*row) for row in connection.execute(query)]


def price_books(connection: Connection, rules: Rules) -> list[PublishedBook]:
    """All price books in the order of publication; the built-in one is the first."""
    kinds = ("price_book", "withdraw_price_book")
    query = _answered().where(command.c.type.in_(kinds), command.c.partition == 0)
    books = [PublishedBook(BUILT_IN, None, None)]
    for each in _done(connection, query, rules):
        if each.type == "price_book":
            books.append(_book(each))
        else:
            version = _document(each)["version"]
            books = [book for book in books if book.command_id is None or book.book.version != version]
    return books


def books_of(published: Iterable[PublishedBook]) -> PriceBooks:
    """Price books as the meter uses them: `book_on(day)`, `price_for(region, day)`."""
    return PriceBooks(tuple(each.book for each in published if each.command_id is not None))


def contracts(connection: Connection, account_id: str, rules: Rules) -> list[AgreedContract]:
    """The contracts of an account, by their start; without those that were withdrawn."""
    kinds = ("contract", "withdraw_contract")
    query = _answered().where(command.c.account_id == account_id, command.c.type.in_(kinds))
    agreed: list[AgreedContract] = []
    for each in _done(connection, query, rules):
        if each.type == "contract":
            agreed.append(_contract(each, agreed))
        else:
            withdrawn = _document(each)["contract_id"]
            agreed = [one for one in agreed if one.contract.contract_id != withdrawn]
    return agreed


def contract_in_force(agreed: Iterable[AgreedContract], day: str) -> Contract | None:
    """The contract in force on a billing day."""
    return contract_on(tuple(each.contract for each in agreed), day)


def low_balance(connection: Connection, account_id: str, rules: Rules) -> Decimal | None:
    """The balance below which the customer wants a notice; None: it wants none."""
    query = _answered().where(command.c.account_id == account_id, command.c.type == "low_balance")
    done = _done(connection, query, rules)
    threshold = _document(done[-1]).get("threshold") if done else None
    return None if threshold is None else Decimal(threshold)


def is_answered(connection: Connection, account_id: str, types: Iterable[str]) -> bool:
    """Whether the commands of some types about an account all have their answers here."""
    query = _answered().where(command.c.account_id == account_id, command.c.type.in_(list(types)))
    return connection.execute(query.where(command_result.c.status.is_(None)).limit(1)).first() is None


def _done(connection: Connection, query: Select[Any], rules: Rules) -> list[StoredCommand]:
    """The commands that did something: done, and not sent again while the meter remembered them."""
    query = query.where(command_result.c.status == "done").order_by(command.c.position)
    remembered: dict[str | None, datetime] = {}
    done = []
    for each in map(StoredCommand._make, connection.execute(query)):
        first = remembered.get(each.command_id)
        if first is None or (each.recorded_at - first).total_seconds() * 1000 > rules.remember_ms:
            remembered[each.command_id] = each.recorded_at
            done.append(each)
    return done


def _document(each: StoredCommand) -> dict[str, Any]:
    return msgspec.json.decode(each.value, type=dict[str, Any])


def _book(each: StoredCommand) -> PublishedBook:
    document = _document(each)
    prices = tuple((zone, Decimal(document["prices"][zone])) for zone in ZONES)
    book = PriceBook(document["version"], document["effective_from"], prices)
    return PublishedBook(book, each.command_id, each.recorded_at)


def _contract(each: StoredCommand, agreed: Iterable[AgreedContract]) -> AgreedContract:
    document = _document(each)
    day, mode = document["effective_from"], document.get("mode")
    before = tuple(one.contract for one in agreed)
    terms = terms_of(None if mode is None else Mode(mode), document.get("grace_hours"), before, day)
    prices = tuple((name, Decimal(price)) for name, price in sorted(document.get("prices", {}).items()))
    return AgreedContract(
        each.account_id or "", Contract(each.command_id or "", day, terms[0], prices, terms[1]), each.recorded_at
    )
