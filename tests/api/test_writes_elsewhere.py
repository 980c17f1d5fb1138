"""What comes to the log by other ways than the API: commands with the same id, and records that are no answers."""

import asyncio
import base64
import json
import secrets
from pathlib import Path

import httpx
import pytest

from meter import topics
from meter.models import CommandResult
from streams.http.kafka import KafkaConnection
from streams.settings import Settings
from tests.api.conftest import project
from tests.api.serving import Api, at, problem
from tests.integration.running import Meter
from tests.recount.placement import owner

#: An account of the other partition.
STRANGER = next(name for name in "NOPQRSTUVW" if owner(name, 2) != owner("A", 2))


def paid_elsewhere(meter: Meter, account: str = "A") -> str:
    """The id of a top-up of 0.02 CNY that was given by the command line; the read model does not know it yet."""
    payment = f"payment-{secrets.token_hex(4)}"
    done = meter.run("account", "topup", account, "--amount", "0.02", "--command-id", payment)
    assert done.returncode == 0, done.stderr
    return payment


def entries(meter: Meter, payment: str) -> list[list[str]]:
    rows = [row for row in meter.rows("billing.ledger") if row["reference"] == payment]
    return [[posting["amount"] for posting in row["postings"]] for row in rows]


ONCE = [["0.02", "-0.02"]]


@pytest.mark.parametrize("is_projected", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (at("A", "/top-ups"), {"amount": "500"}),
        (at("A", "/adjustments"), {"amount": "0.02", "reason": "r"}),
        (at("B", "/top-ups"), {"amount": "0.02"}),
        (at(STRANGER, "/top-ups"), {"amount": "0.02"}),
        ("/v1/accounts", {"account_id": "A"}),
    ],
)
def test_a_key_that_was_the_id_of_another_command_elsewhere_is_refused_and_not_called_done(
    api: Api, operator: httpx.Client, meter: Meter, path: str, body: dict[str, str], is_projected: bool
) -> None:
    payment = paid_elsewhere(meter)
    if is_projected:
        assert api.settings.database_url is not None
        project(meter, api.settings.database_url.get_secret_value())
    for _ in range(2):
        answer = operator.post(path, json=body, headers={"Idempotency-Key": payment})
        assert problem(answer, 409)["code"] == "key_reused"
    assert entries(meter, payment) == ONCE
    # Where the meter itself was asked, the trail says what it answered.
    row = next((r for r in operator.get("/v1/audit").json()["items"] if r["command_id"] == payment), None)
    assert row is None or (row["outcome"], row["code"]) == ("refused", "id_reused")


@pytest.mark.parametrize("is_projected", [False, True])
@pytest.mark.parametrize("amount", ["0.02", "00.02"])
def test_a_command_that_was_sent_elsewhere_is_the_same_command_however_it_was_written(
    api: Api, operator: httpx.Client, meter: Meter, amount: str, is_projected: bool
) -> None:
    payment = paid_elsewhere(meter)
    if is_projected:
        assert api.settings.database_url is not None
        project(meter, api.settings.database_url.get_secret_value())
    for _ in range(2):
        answer = operator.post(at("A", "/top-ups"), json={"amount": amount}, headers={"Idempotency-Key": payment})
        assert (answer.status_code, answer.json()["outcome"]) == (200, "done")
    assert entries(meter, payment) == ONCE


def test_at_each_door_five_is_what_five_and_no_cents_is(operator: httpx.Client, meter: Meter) -> None:
    payment = f"payment-{secrets.token_hex(4)}"
    for amount in ("5", "5.00", "5.0"):
        answer = operator.post(at("A", "/top-ups"), json={"amount": amount}, headers={"Idempotency-Key": payment})
        assert (answer.status_code, answer.json()["outcome"]) == (200, "done")
    for amount in ("5.00", "5"):
        done = meter.run("account", "topup", "A", "--amount", amount, "--command-id", payment)
        assert done.returncode == 0, done.stderr
    assert "id_reused" in meter.run("account", "topup", "A", "--amount", "50", "--command-id", payment).stderr
    assert entries(meter, payment) == [["5.00", "-5.00"]]


