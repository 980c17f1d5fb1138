"""What a record becomes as a message: its id, its type and its body are functions of the record alone."""

import hashlib
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from meter import topics

#: What an endpoint may ask for -> the topic that it comes from.
EVENTS = {"bill": topics.BILLS, "notice": topics.NOTICES, "service": topics.SERVICE}
EVENT_OF = {topic: event for event, topic in EVENTS.items()}


class Message(NamedTuple):
    """One message: `event` is what endpoints ask for, `payload` the body, `recorded_at` when Kafka took the record."""

    message_id: str
    event: str
    account_id: str
    payload: str
    recorded_at: datetime


class _Record(msgspec.Struct):
    """What a message needs to know of a record of either topic."""

    account_id: str
    kind: str = ""
    issued_at: str = ""
    at: str = ""
    since: str = ""


_read = msgspec.json.Decoder(_Record).decode


def message_of(topic: str, value: bytes, timestamp_ms: int) -> Message:
    """The message of a record; `topic` without the prefix."""
    record, event = _read(value), EVENT_OF[topic]
    kind = {"bill": "bill.issued", "service": "service.changed"}.get(event, f"notice.{record.kind}")
    when = record.issued_at or record.at or record.since
    payload = f'{{"type":"{kind}","timestamp":"{when}","data":{value.decode()}}}'
    recorded_at = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    return Message(message_id(topic, value), event, record.account_id, payload, recorded_at)


def message_id(topic: str, value: bytes) -> str:
    """The id by which a receiver knows a message that it has had: the same record, the same id."""
    return f"msg_{hashlib.sha256(topic.encode() + b' ' + value).hexdigest()[:32]}"
