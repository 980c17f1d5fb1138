"""Paths in the settings: what shells would have put right, and what is no directory."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.cli import main
from streams.errors import SettingError
from streams.settings import load_settings


@pytest.mark.parametrize(
    "name", ["data_dir", "cache_dir", "parties_file", "ssl_ca_file", "ssl_cert_file", "ssl_key_file"]
)
def test_a_home_directory_is_meant_by_its_sign_wherever_no_shell_has_seen_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`data_dir = "~/meter"` in meter.toml would make a directory that is called `~`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    (tmp_path / "meter.toml").write_text(f'{name} = "~/meter"')
    assert getattr(load_settings(), name) == Path("/home/somebody/meter")


@pytest.mark.parametrize("name", ["data_dir", "cache_dir", "parties_file"])
def test_an_empty_path_is_not_the_working_directory(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`METER_DATA_DIR=$UNSET meter up` would put a Kafka among the files of whoever typed it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"METER_{name.upper()}", "")
    with pytest.raises(SettingError, match=rf"^METER_{name.upper()} \({name} in meter.toml\): is empty: leave it out"):
        load_settings()


@pytest.mark.parametrize(
    "command", [("totals",), ("status",), ("up", "--detach"), ("up",), ("down",), ("broker",)], ids=" ".join
)
@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_data_directory_that_is_a_file_is_called_that(
    command: tuple[str, ...],
    below: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METER_DATA_DIR", str(file / below))
    assert main(command) == 2
    assert capsys.readouterr() == ("", f"meter: METER_DATA_DIR: {file / below} is no directory\n")


def test_a_path_that_is_no_text_is_called_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "meter.toml").write_text("data_dir = 5")
    with pytest.raises(SettingError, match=r"^METER_DATA_DIR \(data_dir in meter.toml\): is a path, as text, got 5$"):
        load_settings()


def test_a_settings_file_that_is_none_is_not_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker makes a directory of a file to mount that is not there: all settings would be the defaults."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "meter.toml"
    makers: tuple[Callable[[], None], ...] = (
        file.mkdir, lambda: file.symlink_to("nowhere"), lambda: os.mkfifo(file)
    )  # fmt: skip
    for make in makers:
        make()
        with pytest.raises(SettingError, match=r"^meter.toml is no file, and is not read: take it away$"):
            load_settings()
        file.rmdir() if file.is_dir() else file.unlink()