def test_who_was_refused_an_id_elsewhere_can_still_ask_for_the_command_that_has_it(
    api: Api, operator: httpx.Client, meter: Meter
) -> None:
    payment = {"Idempotency-Key": paid_elsewhere(meter)}
    other = operator.post(at("A", "/top-ups"), json={"amount": "500"}, headers=payment)
    assert problem(other, 409)["code"] == "key_reused"
    assert api.settings.database_url is not None
    project(meter, api.settings.database_url.get_secret_value())
    same = operator.post(at("A", "/top-ups"), json={"amount": "0.02"}, headers=payment)
    assert (same.status_code, same.json()["outcome"]) == (200, "done")
    assert problem(operator.post(at("A", "/top-ups"), json={"amount": "500"}, headers=payment), 409)
    shown = operator.get(f"/v1/commands/{payment['Idempotency-Key']}").json()
    assert (shown["outcome"], shown["code"]) == ("refused", "id_reused")  # what was given by this door


def test_the_answer_that_is_shown_is_of_the_command_that_has_the_id(
    api: Api, operator: httpx.Client, meter: Meter
) -> None:
    payment = paid_elsewhere(meter)
    other = meter.run("account", "topup", "A", "--amount", "7", "--command-id", payment)
    assert (other.returncode, "id_reused" in other.stderr) == (1, True)
    assert api.settings.database_url is not None
    project(meter, api.settings.database_url.get_secret_value())
    shown = operator.get(f"/v1/commands/{payment}").raise_for_status().json()
    assert (shown["outcome"], shown["code"]) == ("done", None)


def cursor(given: str, *values: object) -> str:
    """One of the list that has given another, with other values."""
    name, *rest = json.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    assert len(rest) == len(values)
    return base64.urlsafe_b64encode(json.dumps([name, *values]).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/v1/rejects", ("0001-01-01T00:00:00+14:00", 0, 1)),
        ("/v1/rejects", ("2019-01-01T00:00:00+00:00", 2**40, 1)),
        ("/v1/bills", ("9999-12-31T23:59:59-14:00", "x")),
        (at("A", "/notices"), ("2019-01-01T00:00:00+00:00", 2**40, 1)),
    ],
)
def test_a_cursor_with_what_no_store_can_hold_is_none(
    operator: httpx.Client, path: str, values: tuple[object, ...]
) -> None:
    after = cursor(operator.get(path, params={"limit": 1}).json()["next"], *values)
    assert problem(operator.get(path, params={"after": after}), 404)["code"] == "bad_cursor"


@pytest.mark.parametrize(
    ("name", "value"), [("from", "0001-01-01T00:00:00+14:00"), ("to", "9999-12-31T23:59:59-14:00")]
)
def test_an_instant_that_is_none_in_utc_is_refused(operator: httpx.Client, name: str, value: str) -> None:
    assert problem(operator.get("/v1/rejects", params={name: value}), 422)["code"] == "bad_fields"


def test_a_record_that_is_no_answer_does_not_cut_off_those_who_wait_for_theirs(kafka: str, tmp_path: Path) -> None:
    with Meter(kafka, tmp_path) as meter:
        meter.create()
        settings = Settings(
            bootstrap_servers=kafka, topic_prefix=meter.prefix, app_id=meter.app_id, data_dir=meter.data_dir
        )
        answer = {
            "v": 1, "command_id": "c1", "partition": 0, "status": "done", "digest": "d",
            "source": {"topic": topics.COMMANDS, "partition": 0, "offset": 0, "timestamp": 0},
        }  # fmt: skip

        async def ask() -> CommandResult:
            async with KafkaConnection(settings) as log:
                await log.need()
                async with log.answers("c1") as queue:
                    for value in (b"no answer", json.dumps(answer).encode()):
                        await asyncio.to_thread(
                            meter.produce, topics.COMMAND_RESULTS, {"value": value, "key": b"c1", "partition": 0}
                        )
                    return await asyncio.wait_for(queue.get(), 20)

        assert asyncio.run(ask()).status == "done"
