"""How the store is reached: an engine for SQLite or PostgreSQL from the settings, and its errors in one line."""

import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError

from streams.errors import BrokerLostError, Exit, MeterError, SettingError
from streams.process.private import keep, new_folder
from streams.settings import Settings
from streams.store.sqlite import set_up_connection

#: Where a connection has what is to be said once it has committed.
_ONCE_COMMITTED = "meter.once_committed"
BUSY_TIMEOUT_S = 30
CONNECT_TIMEOUT_S = 10
#: SQLSTATE: wrong name or password; no such database. Of class 42 rights alone: the rest are mistakes of ours.
_REFUSING_CLASSES = frozenset({"28", "3D"})
_NO_RIGHTS = "42501"
#: No room on its disk, too many connections, out of memory; an error of its system.
_FULL_CLASSES = frozenset({"53", "58"})
_REFUSING_FILES = ("SQLITE_AUTH", "SQLITE_CANTOPEN", "SQLITE_NOTADB", "SQLITE_PERM", "SQLITE_READONLY")
_REFUSALS = re.compile(
    r"FATAL:  (\w+ authentication failed|(database|role) \".*\" does not exist|permission denied"
    r"|no pg_hba.conf entry|role \".*\" is not permitted to log in)|no password supplied"
)


class StoreLostError(MeterError):
    """The SQL store cannot be reached, or has gone away. What was not committed has changed nothing."""

    code = Exit.FAILED


class StoreRefusedError(StoreLostError):
    """The store is there and will not have us: wrong password, no such database, no rights. A start ends with it.

    Whoever is at work already waits, as for a store that is away: somebody may be changing just that.
    """

    code = Exit.WRONG_SETTING


def store_url(settings: Settings) -> URL:
    """The store's URL: METER_DATABASE_URL, else a SQLite file in METER_DATA_DIR. Raises SettingError."""
    given = settings.database_url
    if given is None:
        return URL.create("sqlite", database=str(_own(settings)))
    try:
        url = make_url(given.get_secret_value())
    except (ArgumentError, ValueError):
        raise SettingError(
            "METER_DATABASE_URL: needs postgresql://user:password@host:port/name or sqlite:///file"
        ) from None
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        if url.database in (None, "", ":memory:"):
            raise SettingError("METER_DATABASE_URL: SQLite needs a file, as in sqlite:////var/lib/meter/store.sqlite")
        return url.set(drivername="sqlite")
    raise SettingError(f"METER_DATABASE_URL: the store is sqlite or postgresql, not {url.drivername}")


def open_engine(settings: Settings, **options: Any) -> Engine:
    """An engine for this process; it connects when it is first used. Raises SettingError.

    `options` go to SQLAlchemy's `create_engine`, as `pool_size=10`.
    """
    url = store_url(settings)
    # What its pool would log is said in one line by whoever meets the error.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    try:
        if url.drivername == "sqlite":
            return _sqlite(url, options)
        return create_engine(
            url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_TIMEOUT_S} | _quick_loss(), **options
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise SettingError(
            f"METER_DATABASE_URL: PostgreSQL needs the driver psycopg: pip install 'recognition-meter[sql]' ({error})"
        ) from error


def store_is_made(settings: Settings) -> bool:
    """Whether there may be a store: opening SQLite's file would make it. Raises SettingError."""
    url = store_url(settings)
    return url.drivername != "sqlite" or Path(url.database or "").exists()


@contextmanager
def opened_store(settings: Settings) -> Iterator[Engine]:
    """An engine for the block. Raises SettingError."""
    engine = open_engine(settings)
    try:
        yield engine
    finally:
        engine.dispose()


