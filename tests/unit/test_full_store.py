"""A store whose disk is full is away for now: whoever is at work waits for it, with one line."""

import logging
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from streams.settings import Settings
from streams.store.database import StoreLostError, StoreRefusedError, lost, open_engine, refused, store_errors, writing


@pytest.mark.parametrize("error", [psycopg.errors.DiskFull, psycopg.errors.TooManyConnections, psycopg.errors.IoError])
def test_a_postgresql_without_room_is_waited_for(error: Any) -> None:
    """COPY's errors come as they are, without SQLAlchemy's own class."""
    failure = DBAPIError("COPY priced_usage", None, error("no room"))
    assert lost(failure)
    assert not refused(failure)


def test_a_mistake_of_ours_is_not() -> None:
    assert not lost(DBAPIError("COPY priced_usage", None, psycopg.errors.UndefinedColumn("no such column")))


def test_a_sqlite_without_room_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = open_engine(Settings.model_validate({"data_dir": tmp_path}))

    def fill() -> None:
        with store_errors(engine), writing(engine) as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 4")
            connection.exec_driver_sql("CREATE TABLE filling (bytes BLOB)")
            connection.exec_driver_sql("INSERT INTO filling VALUES (zeroblob(1000000))")

    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(StoreLostError, match=r"no SQL store at .*: .* disk is full") as raised,
    ):
        fill()
    engine.dispose()
    assert not isinstance(raised.value, StoreRefusedError)
    assert "\n" not in str(raised.value)
    assert [record for record in caplog.records if record.exc_info] == []
