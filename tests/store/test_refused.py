"""A store that will not have us is told from one that is away: the first ends a start, the second is waited for."""

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import URL, create_engine, make_url, text

from streams.errors import Exit
from streams.process import retrying
from streams.store.database import StoreLostError, StoreRefusedError
from streams.store.measures import ProjectorMeasures
from streams.store.migrate import migrate
from streams.store.projector import wait_for_store
from tests.integration.running import METER
from tests.store.following import engine_of
from tests.store.postgres import Postgres


@pytest.fixture(scope="module")
def here(postgres: Postgres) -> URL:
    """A database of a server with a role that has a password, no rights on the schema, and no connections to spare."""
    url = make_url(postgres.new_database())
    owner = create_engine(url, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        for role, limit in (("limited", -1), ("crowded", 0)):
            if connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}) is None:
                connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'right' CONNECTION LIMIT {limit}")
        rules = Path(connection.scalar(text("SHOW hba_file")) or "")
        if "limited" not in rules.read_text():
            rules.write_text("local all limited scram-sha-256\n" + rules.read_text())
        connection.scalar(text("SELECT pg_reload_conf()"))
    owner.dispose()
    return url


CASES: dict[str, tuple[Callable[[URL], URL], type[StoreLostError], str]] = {
    "no such database": (lambda u: u.set(database="nowhere"), StoreRefusedError, 'database "nowhere" does not exist'),
    "no such role": (lambda u: u.set(username="nobody"), StoreRefusedError, 'role "nobody" does not exist'),
    "wrong password": (
        lambda u: u.set(username="limited", password="wrong"), StoreRefusedError, "password authentication failed",
    ),
    "no password": (lambda u: u.set(username="limited", password=""), StoreRefusedError, "no password supplied"),
    "no rights": (lambda u: u.set(username="limited", password="right"), StoreRefusedError, "permission denied"),
    "too many": (lambda u: u.set(username="crowded"), StoreLostError, "too many connections"),
    "no server": (lambda u: u.set(host="127.0.0.1", port=9, query={}), StoreLostError, "refused"),
}  # fmt: skip


def told(url: URL) -> StoreLostError:
    """What a start on this store says."""
    engine = engine_of(url.render_as_string(hide_password=False))
    with pytest.raises(StoreLostError) as error:
        migrate(engine)
    engine.dispose()
    return error.value


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_told_in_one_line_with_an_exit_code_of_its_own(here: URL, case: str) -> None:
    change, kind, why = CASES[case]
    error = told(change(here))
    assert type(error) is kind
    assert error.code == (Exit.WRONG_SETTING if kind is StoreRefusedError else Exit.FAILED)
    assert why in str(error)
    assert not any(said in str(error) for said in ("\n", ":wrong@", ":right@"))


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"no database at all, but some text" * 9)
    error = told(URL.create("sqlite", database=str(tmp_path / "store.sqlite")))
    assert type(error) is StoreRefusedError


def test_the_api_does_not_start_on_a_store_that_refuses_it(here: URL, tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("METER_")}
    url = here.set(database="nowhere").render_as_string(hide_password=False)
    settings = {"METER_BOOTSTRAP_SERVERS": "127.0.0.1:1", "METER_DATABASE_URL": url}
    done = subprocess.run(
        [METER, "api"], env=own | settings | {"METER_HTTP_PORT": "0", "METER_WEB_PORT": "0"},
        capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (Exit.WRONG_SETTING, "", 1), done.stderr
    assert 'database "nowhere" does not exist' in done.stderr


def refuses() -> NoReturn:
    raise StoreRefusedError("no")


async def test_a_projector_that_starts_ends_where_the_store_refuses() -> None:
    with pytest.raises(StoreRefusedError):
        await wait_for_store(refuses, asyncio.Event(), ProjectorMeasures(), starting=True)


async def test_a_projector_at_work_waits_until_the_store_has_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_S", 0.01)
    refusals = [1, 2]

    def ask() -> str:
        if refusals:
            refusals.pop()
            refuses()
        return "has us"

    assert await wait_for_store(ask, asyncio.Event(), ProjectorMeasures()) == "has us"
