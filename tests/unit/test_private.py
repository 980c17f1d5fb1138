"""What holds customers' data or a secret is for its owner alone, also where it was open before."""

import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from streams.cli import main
from streams.errors import SettingError
from streams.export.files import whole
from streams.process.private import close_data_dir
from streams.settings import Settings
from streams.store.database import opened_store
from streams.supervise.only_one import only_one

NOBODY = 65534


@pytest.fixture(autouse=True)
def as_most_have_it() -> Iterator[None]:
    """The mask with which others may read what a program makes."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def made(path: Path, permissions: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    path.chmod(permissions)
    return path


def test_the_read_model_is_its_owners_with_its_other_files(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new" / "data")
    with opened_store(settings) as engine, engine.begin() as connection:
        connection.execute(text("CREATE TABLE secrets (secret TEXT)"))
        found = {path.name: mode(path) for path in settings.data_dir.iterdir()}
    names = ("read-model.sqlite", "read-model.sqlite-wal", "read-model.sqlite-shm")
    assert found == dict.fromkeys(names, 0o600)
    assert mode(settings.data_dir) == 0o700


def test_a_store_that_was_open_is_closed_wherever_it_is(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    sqlite3.connect(file).execute("CREATE TABLE t (t)").connection.close()
    assert mode(file) == 0o644
    settings = Settings.model_validate({"database_url": f"sqlite:///{file}"})
    with opened_store(settings) as engine, engine.begin():
        assert mode(file) == 0o600


def test_exports_and_the_lock_of_a_data_directory(tmp_path: Path) -> None:
    with whole(tmp_path / "out" / "jobs.csv") as file:
        file.write(b"money")
    with only_one(tmp_path / "data", print):
        pass
    assert (mode(tmp_path / "out"), mode(tmp_path / "out" / "jobs.csv")) == (0o700, 0o600)
    assert (mode(tmp_path / "data"), mode(tmp_path / "data" / "up.lock")) == (0o700, 0o600)


def test_a_data_directory_that_was_open_is_closed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    paths = [made(data / name) for name in ("up.lock", "read-model.sqlite", "read-model.sqlite-wal", "kafka/secret")]
    data.chmod(0o755)
    close_data_dir(data, "recognition-meter")
    assert mode(data) == 0o700
    assert [mode(path) for path in paths[:3]] == [0o600] * 3
    assert mode(data / "kafka") == 0o700


def test_where_others_files_are_too_only_the_meters_are_closed(tmp_path: Path) -> None:
    theirs = made(tmp_path / "index.html")
    ours = made(tmp_path / "read-model.sqlite")
    made(tmp_path / "my-meter" / "seen" / "table")
    tmp_path.chmod(0o755)
    close_data_dir(tmp_path, "my-meter")
    assert (mode(tmp_path), mode(theirs), mode(ours)) == (0o755, 0o644, 0o600)
    assert mode(tmp_path / "my-meter") == 0o700


def test_an_empty_directory_is_taken_and_one_that_is_missing_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(mode=0o755)
    close_data_dir(tmp_path / "empty", "recognition-meter")
    close_data_dir(tmp_path / "missing", "recognition-meter")
    assert mode(tmp_path / "empty") == 0o700
    assert not (tmp_path / "missing").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another user")
def test_another_users_directory_is_refused_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o777)
    os.chown(data, 12345, 12345)

    def not_ours(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "chmod", not_ours)  # root could
    with pytest.raises(SettingError, match="belongs to another user and is open to others"):
        close_data_dir(data, "recognition-meter")


def test_every_command_closes_the_data_directory_and_makes_its_own_files_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "data" / "read-model.sqlite")
    monkeypatch.setenv("METER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("METER_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert main(["token", "list"]) == 0, capsys.readouterr().err
    wide = [path for path in (tmp_path / "data", *(tmp_path / "data").iterdir()) if mode(path) & 0o077]
    assert wide == []
    assert os.umask(0o022) == 0o022  # the caller's mask is as it was


@pytest.mark.parametrize(("above", "said"), [(0o755, "another user's"), (0o700, "not to be read")])
def test_a_data_directory_that_is_closed_to_us_is_told_of(above: int, said: str) -> None:
    """After `sudo meter up`, or in somebody else's shell."""
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(above)
        data_dir = Path(root) / "data"
        data_dir.mkdir(mode=0o700)
        os.seteuid(NOBODY)  # as root, which this test needs
        try:
            with pytest.raises(SettingError, match=f"^METER_DATA_DIR: {data_dir} is {said}: choose another directory$"):
                close_data_dir(data_dir, "app")
        finally:
            os.seteuid(0)
