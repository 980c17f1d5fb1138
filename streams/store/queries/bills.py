"""Bills: the list by account, period and whether they are paid; one with its lines and its published JSON."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select

from meter.money import ZERO
from streams.errors import SettingError
from streams.store.queries.pages import RowPage, page
from streams.store.schema import bill, bill_line, bill_standing


# So many fields: the row has them.
class StoredBill(NamedTuple):
    """A bill. `paid_at` None: it is open. `refunded`: how much of it was given back; `credited`: by credit notes."""

    bill_id: str
    partition: int
    position: int
    account_id: str
    period: str
    mode: str
    total: Decimal
    payable: Decimal
    rounding: Decimal
    issued_at: datetime
    lines: int
    paid_at: datetime | None
    refunded: Decimal
    credited: Decimal


class StoredBillLine(NamedTuple):
    """A line of a bill, in its order; `kind` usage or late."""

    kind: str
    region: str
    day: str
    jobs: int
    minutes: int
    unit_price: Decimal
    amount: Decimal
    original_bill_id: str | None


class WholeBill(NamedTuple):
    """A bill with its lines. `value`: the JSON as it was published, to the byte."""

    bill: StoredBill
    lines: tuple[StoredBillLine, ...]
    value: str


_COLUMNS = [column for column in bill.c if column.name != "value"]


def _bills(*more: Any) -> Select[Any]:
    joined = bill.outerjoin(bill_standing, bill.c.bill_id == bill_standing.c.bill_id)
    standing = bill_standing.c
    return select(*_COLUMNS, standing.paid_at, standing.refunded, standing.credited, *more).select_from(joined)


def bills(
    connection: Connection,
    *,
    account_id: str | None = None,
    period: str | None = None,
    state: Literal["open", "paid"] | None = None,
    sort: Literal["latest", "largest"] = "latest",
    after: str | None = None,
    limit: int = 50,
) -> RowPage[StoredBill]:
    """Bills, the latest or largest first. `period`: a day, or a month with its days. Raises SettingError."""
    query = _bills()
    if account_id is not None:
        query = query.where(bill.c.account_id == account_id)
    if period is not None:
        query = query.where(_is_of(period))
    if state == "open":
        # From the few that are open: to look at all bills for them would take long where most are paid.
        query = query.where(
            bill.c.bill_id.in_(select(bill_standing.c.bill_id).where(bill_standing.c.paid_at.is_(None)))
        )
    elif state == "paid":
        query = query.where(bill_standing.c.paid_at.is_not(None))
    order = (bill.c.issued_at if sort == "latest" else bill.c.payable, bill.c.bill_id)
    return page(connection, query, order, _bill, after=after, limit=limit, descending=True)


def _is_of(period: str) -> ColumnElement[bool]:
    """Whether a bill is of a period. Bills are issued soon after it ends, which the index by that time makes use of."""
    is_month = len(period) == 7
    start = _start_of(f"{period}-01" if is_month else period)
    if start is None:
        raise SettingError(f"a period is a day, YYYY-MM-DD, or a month, YYYY-MM, got {period!r}")
    of_month = and_(bill.c.period >= f"{period}-", bill.c.period <= f"{period}-~")
    return and_(
        or_(bill.c.period == period, of_month) if is_month else bill.c.period == period,
        bill.c.issued_at >= _days_later(start, -1),
        bill.c.issued_at < _days_later(start, 35 if is_month else 4),
    )


def _start_of(day: str) -> datetime | None:
    """The start of a day in UTC; None for what is no `YYYY-MM-DD`, such as the day of a week."""
    try:
        start = datetime.fromisoformat(day)
    except ValueError:
        return None
    return start.replace(tzinfo=UTC) if start.date().isoformat() == day else None


def _days_later(moment: datetime, days: int) -> datetime:
    """So many days later, or as far as the calendar goes, which no bill reaches."""
    try:
        return moment + timedelta(days=days)
    except OverflowError:
        return moment


def bill_by_id(connection: Connection, bill_id: str) -> WholeBill | None:
    """One bill; None where there is none of this id."""
    row = connection.execute(_bills(bill.c.value).where(bill.c.bill_id == bill_id)).one_or_none()
    return None if row is None else WholeBill(_bill(row), _lines(connection, bill_id), row.value)


def _lines(connection: Connection, bill_id: str) -> tuple[StoredBillLine, ...]:
    lines = bill_line.c
    columns = (getattr(lines, name) for name in StoredBillLine._fields)
    query = select(*columns).where(lines.bill_id == bill_id).order_by(lines.line)
    return tuple(StoredBillLine(*row) for row in connection.execute(query))


def _bill(row: Row[Any]) -> StoredBill:
    fields = {column.name: row._mapping[column.name] for column in _COLUMNS}
    return StoredBill(**fields, paid_at=row.paid_at, refunded=row.refunded or ZERO, credited=row.credited or ZERO)