def _quick_loss() -> dict[str, Any]:
    """A server that is gone without a word is noticed within a minute."""
    return {"keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3, "application_name": "meter"}


def need_store(settings: Settings) -> None:
    """Raises BrokerLostError in a directory that has no store: whoever asks there asks in the wrong one."""
    if settings.database_url is None and not _own(settings).exists():
        raise BrokerLostError(
            f"there is no meter in {settings.data_dir}: `meter up` starts one; METER_DATABASE_URL names a store that "
            "is elsewhere"
        )


def _own(settings: Settings) -> Path:
    """The store where none is configured."""
    return settings.data_dir / "read-model.sqlite"


def _sqlite(url: URL, options: dict[str, Any]) -> Engine:
    assert url.database is not None
    directory = Path(url.database).parent
    try:
        new_folder(directory)
    except OSError as error:
        raise SettingError(f"METER_DATABASE_URL: {directory}: {error.strerror}") from error
    if not os.access(directory, os.W_OK):
        raise SettingError(f"METER_DATABASE_URL: {directory} cannot be written to")
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}, **options)

    @event.listens_for(engine, "do_connect")
    def to_connect(*_: Any) -> None:
        # Before there is anything in it; SQLite gives its other files the same mode.
        for name in ("", "-wal", "-shm"):
            keep(Path(f"{url.database}{name}"), make=not name)

    @event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _: Any) -> None:
        set_up_connection(connection)

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        # The driver would begin only with the first write; what is read before it would be of another moment.
        how = "BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN"
        connection.exec_driver_sql(how)

    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: in SQLite it takes its turn at the start, so that it never fails midway for one."""
    said: list[Callable[[], None]] = []
    with engine.execution_options(writes=True).begin() as connection:
        connection.info[_ONCE_COMMITTED] = said
        yield connection
    for say in said:
        say()


def once_committed(connection: Connection, say: Callable[[], None]) -> None:
    """Have something said of a change within `writing`, once it is there for good; where it is not, nothing is said."""
    said: list[Callable[[], None]] = connection.info[_ONCE_COMMITTED]
    said.append(say)


def one_moment(engine: Engine) -> Engine:
    """An engine whose transactions see the store as it was when they began; in SQLite they always do."""
    return engine.execution_options(isolation_level="REPEATABLE READ") if is_postgres(engine) else engine


def is_postgres(engine: Any) -> bool:
    """Whether an engine or connection is one of PostgreSQL."""
    return bool(engine.dialect.name == "postgresql")


def lost(error: BaseException) -> bool:
    """Whether an error says that the store is away for now, so that trying again may help."""
    if isinstance(error, StoreLostError):
        return True
    if not isinstance(error, SQLAlchemyError):
        return False
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return isinstance(error, OperationalError) or state[:2] in _FULL_CLASSES


def refused(error: BaseException) -> bool:
    """Whether an error says that the store will not have us, so that trying again does not help.

    By SQLSTATE, or SQLite's own code. What PostgreSQL says while a connection is made has none, since libpq gives none:
    there it is known by its English text, and what is not known counts as a store that is away.
    """
    driver = getattr(error, "orig", None) or error
    state = getattr(driver, "sqlstate", None)
    if state is not None:
        return bool(state[:2] in _REFUSING_CLASSES or state == _NO_RIGHTS)
    name = getattr(driver, "sqlite_errorname", None)
    if name is not None:
        return bool(name.startswith(_REFUSING_FILES))
    return isinstance(error, OperationalError) and _REFUSALS.search(str(driver)) is not None


@contextmanager
def store_errors(engine: Engine) -> Iterator[None]:
    """Within the block a store that is away is a StoreLostError, one line that names it without its password.

    One that will not have us is a StoreRefusedError.
    """
    try:
        yield
    except SQLAlchemyError as error:
        if refused(error):
            raise StoreRefusedError(f"the SQL store at {shown(engine)} will not have us: {reason(error)}") from error
        if not lost(error):
            raise
        raise StoreLostError(f"no SQL store at {shown(engine)}: {reason(error)}") from error


def is_store_away(error: Exception, *, starting: bool) -> bool:
    """Whether to wait for the store: where it refuses us only at work, and not while the process is `starting`."""
    return isinstance(error, StoreLostError) and not (starting and isinstance(error, StoreRefusedError))


def shown(engine: Engine) -> str:
    """The store's URL as people may see it: without its password."""
    return engine.url.render_as_string(hide_password=True)


def reason(error: BaseException) -> str:
    """What a driver says, in one line."""
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split()) or type(cause).__name__
