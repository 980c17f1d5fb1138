"""A wrong setting or argument: exit code 2 and one clear line on standard error, whatever the command. And the help."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.cli import main
from tests.integration.running import METER, PATIENCE_S, clean_environment
from tests.whole_cli import whole_cli

WRONG_SETTING = 2


def refused(root: Path, *arguments: str, **settings: object) -> str:
    """The one line of a command that does not like its settings."""
    done = subprocess.run(
        [METER, *arguments], env=clean_environment(**settings), cwd=root, capture_output=True, text=True,
        timeout=PATIENCE_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (WRONG_SETTING, ""), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert list(root.glob(".meter")) == []  # no broker was started beside the cluster that was meant
    return done.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bootstrap_server": "a:1"}, "no setting METER_BOOTSTRAP_SERVER; did you mean METER_BOOTSTRAP_SERVERS?"),
        ({"zzz": "1"}, "meter: there is no setting METER_ZZZ\n"),
        ({"bootstrap_servers": "kafka"}, "METER_BOOTSTRAP_SERVERS (bootstrap_servers in meter.toml): needs host:port"),
        ({"bootstrap_servers": "kafka:70000"}, "needs host:port[,host:port...], got 'kafka:70000'"),
        ({"bootstrap_servers": "a:1,,b:2"}, "needs host:port"),
        ({"bootstrap_servers": ""}, "needs host:port"),
        ({"web_port": "eighty"}, "METER_WEB_PORT (web_port in meter.toml): Input should be a valid integer"),
        ({"web_port": "65536"}, "METER_WEB_PORT"),
        ({"session_timeout_s": "0"}, "METER_SESSION_TIMEOUT_S"),
        ({"log_level": "loud"}, "METER_LOG_LEVEL"),
        ({"topic_prefix": "a/b"}, "METER_TOPIC_PREFIX"),
        ({"app_id": ""}, "METER_APP_ID"),
        ({"security_protocol": "TLS"}, "METER_SECURITY_PROTOCOL"),
    ],
)
def test_a_variable_that_is_wrong(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    assert message in refused(tmp_path, "totals", **settings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("web_port = ", "meter: meter.toml: "),
        ("web_prot = 1", "meter: meter.toml: there is no setting 'web_prot'; did you mean web_port?"),
        ('web_port = "x"', "METER_WEB_PORT (web_port in meter.toml): "),
        ("app_id = 7", "METER_APP_ID (app_id in meter.toml): "),
        ("[kafka]\na = 1", "meter: meter.toml: there is no setting 'kafka'"),
        ("\udcff", "meter: meter.toml: "),
    ],
)
def test_a_file_that_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "meter.toml").write_text(text, "utf-8", "surrogateescape")
    assert message in refused(tmp_path, "totals")


@pytest.mark.parametrize("command", [("totals",), ("worker",), ("quote", "--region", "Virginia", "--duration", "1")])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"security_protocol": "SSL", "ssl_ca_file": "missing.pem"}, "METER_SSL_CA_FILE: missing.pem: No such file"),
        ({"security_protocol": "SASL_PLAINTEXT", "sasl_username": "u"}, "needs METER_SASL_USERNAME and METER_SASL_PAS"),
        ({"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER"}, "needs METER_SASL_OAUTH_TOKEN"),
    ],
)
def test_credentials_that_are_missing(
    tmp_path: Path, command: tuple[str, ...], settings: dict[str, str], message: str
) -> None:
    everywhere = {"bootstrap_servers": "127.0.0.1:1", "log_level": "error", "web_port": "0"}
    assert message in refused(tmp_path, *command, **everywhere, **settings)


@pytest.mark.parametrize(("command", "port"), [("worker", "web_port"), ("projector", "web_port"), ("api", "http_port")])
def test_a_port_that_another_program_has(tmp_path: Path, command: str, port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        quiet = {"bootstrap_servers": "127.0.0.1:1", "data_dir": tmp_path / "data", "log_level": "error"}
        said = refused(tmp_path, command, **quiet, **{port: taken})
    assert f"METER_{port.upper()}" in said
    assert str(taken) in said
    assert "is taken by another program" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dance",), "No such command 'dance'"),
        (("totals", "--regoin", "x"), "No such option: --regoin"),
        (("totals", "extra"), "unexpected extra argument"),
        (("totals", "--day", "2026-1-1"), "--day is YYYY-MM-DD, such as 2026-11-23, got '2026-1-1'"),
        (
            ("bills", "list", "--period", "2026"),
            "--period is YYYY-MM or YYYY-MM-DD, such as 2026-11 or 2026-11-23, got",
        ),
        (("verify", "--period", "2026-13"), "--period is YYYY-MM or YYYY-MM-DD, such as 2026-11 or 2026-11-23, got"),
        (("export", "csv", "--out", "x", "--period", "2026-11-1"), "--period is YYYY-MM, such as 2026-11, got"),
        (("statement", "A", "--month", "2026-13"), "--month is YYYY-MM, such as 2026-11, got '2026-13'"),
        (("totals", "--region", "Mars"), "unknown region 'Mars'; there are "),
        (("submit",), "Missing argument 'FILE|-'"),
        (("up", "--workers", "0"), "--workers"),
        (("broker", "--port", "x"), "--port"),
        (("quote", "--region", "Virginia", "--duration", "1e3"), "--duration is a number of seconds"),
        (("quote", "--region", "Virginia", "--duration", "-1"), "--duration is a number of seconds"),
        (("topics", "make"), "No such command 'make'"),
        (("rejects", "show"), "Missing argument"),
        (("rejects", "list", "--code", "x"), "there is no code 'x'; there are not_json, "),
        (("prices", "publish", "no-such-file"), "no-such-file: No such file or directory"),
    ],
)
def test_arguments_that_are_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == WRONG_SETTING
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


GROUPS = ("topics", "prices", "rejects", "account", "bills", "clock", "export", "webhooks", "token")


def commands(group: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """Every command and group below one, as its words."""
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *path, name)


@pytest.mark.parametrize("path", list(commands(whole_cli())), ids=" ".join)
def test_every_command_has_a_help_with_an_example(path: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*path, "--help"]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    is_group = path == () or path in {(name,) for name in GROUPS}
    assert ("Example" in out) != is_group
    assert " ".join(["Usage: meter", *path]) in out


def test_the_executable_and_the_module_are_one_program(tmp_path: Path) -> None:
    for command in ([METER], [sys.executable, "-m", "streams"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert done.stdout.startswith("meter ")
