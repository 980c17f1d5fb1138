"""Intake: the bytes of a completion record to a job, or to the reason why it is refused.

Two readers, one contract. `read_carefully` is the contract: standard JSON into the pydantic model. `read_job` reads
the common form several times faster and hands everything it is not sure of to the careful one, so all refusals come
from there; a property test holds that the two read every input alike.
"""

import base64
import binascii
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from pydantic import ValidationError

from meter.keys import OnceEach, no_such_constant, repeats_a_key
from meter.models import CLOUD_EVENT_TYPE, JobCompleted, NumberLiteral
from meter.periods import instant_us
from meter.regions import REGION_CODES
from meter.rejects import PRECEDENCE, Code, Refusal
from meter.rounding import duration_ms, duration_text, plain_duration_ms

Headers = Sequence[tuple[str, bytes | None]]

#: Deeper nesting is refused by rule, so that no reader's own limit decides.
MAX_DEPTH = 100
#: No completion with all its fields that is this short nests deeper.
_SHALLOW_BYTES = 300
#: The quotes of six keys and of four texts; each kind has two more.
_QUOTES = 20

_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class Job(NamedTuple):
    """A completion that was read: the normalised contract fields."""

    job_id: str
    account_id: str
    region: str  # as outputs say it
    kinds: str  # canonical JSON: sorted, each once
    duration_ms: int
    duration_s: str  # canonical text
    completed_us: int
    completed_at: str  # as it came


class _PlainCompletion(msgspec.Struct, gc=False):
    job_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    account_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    region: str
    kinds: Annotated[
        tuple[Literal["face", "frame_tag", "opening_ending", "speech", "text"], ...],
        msgspec.Meta(min_length=1, max_length=5),
    ]
    duration_s: msgspec.Raw
    completed_at: str


_decode = msgspec.json.Decoder(_PlainCompletion).decode
_code_of = REGION_CODES.get
_new_tuple = tuple.__new__


def read_job(value: bytes | None, headers: Headers) -> Job | Refusal:
    """A record's job, or its refusal: the fast reader."""
    if (
        value is None
        or (len(value) > _SHALLOW_BYTES and value.count(b"{") + value.count(b"[") > MAX_DEPTH)
        or (headers and is_cloud_event(headers))
    ):
        return read_carefully(value, headers)
    try:
        plain = _decode(value)
        if not value.isascii():
            value.decode()  # the decoder leaves fields that it skips unchecked
        literal = bytes(plain.duration_s)
        quotes = _QUOTES + 2 * len(plain.kinds) + (2 if literal[0] == 34 else 0)
        # Of a key that stands there twice, the decoder takes the last: there are more quotes than it has read then.
        if value.count(b'"') != quotes and repeats_a_key(value):
            return read_carefully(value, headers)
    except (msgspec.MsgspecError, ValueError):
        return read_carefully(value, headers)
    region = _code_of(plain.region)
    milliseconds = plain_duration_ms(literal)
    completed_us = instant_us(plain.completed_at)
    if region is None or milliseconds is None or milliseconds > 31_536_000_000 or completed_us is None:
        return read_carefully(value, headers)
    return _new_tuple(
        Job,
        (
            plain.job_id,
            plain.account_id,
            region,
            kinds_json(plain.kinds),
            milliseconds,
            # Most are their own canonical text: one that ends in a zero may not be.
            duration_text(milliseconds) if literal[-1] == 48 else literal.decode(),
            completed_us,
            plain.completed_at,
        ),
    )


@lru_cache(maxsize=4096)
def kinds_json(kinds: tuple[str, ...]) -> str:
    """Canonical JSON of a job's kinds: sorted, each once."""
    return msgspec.json.encode(sorted(set(kinds))).decode()


def read_carefully(value: bytes | None, headers: Headers) -> Job | Refusal:
    """A record's job, or its refusal: the contract, with reasons."""
    document = _parse(value)
    if isinstance(document, dict):
        document = _unwrap(document, headers)
    if isinstance(document, Refusal):
        return document
    try:
        job = JobCompleted.model_validate(document)
    except ValidationError as error:
        return _refusal(document, error)
    return Job(
        job.job_id,
        job.account_id,
        job.region,
        kinds_json(job.kinds),
        job.duration_ms,
        duration_text(job.duration_ms),
        job.completed_us,
        job.completed_at,
    )


