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
from streams.http.kafka import Log
from streams.settings import Settings
from tests.api.conftest import project
from tests.api.serving import Api, at, problem
from tests.integration.running import Meter


def test_a_key_that_was_the_id_of_another_command_elsewhere_is_refused_and_not_called_done(
    api: Api, operator: httpx.Client, meter: Meter
) -> None:
    payment = f"payment-{secrets.token_hex(4)}"
    done = meter.run("account", "topup", "A", "--amount", "0.02", "--command-id", payment)
    assert done.returncode == 0, done.stderr
    assert api.settings.database_url is not None
    project(meter, api.settings.database_url.get_secret_value())
    answer = operator.post(at("A", "/top-ups"), json={"amount": "500"}, headers={"Idempotency-Key": payment})
    assert problem(answer, 409)["code"] == "key_reused"
    assert payment not in json.dumps(operator.get("/v1/audit").json())


def test_a_command_that_was_sent_elsewhere_word_for_word_is_the_same_command(
    api: Api, operator: httpx.Client, meter: Meter
) -> None:
    payment = f"payment-{secrets.token_hex(4)}"
    done = meter.run("account", "topup", "A", "--amount", "0.02", "--command-id", payment)
    assert done.returncode == 0, done.stderr
    assert api.settings.database_url is not None
    project(meter, api.settings.database_url.get_secret_value())
    answer = operator.post(at("A", "/top-ups"), json={"amount": "0.02"}, headers={"Idempotency-Key": payment})
    assert answer.json()["outcome"] == "done"
    assert len([row for row in meter.rows("billing.ledger") if row["reference"] == payment]) == 1


def cursor(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("path", "after"),
    [
        ("/v1/rejects", cursor("0001-01-01T00:00:00+14:00", 0, 1)),
        ("/v1/rejects", cursor("2019-01-01T00:00:00+00:00", 2**40, 1)),
        ("/v1/bills", cursor("9999-12-31T23:59:59-14:00", "x")),
        (at("A", "/notices"), cursor("2019-01-01T00:00:00+00:00", 2**40, 1)),
    ],
)
def test_a_cursor_with_what_no_store_can_hold_is_none(operator: httpx.Client, path: str, after: str) -> None:
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
            "v": 1, "command_id": "c1", "partition": 0, "status": "done",
            "source": {"topic": topics.COMMANDS, "partition": 0, "offset": 0, "timestamp": 0},
        }  # fmt: skip

        async def ask() -> CommandResult:
            async with Log(settings) as log:
                await log.need()
                async with log.answers("c1") as queue:
                    for value in (b"no answer", json.dumps(answer).encode()):
                        await asyncio.to_thread(
                            meter.produce, topics.COMMAND_RESULTS, {"value": value, "key": b"c1", "partition": 0}
                        )
                    return await asyncio.wait_for(queue.get(), 20)

        assert asyncio.run(ask()).status == "done"
