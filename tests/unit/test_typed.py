"""Values that are none: what an empty variable of a shell leaves, a time zone that there is not."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from streams.cli import main
from streams.errors import Exit

TAKE_AN_ACCOUNT: Sequence[tuple[str, ...]] = (
    ("totals",),
    ("verify",),
    ("bills", "list"),
    ("ledger",),
    ("notes",),
    ("notices",),
    ("rejects", "list"),
    ("export", "csv", "--day", "2026-11-23", "--out", "out"),
    ("webhooks", "add", "https://example.com/hook"),
)


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("typed", TAKE_AN_ACCOUNT, ids=" ".join)
def test_an_empty_variable_is_no_account(typed: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    """`meter totals --account "$CUSTOMER"` would say that there is no usage."""
    assert main([*typed, "--account", ""]) == Exit.WRONG_SETTING
    said = capsys.readouterr()
    assert said.err.startswith(
        "meter: Invalid value for '--account': it is empty; without the option it is all accounts"
    )
    assert (said.out, said.err.count("\n")) == ("", 1)


def test_a_time_zone_that_is_none_is_told_once_with_what_one_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "create", "--time-zone", "Beijing"]) == Exit.WRONG_SETTING
    assert capsys.readouterr().err == (
        "meter: --time-zone: there is no such time zone; names are such as Asia/Shanghai, got 'Beijing'\n"
    )