def _parse(value: bytes | None) -> dict[str, Any] | Refusal:
    if value is None:
        return Refusal(Code.NOT_JSON, "the value is null")
    try:
        text = value.decode()
        if too_deep(text):
            return Refusal(Code.NOT_JSON, f"nested deeper than {MAX_DEPTH} levels")
        keys = OnceEach()
        document = json.loads(
            text,
            object_pairs_hook=keys,
            parse_int=NumberLiteral,
            parse_float=NumberLiteral,
            parse_constant=no_such_constant,
        )
    except ValueError as error:  # also UnicodeDecodeError and JSONDecodeError
        return Refusal(Code.NOT_JSON, f"not JSON: {error}")
    if not isinstance(document, dict):
        return Refusal(Code.NOT_JSON, "not a JSON object")
    if keys.repeated is not None:
        data = document.get("data") if _is_envelope(document) else document
        return _refuse(data if isinstance(data, dict) else {}, Code.DUPLICATE_KEY, keys.reason)
    return document


def too_deep(text: str) -> bool:
    """Whether JSON text nests deeper than `MAX_DEPTH`."""
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    depth = deepest = 0
    for bracket in re.findall(r"[\[{\]}]", _JSON_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH


def is_cloud_event(headers: Headers) -> bool:
    """Whether the record is a CloudEvent in binary mode: its attributes are headers, its value is the data."""
    return any(name == "ce_specversion" for name, _ in headers)


def _unwrap(document: dict[str, Any], headers: Headers) -> dict[str, Any] | Refusal:
    """The data of a CloudEvent (1.0, binary or structured), or the document itself where it is none.

    Every field comes from the data; the envelope's id and time are ignored.
    """
    if is_cloud_event(headers):
        kind = next((value for name, value in headers if name == "ce_type"), None)
        return document if kind == CLOUD_EVENT_TYPE.encode() else _wrong_type((kind or b"").decode(errors="replace"))
    if not _is_envelope(document):
        return document
    if document.get("type") != CLOUD_EVENT_TYPE:
        return _wrong_type(str(document.get("type")))
    data = document.get("data")
    if isinstance(document.get("data_base64"), str):
        try:
            data = _parse(base64.b64decode(document["data_base64"], validate=True))
        except (binascii.Error, ValueError):
            data = None
    if isinstance(data, dict | Refusal):
        return data
    return Refusal(Code.BAD_FIELDS, "data: a CloudEvent of a completion needs a JSON object")


def _is_envelope(document: dict[str, Any]) -> bool:
    """Whether it is a structured CloudEvent; none of its attributes can be called `job_id`."""
    return "specversion" in document and "job_id" not in document


def _wrong_type(kind: str) -> Refusal:
    return Refusal(Code.BAD_FIELDS, f"type: a CloudEvent must be {CLOUD_EVENT_TYPE}, got {kind[:128]!r}")


def _refusal(document: dict[str, Any], error: ValidationError) -> Refusal:
    """The refusal that comes first in order of precedence, with whatever else could be read."""
    reasons = [(_code(detail["type"]), detail["loc"], detail["msg"]) for detail in error.errors(include_url=False)]
    code, where, message = min(reasons, key=lambda reason: PRECEDENCE[reason[0]])
    where_text = ".".join(str(part) for part in where)
    return _refuse(document, code, f"{where_text}: {message.removeprefix('Value error, ')}")


def _refuse(document: dict[str, Any], code: Code, message: str) -> Refusal:
    region, completed_at = document.get("region"), document.get("completed_at")
    return Refusal(
        code,
        message,
        account_id=readable_id(document.get("account_id")),
        job_id=readable_id(document.get("job_id")),
        region=REGION_CODES.get(region) if isinstance(region, str) else None,
        duration_ms=_readable_duration(document.get("duration_s")),
        completed_us=instant_us(completed_at) if isinstance(completed_at, str) else None,
    )


def _code(error_type: str) -> Code:
    return Code(error_type) if error_type in PRECEDENCE else Code.BAD_FIELDS


def readable_id(value: Any) -> str | None:
    """An id that outputs can say, where a value is one."""
    if not isinstance(value, str) or not 1 <= len(value) <= 128:
        return None
    return value if value.encode(errors="replace").decode() == value else None


def _readable_duration(value: Any) -> int | None:
    if isinstance(value, NumberLiteral):
        return duration_ms(value.text)
    return duration_ms(value) if isinstance(value, str) and value.replace(".", "", 1).isdecimal() else None
