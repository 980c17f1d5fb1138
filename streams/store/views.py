"""Views for analysts: what the topics say, under their names, with exact money; `docs/sql.md` is their contract.

They only gain columns. A view that is changed comes with a migration, however empty, so that every store gets it.

Each amount is there twice. `amount` is the exact decimal: NUMERIC in PostgreSQL, text in SQLite, which has no decimals
and would add up text as binary floats. `amount_e8` is it in whole hundred-millionths of a yuan, which both stores add
up exactly; eight places are the most that an amount has. SQLite's integers reach to 92 billion yuan, and beyond that
a query fails: it is never wrong.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Integer,
    Numeric,
    Select,
    String,
    and_,
    case,
    cast,
    func,
    literal_column,
    select,
)

from meter.arrears import Service
from streams.store.database import is_postgres
from streams.store.kept_tables import webhook_delivery
from streams.store.schema import (
    account,
    bill,
    bill_line,
    bill_standing,
    command,
    command_result,
    daily_total,
    ledger_entry,
    note,
    notice,
    posting,
    priced_usage,
    projector_position,
    rejected,
)
from streams.store.types import Money

PLACES = 8


def create_views(connection: Connection) -> None:
    """Make them, or make them anew; in PostgreSQL rights on them stay."""
    postgres = is_postgres(connection)
    for name, query in views(postgres).items():
        text = query.compile(connection, compile_kwargs={"literal_binds": True})
        connection.exec_driver_sql(f"CREATE {'OR REPLACE ' if postgres else ''}VIEW {name} AS {text}")


def drop_views(connection: Connection) -> None:
    """Take them away where they are in the way of a migration: SQLite renames no table under a view."""
    if not is_postgres(connection):
        for name in views(False):
            connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")


def views(postgres: bool) -> dict[str, Select[Any]]:
    """Name -> what it selects."""
    found = {name: select(*_columns(parts, postgres)).select_from(source) for name, (source, parts) in _VIEWS.items()}
    duration = _milliseconds(_usage.duration_s, postgres).label("duration_ms")
    return found | {"usage_priced": found["usage_priced"].add_columns(duration)}


def _columns(parts: Iterable[Any], postgres: bool) -> Iterable[ColumnElement[Any]]:
    """An amount is two columns: itself, and in whole units."""
    for part in parts:
        yield part
        element = part.element if hasattr(part, "element") else part
        if isinstance(element.type, Money):
            yield (_units_postgres if postgres else _units_sqlite)(element).label(f"{part.name}_e{PLACES}")


def _units_postgres(amount: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(func.round(amount * literal_column(f"1{'0' * PLACES}"), 0), Numeric(38, 0))


def _units_sqlite(amount: ColumnElement[Any]) -> ColumnElement[Any]:
    """Of canonical text: the point is left out, and zeros are put behind. What is too large fails, as `abs` does."""
    text, point = cast(amount, String), func.instr(amount, ".")
    zeros = func.substr("0" * PLACES, 1, PLACES - func.length(text) + point)
    units = cast(func.replace(text, ".", "").op("||")(zeros), Integer)
    too_large = func.abs(literal_column("-9223372036854775807", Integer) - (point > 11))
    return case((amount.is_(None), None), (point > 11, too_large), else_=units)


def _milliseconds(seconds: ColumnElement[Any], postgres: bool) -> ColumnElement[Any]:
    """Of a decimal text with three places at most."""
    if postgres:
        return cast(cast(seconds, Numeric) * 1000, BigInteger)
    point = func.instr(seconds.op("||")("."), ".")
    fraction = func.replace(func.substr(seconds, point + 1), ".", "").op("||")("000")
    return cast(func.substr(seconds, 1, point - 1).op("||")(func.substr(fraction, 1, 3)), Integer)


def _or_zero(amount: Column[Any]) -> ColumnElement[Any]:
    return func.coalesce(amount, literal_column("'0.00'", String), type_=Money()).label(amount.name)


def _where(table: Any) -> tuple[ColumnElement[Any], ...]:
    """Where in its topic a record is."""
    return table.c.partition, table.c.position.label("record_offset")


_CNY = literal_column("'CNY'", String).label("currency")
_usage, _line, _standing, _entry = priced_usage.c, bill_line.c, bill_standing.c, ledger_entry.c
_note_standing = bill_standing.alias("note_standing")

#: Name -> where it is from, and its columns; `usage_priced` has one more.
_VIEWS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "usage_priced": (
        priced_usage,
        (
            *_where(priced_usage), _usage.account_id, _usage.job_id, _usage.region, _usage.kinds, _usage.completed_at,
            _usage.day, _usage.minutes, _usage.unit_price, _usage.amount, _CNY, _usage.price_version,
            _usage.recorded_at,
        ),
    ),
    "usage_daily": (
        daily_total,
        (
            daily_total.c.account_id, daily_total.c.region, daily_total.c.day, daily_total.c.jobs,
            daily_total.c.minutes, daily_total.c.amount, _CNY,
        ),
    ),
    "usage_rejected": (
        rejected,
        (
            *_where(rejected), rejected.c.code, rejected.c.message, rejected.c.account_id, rejected.c.job_id,
            rejected.c.day, rejected.c.recorded_at, rejected.c.amount_at_risk,
            rejected.c.priced_later.label("put_right"),
        ),
    ),
    "billing_bills": (
        bill.outerjoin(bill_standing, bill.c.bill_id == _standing.bill_id),
        (
            *_where(bill), bill.c.bill_id, bill.c.account_id, bill.c.period, bill.c.mode, bill.c.total,
            bill.c.payable, bill.c.rounding, _CNY, bill.c.issued_at, _standing.paid_at,
            _or_zero(_standing.refunded),
            _or_zero(_standing.credited),
        ),
    ),
    "billing_bill_lines": (
        bill_line,
        (
            _line.bill_id, (_line.line + 1).label("line"), _line.account_id, _line.kind, _line.region, _line.day,
            _line.jobs, _line.minutes, _line.unit_price, _line.amount, _CNY, _line.original_bill_id,
        ),
    ),
    "billing_notes": (
        note.outerjoin(_note_standing, note.c.note_id == _note_standing.c.bill_id),
        (
            *_where(note), note.c.note_id, note.c.account_id, note.c.kind, note.c.command_id, note.c.day,
            note.c.amount, _CNY, note.c.issued_at, note.c.reason, note.c.reference, note.c.line,
            _note_standing.c.paid_at,
        ),
    ),
    "billing_ledger": (
        ledger_entry,
        (
            *_where(ledger_entry), _entry.entry_id, _entry.account_id, _entry.at, _entry.cause, _entry.reference,
            _entry.reason, _entry.change, _entry.balance_after, _entry.unpaid_after, _CNY,
        ),
    ),
    "billing_postings": (
        posting.join(
            ledger_entry,
            and_(posting.c.partition == _entry.partition, posting.c.position == _entry.position),
        ),
        (_entry.entry_id, _entry.account_id, _entry.at, _entry.cause, posting.c.book, posting.c.amount, _CNY),
    ),
    "billing_notices": (
        notice,
        (
            *_where(notice), notice.c.notice_id, notice.c.account_id, notice.c.kind, notice.c.at, notice.c.bill_id,
            notice.c.payable, notice.c.owed, notice.c.balance, notice.c.deadline,
        ),
    ),
    "account_service": (
        account,
        (
            account.c.account_id, account.c.state, (account.c.state != Service.STOPPED.value).label("may_start_jobs"),
            account.c.since, account.c.reason, account.c.deadline,
        ),
    ),
    "account_balances": (
        account, (account.c.account_id, account.c.balance, account.c.unpaid, account.c.owed, _CNY)
    ),
    "meter_commands": (
        command.outerjoin(
            command_result,
            and_(
                command.c.partition == command_result.c.partition,
                command.c.position == command_result.c.command_position,
            ),
        ),
        (
            *_where(command), command.c.command_id, command.c.type, command.c.account_id, command.c.recorded_at,
            command_result.c.status, command_result.c.code, command_result.c.message,
        ),
    ),
    "webhook_deliveries": (
        webhook_delivery,
        (
            webhook_delivery.c.endpoint_id, webhook_delivery.c.event_id, webhook_delivery.c.event,
            webhook_delivery.c.account_id, webhook_delivery.c.state, webhook_delivery.c.attempts,
            webhook_delivery.c.created_at, webhook_delivery.c.next_attempt_at, webhook_delivery.c.last_error,
            webhook_delivery.c.delivered_at,
        ),
    ),
    "projected_topics": (
        projector_position,
        (
            projector_position.c.topic, projector_position.c.partition, projector_position.c.next_offset,
            projector_position.c.end_offset, projector_position.c.record_at, projector_position.c.polled_at,
        ),
    ),
}  # fmt: skip
