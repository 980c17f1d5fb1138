"""What newcomers type, and one line that helps."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from meter.rules import Rules
from streams.commands.placing import place
from streams.commands.writing import new_command
from streams.errors import MeterError
from streams.settings import Settings
from tests.integration.running import Meter

QUOTE = ("quote", "--duration", "60", "--region")
MISTAKES: Sequence[tuple[tuple[str, ...], str]] = (
    (("sumbit", "jobs.jsonl"), "No such command 'sumbit'. Did you mean 'submit'? `meter --help` explains"),
    (("stop",), "No such command 'stop'. Did you mean 'down'? `meter --help` explains"),
    (("start", "--detach"), "No such command 'start'. Did you mean 'up'? `meter --help` explains"),
    (("totals", "--days", "2026-11-23"), "No such option: --days (Possible options: --day); `meter totals --help`"),
    (("account", "topup", "A", "100"), "Missing option '--amount'; `meter account topup --help` explains"),
    (("account", "topup", "A", "--amount"), "Option '--amount' requires an argument"),
    (("account", "topup", "A", "--amount", "1", "--timeout", "nan"), "Invalid value for '--timeout'"),
    (("account", "topup", "A", "--amount", "1", "--timeout", "inf"), "Invalid value for '--timeout'"),
    ((*QUOTE, "frankfurt"), "unknown region 'frankfurt'; did you mean 'eu-frankfurt'?"),
    ((*QUOTE, "中国大陆"), "unknown region '中国大陆'; did you mean 'Mainland China'?"),
    ((*QUOTE, "Mars"), "unknown region 'Mars'; there are ap-beijing"),
    ((*QUOTE[:2], "1h", "--region", "Frankfurt"), "--duration is a number of seconds"),
    ((*QUOTE, "Frankfurt", "--day", "2026/11/23"), "--day is YYYY-MM-DD, such as 2026-11-23"),
    ((*QUOTE, "Frankfurt", "--day", "9999-12-31"), "--day lies beyond the meter's calendar"),
    (("webhooks", "add", "example.com/hook"), "a webhook is an https:// URL"),
    (("rejects", "show", "5"), "a position is PARTITION:OFFSET, such as 3:17, got '5'"),
    (("token", "create", "--role", "admin"), "--role is operator, account, producer, got 'admin'"),
    (("submit", "jobs.jsonl"), "jobs.jsonl: No such file or directory"),
    (("rejects", "redrive", "0:0", "--set", "region=\udcb9\udce3"), "argument 5 is not in UTF-8"),  # GBK
    (("token", "create", "--role", "operator", "--label", "\udcff"), "argument 6 is not in UTF-8"),
    (("prices", "publish", "\udcff"), "argument 3 is not in UTF-8"),
    (("prices", "publish", "book.json"), "book.json: No such file or directory"),
)


@pytest.mark.parametrize(("typed", "said"), MISTAKES, ids=[" ".join(typed) for typed, _ in MISTAKES])
def test_a_mistake_is_one_line_that_helps(tmp_path: Path, typed: Sequence[str], said: str) -> None:
    """No Kafka is there, and none is asked for."""
    done = Meter("127.0.0.1:1", tmp_path).run(*typed)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith(f"meter: {said}")


SETTINGS_FILES = {
    'log_level = "info"': "",
    '\ufefflog_level = "info"\r\n': "",
    "log_level = info": "meter.toml: no TOML, in which texts stand in quotes: ",
    '[meter]\nlog_level = "info"': "meter.toml: there is no setting 'meter'",
    'METER_LOG_LEVEL = "info"': "meter.toml: there is no setting 'METER_LOG_LEVEL'; did you mean log_level?",
}


@pytest.mark.parametrize("text", SETTINGS_FILES, ids=range(len(SETTINGS_FILES)))
def test_a_settings_file_is_read_however_it_was_saved_or_is_told_of(tmp_path: Path, text: str) -> None:
    (tmp_path / "meter.toml").write_text(text, "utf-8", newline="")
    done = Meter("127.0.0.1:1", tmp_path).run("totals")
    if SETTINGS_FILES[text]:
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert done.stderr.startswith(f"meter: {SETTINGS_FILES[text]}")
    else:
        assert done.returncode == 5


def test_a_settings_file_in_utf_16_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "meter.toml").write_text('log_level = "info"', "utf-16")
    done = Meter("127.0.0.1:1", tmp_path).run("totals")
    assert (done.returncode, done.stderr) == (2, "meter: meter.toml: UTF-16 and not UTF-8, and no TOML\n")


@pytest.mark.parametrize("amount", ["1,000", "100 CNY", "-5", "1e3", "1.005", "", "9" * 5000])
async def test_a_command_that_no_worker_could_read_is_refused_before_anybody_is_asked(amount: str) -> None:
    """Nobody listens there: whoever asked would be told so."""
    rules = Rules(meter_id="m", partitions=1)
    command = new_command("top_up", rules, 1_767_240_000_000, account_id="A", amount=amount)
    with pytest.raises(MeterError, match=r"^refused: bad_amount: ") as raised:
        await place(Settings(bootstrap_servers="127.0.0.1:1"), rules, command, at_ms=1_767_240_000_000, timeout_s=1)
    assert len(str(raised.value)) < 500
