"""What a record becomes as a message: its id, its type and its body are functions of the record alone."""

import hashlib
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from meter import topics
from meter.readback import PublishedBill, PublishedNotice, PublishedService

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


_bill = msgspec.json.Decoder(PublishedBill).decode
_notice = msgspec.json.Decoder(PublishedNotice).decode
_service = msgspec.json.Decoder(PublishedService).decode


def message_of(topic: str, value: bytes, timestamp_ms: int) -> Message:
    """The message of a record; `topic` without the prefix."""
    account_id, kind, when = _said_by(topic, value)
    payload = f'{{"type":"{kind}","timestamp":"{when}","data":{value.decode()}}}'
    recorded_at = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    return Message(message_id(topic, value), EVENT_OF[topic], account_id, payload, recorded_at)


def _said_by(topic: str, value: bytes) -> tuple[str, str, str]:
    """Account, type of message, and instant of a record."""
    if topic == topics.BILLS:
        bill = _bill(value)
        return bill.account_id, "bill.issued", bill.issued_at
    if topic == topics.NOTICES:
        notice = _notice(value)
        return notice.account_id, f"notice.{notice.kind}", notice.at
    service = _service(value)
    return service.account_id, "service.changed", service.since


def message_id(topic: str, value: bytes) -> str:
    """The id by which a receiver knows a message that it has had: the same record, the same id."""
    return f"msg_{hashlib.sha256(topic.encode() + b' ' + value).hexdigest()[:32]}"
