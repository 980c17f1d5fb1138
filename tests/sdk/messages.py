"""Messages of the official SDKs: those that were written down, and those that Python's SDK makes now."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cloudevents.core.bindings import http as http_binding
from cloudevents.core.bindings import kafka as kafka_binding
from cloudevents.core.v1.event import CloudEvent as NewEvent
from cloudevents.v1 import kafka as old_kafka
from cloudevents.v1.conversion import to_binary, to_structured
from cloudevents.v1.http import CloudEvent as OldEvent

from meter.models import CLOUD_EVENT_TYPE
from tests.builders import completion

HERE = Path(__file__).parent
RECORDED = ("java", "go", "javascript")
ATTRIBUTES = {"type": CLOUD_EVENT_TYPE, "source": "/sdk"}


class SentMessage(NamedTuple):
    """A message by HTTP or on Kafka: what sent it, its mode, its headers and its body."""

    sdk: str
    door: str
    mode: str
    headers: tuple[tuple[str, str | None], ...]
    body: bytes

    @property
    def name(self) -> str:
        return f"{self.sdk}, {self.door}, {self.mode}"


def recorded(sdk: str) -> Iterator[SentMessage]:
    """What an SDK sent when it was run."""
    for line in (HERE / f"{sdk}.jsonl").read_text().splitlines():
        sent = json.loads(line)
        headers = tuple((name, value) for name, value in sent["headers"])
        yield SentMessage(sdk, sent["door"], sent["mode"], headers, base64.b64decode(sent["body"]))


def of_python() -> Iterator[SentMessage]:
    """What Python's SDK sends, in both of its interfaces, as it comes by default."""
    data = completion(job_id="sdk-python")
    raw = json.dumps(data).encode()
    for kind, typed, each in (
        ("data", {}, data), ("bytes", {}, raw), ("typed", {"datacontenttype": "application/json"}, data),
    ):  # fmt: skip
        yield from _new(kind, NewEvent(attributes={**_whole(), **typed}, data=each))
        yield from _old(kind, OldEvent({**ATTRIBUTES, **typed}, each))


def _whole() -> dict[str, Any]:
    return {**ATTRIBUTES, "id": "7", "specversion": "1.0"}


def _new(kind: str, event: NewEvent) -> Iterator[SentMessage]:
    for mode, sent in (
        ("binary", http_binding.to_binary_event(event)), ("structured", http_binding.to_structured_event(event)),
    ):  # fmt: skip
        yield SentMessage("python", "http", f"{mode}, {kind}", tuple(sent.headers.items()), sent.body)
    for mode, message in (
        ("binary", kafka_binding.to_binary_event(event)), ("structured", kafka_binding.to_structured_event(event)),
    ):  # fmt: skip
        yield SentMessage("python", "kafka", f"{mode}, {kind}", _texts(message.headers), message.value)


def _old(kind: str, event: OldEvent) -> Iterator[SentMessage]:
    is_bytes = isinstance(event.get_data(), bytes)
    marshal = (lambda data: data) if is_bytes else None
    for mode, (headers, body) in (("binary", to_binary(event, marshal)), ("structured", to_structured(event))):
        sent = body if isinstance(body, bytes) else str(body).encode()
        yield SentMessage("python 1", "http", f"{mode}, {kind}", tuple(headers.items()), sent)
    if "datacontenttype" not in event.get_attributes():
        return  # it cannot make a message for Kafka of such an event
    for mode, message in (
        ("binary", old_kafka.to_binary(event, marshal)), ("structured", old_kafka.to_structured(event)),
    ):  # fmt: skip
        value = message.value if isinstance(message.value, bytes) else message.value.encode()
        yield SentMessage("python 1", "kafka", f"{mode}, {kind}", _texts(message.headers), value)


def _texts(headers: dict[str, bytes]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value.decode()) for name, value in headers.items())


def all_sent() -> list[SentMessage]:
    """Every message that says that it is an event."""
    return [sent for sdk in RECORDED for sent in recorded(sdk) if sent.door != "plain"] + list(of_python())
