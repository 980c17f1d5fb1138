"""CloudEvents 1.0 around completions: which form a record has, and the completion within.

The content type decides, as the Kafka binding says: `application/cloudevents+json` is an event in structured mode, and
whatever `ce_` headers it has besides are only a copy. Else those headers make it an event in binary mode, whose value
is the completion. Without either, an object with a `specversion` that no completion has is an event too.
"""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from meter.durations import NumberLiteral
from meter.models import CLOUD_EVENT_TYPE
from meter.readable import scanned
from meter.rejects import Code, Refusal

Headers = Sequence[tuple[str, bytes | None]]
Document = dict[str, Any]

SPEC_VERSION = "1.0"
STRUCTURED_TYPE = "application/cloudevents+json"
#: Some producers leave the format out: JSON is the one that every one of them has.
_STRUCTURED_TYPES = (STRUCTURED_TYPE, "application/cloudevents")
CONTENT_TYPE = "content-type"
_EVENT_PREFIX = "application/cloudevents"
#: The attributes that tell an event in binary mode.
_TELLING = ("ce_specversion", "ce_type")


class Form(StrEnum):
    """What a record is: the completion itself, or an event, with the completion as its value or within it."""

    PLAIN = "plain"
    BINARY = "binary"
    STRUCTURED = "structured"


class Unwrapped(NamedTuple):
    """The completion of a record, empty where it has none, and why the record is refused."""

    completion: Document
    refusal: Refusal | None = None


def named_types(headers: Headers) -> list[str]:
    """The media types that a record's headers name, in lower case and without parameters."""
    named = (value for name, value in headers if value is not None and name.lower() == CONTENT_TYPE)
    return [value.partition(b";")[0].strip().lower().decode("latin-1") for value in named]


def _event_types(headers: Headers) -> list[str]:
    return [kind for kind in named_types(headers) if kind.startswith(_EVENT_PREFIX)]


def says_event(headers: Headers) -> bool:
    """Whether headers say that a record is a CloudEvent. Most records have none."""
    for name, value in headers:
        lower = name.lower()
        if lower in _TELLING:
            return True
        if lower == CONTENT_TYPE and value is not None and value.strip()[:23].lower() == _EVENT_PREFIX.encode():
            return True
    return False


def form_of(document: Mapping[str, Any], headers: Headers) -> Form:
    """What a record is, by its headers and then by the members of its value."""
    if headers:
        if _event_types(headers):
            return Form.STRUCTURED
        if any(name.lower() in _TELLING for name, _ in headers):
            return Form.BINARY
    if "job_id" in document:  # no attribute of an event can have that name
        return Form.PLAIN
    is_event = "specversion" in document or document.get("type") == CLOUD_EVENT_TYPE
    return Form.STRUCTURED if is_event else Form.PLAIN


def unwrap(document: Document, headers: Headers, parse: Callable[[bytes], Document | Refusal]) -> Unwrapped:
    """The completion of a record. Every field comes from the data; the envelope's id and time are ignored."""
    form = form_of(document, headers)
    if form is Form.PLAIN:
        return Unwrapped(document)
    if form is Form.BINARY:
        return Unwrapped(document, _wrong_attributes(document, headers))
    unread = [kind for kind in _event_types(headers) if kind not in _STRUCTURED_TYPES]
    if unread:
        return Unwrapped({}, _wrong(f"content-type: a CloudEvent must be {STRUCTURED_TYPE}, got {unread[0][:128]!r}"))
    completion, wrong_data = _data(document, parse)
    return Unwrapped(completion, _wrong_envelope(document) or wrong_data)


def _wrong(message: str) -> Refusal:
    return Refusal(Code.BAD_FIELDS, message)


def _wrong_attributes(document: Document, headers: Headers) -> Refusal | None:
    """What is wrong with an event in binary mode. An attribute that is there twice must say the same."""
    versions, kinds = ({value for name, value in headers if name.lower() == told} for told in _TELLING)
    if versions != {SPEC_VERSION.encode()}:
        return _wrong_version("ce_specversion", *sorted((value or b"").decode(errors="replace") for value in versions))
    if kinds != {CLOUD_EVENT_TYPE.encode()}:
        return _wrong_type(*sorted((value or b"").decode(errors="replace") for value in kinds))
    if "specversion" in document and "job_id" not in document:
        return _wrong(
            "data: the value is an event itself, but its ce_ headers say binary mode: "
            "send a content-type of application/cloudevents+json"
        )
    return None


def _wrong_envelope(document: Document) -> Refusal | None:
    if document.get("specversion") != SPEC_VERSION:
        return _wrong_version("specversion", *_told(document, "specversion"))
    if document.get("type") != CLOUD_EVENT_TYPE:
        return _wrong_type(*_told(document, "type"))
    return None


def _told(document: Document, name: str) -> list[str]:
    """What an attribute says; nothing where it is not there."""
    value = document.get(name)
    if value is None:
        return []
    return [value if isinstance(value, str) else value.text if isinstance(value, NumberLiteral) else "no string"]


def _wrong_version(name: str, *versions: str) -> Refusal:
    return _wrong(f"{name}: a CloudEvent must be of version 1.0, got {_shown(versions)}")


def _wrong_type(*kinds: str) -> Refusal:
    return _wrong(f"type: a CloudEvent must be {CLOUD_EVENT_TYPE}, got {_shown(kinds)}")


def _shown(values: Sequence[str]) -> str:
    return " and ".join(repr(value[:128]) for value in values[:2]) or "none"


def _data(document: Document, parse: Callable[[bytes], Document | Refusal]) -> Unwrapped:
    """The completion in an event's `data` or `data_base64`: which of two would be meant is not guessed."""
    plain, coded = document.get("data"), document.get("data_base64")
    if coded is None:
        return _needs_object(plain)
    decoded = _decoded(coded, parse)
    if plain is None:
        return decoded
    goes_first = decoded.refusal is not None and decoded.refusal.code is not Code.BAD_FIELDS
    refusal = decoded.refusal if goes_first else _wrong("data: a CloudEvent has data or data_base64, and not both")
    both = [data for data in (plain, decoded.completion) if data and isinstance(data, dict)]
    return Unwrapped(_in_all(both) if both else {}, refusal)


def _needs_object(data: Any) -> Unwrapped:
    if isinstance(data, dict):
        return Unwrapped(data)
    is_text = isinstance(data, str) and data.lstrip()[:1] == "{"
    if not is_text:
        return Unwrapped({}, _wrong("data: a CloudEvent of a completion needs a JSON object"))
    refusal = _wrong("data: it is JSON in a string: send the object itself")
    return Unwrapped(scanned(data.encode(errors="replace")), refusal)


def _decoded(coded: Any, parse: Callable[[bytes], Document | Refusal]) -> Unwrapped:
    try:
        data = base64.b64decode(coded, validate=True) if isinstance(coded, str) else None
    except (binascii.Error, ValueError):
        data = None
    if data is None:
        return Unwrapped({}, _wrong("data_base64: must be a JSON object in base64"))
    document = parse(data)
    return Unwrapped(scanned(data), document) if isinstance(document, Refusal) else Unwrapped(document)


def _in_all(documents: Sequence[Document]) -> Document:
    """The members that all of some objects agree on."""
    first, *others = documents
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}
