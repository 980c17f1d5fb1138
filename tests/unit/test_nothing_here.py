"""In a directory that has no meter nothing starts a Kafka that nobody asked for: the advice is `meter up`."""

from pathlib import Path

import pytest

from streams.cli import main

NO_KAFKA = 5


@pytest.mark.parametrize(
    "command",
    [
        ("totals",),
        ("submit", "jobs.jsonl"),
        ("account", "show", "A"),
        ("account", "topup", "A", "--amount", "1"),
        ("bills", "list"),
        ("ledger",),
        ("rejects", "list"),
        ("prices", "withdraw", "new"),
        ("topics", "check"),
        ("verify",),
        ("clock", "advance", "--to", "2026-11-23T12:00:00+08:00"),
        ("worker",),
        ("projector",),
        ("webhooks", "run"),
        ("api",),
        ("projector", "status"),
        ("projector", "rebuild"),
        ("token", "list"),
        ("token", "revoke", "tok_1"),
        ("webhooks", "add", "https://example.com/hook"),
        ("webhooks", "list"),
        ("webhooks", "dead"),
        ("webhooks", "remove", "ep_1"),
        ("webhooks", "retry", "--all"),
        ("export", "csv", "--day", "2026-11-23", "--out", "out"),
    ],
    ids=" ".join,
)
def test_a_command_advises_meter_up_and_makes_nothing(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jobs.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    for name in ("METER_BOOTSTRAP_SERVERS", "METER_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert main(command) == NO_KAFKA
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("meter: there is no meter in .meter: `meter up` starts one; METER_")
    assert said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.jsonl"]
