"""`meter api` and `meter token` as they are run."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.running import METER, Meter, until

#: Each test has a store of its own.
pytestmark = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)


@pytest.fixture
def fresh(meter: Meter, tmp_path: Path) -> dict[str, Any]:
    """Settings of an API with a store of its own, which is empty."""
    return {"database_url": f"sqlite:///{tmp_path}/store.sqlite", "http_port": 0}


@pytest.fixture
def process(meter: Meter, fresh: dict[str, Any], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(
            [METER, "api"], env=meter.environment(**fresh), stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    yield process
    process.kill()
    process.wait()


def test_it_prints_its_address_serves_and_ends_when_it_is_asked(
    process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    def said() -> str:
        assert process.poll() is None, (tmp_path / "out").read_text()
        return (tmp_path / "out").read_text()

    until(lambda: "there are no tokens yet" in said(), "the API to say where it is")
    url = next(word for word in said().split() if word.startswith("http://127.0.0.1:"))
    until(lambda: httpx.get(f"{url}/v1/status").json()["kafka"] == "up", "the API to find Kafka")
    assert httpx.get(f"{url}/v1/nothing").headers["content-type"] == "application/problem+json"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert "Traceback" not in (tmp_path / "out").read_text()


def test_without_tokens_no_other_address_is_served(meter: Meter, fresh: dict[str, Any]) -> None:
    done = meter.execute("api", **fresh, http_host="0.0.0.0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "meter token create" in done.stderr
    taken = meter.execute("api", **fresh | {"http_host": "203.0.113.1"})
    assert taken.returncode == 2


def test_a_token_is_shown_once_listed_without_its_secret_and_revoked(meter: Meter, fresh: dict[str, Any]) -> None:
    made = meter.ask("token", "create", "--role", "account", "--account", "A/é", "--expires", "90", **fresh)
    secret = made["token"].rpartition("_")[2]
    shown = meter.run("token", "create", "--role", "producer", "--label", "eu", **fresh)
    assert shown.stdout.startswith("mtr_")
    listed = meter.run("token", "list", "--json", **fresh).stdout
    assert (secret in listed, '"A/é"' in listed, '"eu"' in listed) == (False, True, True)
    assert meter.run("token", "revoke", made["token_id"], **fresh).returncode == 0
    table = meter.run("token", "list", **fresh).stdout
    assert ("revoked" in table, "active" in table, secret in table) == (True, True, False)


def test_tokens_of_which_none_is_an_operators_are_warned_of(meter: Meter, fresh: dict[str, Any]) -> None:
    def warned(*arguments: str) -> bool:
        done = meter.run("token", "create", *arguments, **fresh)
        assert (done.returncode, done.stdout[:4]) == (0, "mtr_"), done.stderr
        return "meter: there are tokens now and none of an operator" in done.stderr

    assert warned("--role", "producer")
    assert warned("--role", "account", "--account", "A", "--expires", "90")
    assert not warned("--role", "operator")
    assert not warned("--role", "producer")
    operator = meter.run("token", "list", "--json", **fresh).stdout.splitlines()[2]
    assert meter.run("token", "revoke", json.loads(operator)["token_id"], **fresh).returncode == 0
    assert warned("--role", "producer")


def test_a_token_ends_as_a_day_begins_in_the_billing_zone(meter: Meter, fresh: dict[str, Any]) -> None:
    done = meter.run("token", "create", "--role", "operator", "--expires", "2099-12-31", **fresh)
    assert ", until 2099-12-31T00:00:00.000+08:00; it is shown this once" in done.stderr
    assert "2099-12-31T00:00:00.000+08:00" in meter.run("token", "list", **fresh).stdout
    assert '"expires_at": "2099-12-31T00:00:00.000+08:00"' in meter.run("token", "list", "--json", **fresh).stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("create", "--role", "king"), 2),
        (("create", "--role", "account"), 2),
        (("create", "--role", "operator", "--account", "A"), 2),
        (("create", "--role", "operator", "--expires", "yesterday"), 2),
        (("create", "--role", "operator", "--expires", "2001-01-01T00:00:00Z"), 2),
        (("create", "--role", "operator", "--expires", "2001-01-01"), 2),
        (("create", "--role", "operator", "--expires", "2099-13-01"), 2),
        (("revoke", "none"), 1),
    ],
)
def test_a_token_that_cannot_be_is_one_line(
    meter: Meter, fresh: dict[str, Any], arguments: tuple[str, ...], code: int
) -> None:
    done = meter.run("token", *arguments, **fresh)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, 1), done.stderr
