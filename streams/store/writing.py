"""Many rows at once: COPY in PostgreSQL, one prepared statement in SQLite. Rows as `decode` makes them."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, FromClause, Table, Text, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError

from streams.store.database import is_postgres
from streams.store.decode import Row


def insert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Add rows, each with all columns of the table in their order."""
    if not rows:
        return
    if is_postgres(connection):
        _copy(connection, table.name, rows)
    else:
        connection.exec_driver_sql(f"INSERT INTO {table.name} VALUES ({_marks(table)})", list(rows))


def upsert(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Add rows, each key once, or put them in the place of those with the same primary key."""
    if not rows:
        return
    if not is_postgres(connection):
        statement = f"INSERT INTO {table.name} VALUES ({_marks(table)}) {_on_conflict(table)}"
        connection.exec_driver_sql(statement, list(rows))
        return
    stage = f"stage_{table.name}"
    connection.exec_driver_sql(f"CREATE TEMP TABLE IF NOT EXISTS {stage} (LIKE {table.name}) ON COMMIT DELETE ROWS")
    _copy(connection, stage, rows)
    connection.exec_driver_sql(f"INSERT INTO {table.name} SELECT * FROM {stage} {_on_conflict(table)}")
    connection.exec_driver_sql(f"DELETE FROM {stage}")


def _copy(connection: Connection, name: str, rows: Iterable[Row]) -> None:
    """COPY by the driver itself, which SQLAlchemy knows nothing of: its errors are made SQLAlchemy's here."""
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    except connection.dialect.loaded_dbapi.Error as error:
        is_lost = bool(driver.closed)
        if is_lost:
            connection.invalidate(error)
        raise DBAPIError(f"COPY {name}", None, error, connection_invalidated=is_lost) from error


def _marks(table: Table) -> str:
    return ", ".join("?" * len(table.columns))


def _on_conflict(table: Table) -> str:
    keys = ", ".join(column.name for column in table.primary_key)
    others = ", ".join(f"{c.name} = excluded.{c.name}" for c in table.columns if not c.primary_key)
    return f"ON CONFLICT ({keys}) DO UPDATE SET {others}"


def given(connection: Connection, *columns: Sequence[str]) -> FromClause:
    """Columns of texts (as they are kept) to join with, named `c0`, `c1`, ...; however many rows, few parameters."""
    names = [f"c{number}" for number in range(len(columns))]
    if is_postgres(connection):
        arrays = [literal(list(column), ARRAY(Text())) for column in columns]
        return func.unnest(*arrays).table_valued(*names, joins_implicitly=True).render_derived()
    rows = func.json_each(literal(msgspec.json.encode(list(zip(*columns, strict=True))).decode())).table_valued("value")
    parts = [func.json_extract(rows.c.value, f"$[{n}]", type_=Text()).label(name) for n, name in enumerate(names)]
    return select(*parts).subquery()
