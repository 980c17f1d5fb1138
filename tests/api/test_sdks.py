"""What the official SDKs of Python, Java, Go and JavaScript send, to a real server and to a real Kafka, is priced."""

import base64
import json
from typing import Any

import httpx
import pytest

from meter.routing import owner
from tests.integration.running import COMPLETED, Meter
from tests.sdk.messages import SentMessage, all_sent

pytestmark = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)

#: Of the day that the meter is in, in place of the one that was sent: texts of the same length.
WHEN, NOW = b"2026-01-01T12:00:00+08:00", b"2019-01-03T20:00:00+08:00"
AT_MS = 1_546_516_801_000
#: What a client says for itself, and the one of this test too.
OF_THE_CLIENT = {"content-length", "accept-encoding", "user-agent"}


def as_now(sent: SentMessage, number: int) -> bytes:
    """A body whose job is one of its own, and of today; all else is as it was sent."""
    document = json.loads(sent.body)
    coded = document.get("data_base64")
    if coded is not None:
        return sent.body.replace(coded.encode(), base64.b64encode(_now(base64.b64decode(coded), number)))
    return _now(sent.body, number)


def _now(data: bytes, number: int) -> bytes:
    return data.replace(WHEN, NOW).replace(b"sdk-", f"sdk-{number}-".encode())


def test_each_message_of_an_sdk_is_priced(operator: httpx.Client, meter: Meter) -> None:
    records: list[dict[str, Any]] = []
    wanted = set()
    for number, sent in enumerate(all_sent()):
        body = as_now(sent, number)
        wanted.add(f"sdk-{number}-{sent.sdk.split()[0]}")
        if sent.door == "http":
            headers = [(name, value or "") for name, value in sent.headers if name.lower() not in OF_THE_CLIENT]
            answer = operator.post("/v1/jobs", content=body, headers=headers)
            assert (answer.status_code, answer.json()) == (202, {"accepted": 1}), (sent.name, answer.text)
        else:
            place = owner("A", meter.partitions)
            named = [(name, None if value is None else value.encode()) for name, value in sent.headers]
            records.append({"value": body, "headers": named, "partition": place, "timestamp": AT_MS})
    meter.produce(COMPLETED, *records)
    meter.wait_folded()
    assert wanted - {row["job_id"] for row in meter.rows("usage.priced")} == set()
