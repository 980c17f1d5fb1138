"""Refused records once more: as they came, or corrected, to the partition of their account."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from meter.events import Form, Headers, form_of
from meter.intake import read_job
from meter.keys import once_each
from meter.models import Rejected
from meter.records import ORIGIN_HEADER
from meter.rejects import FINAL_CODES, Code, Refusal
from meter.routing import owner
from streams.completions.submit import in_calendar
from streams.errors import SettingError
from streams.published.read import PartitionOffset

FIELDS = ("job_id", "account_id", "region", "kinds", "duration_s", "completed_at")

REMEDY = {
    Code.TOO_OLD: "the horizon has passed, so that it could not be told from a duplicate",
    Code.CONFLICT: "a job with this id was metered with other content",
}


_WHOLE = json.JSONDecoder(parse_int=str, parse_float=str)


class Resend(NamedTuple):
    """A record to send again, and the job that it will be read as."""

    position: PartitionOffset
    account_id: str
    job_id: str
    completed_us: int
    partition: int
    value: bytes
    headers: list[tuple[str, bytes | None]]


class Kept(NamedTuple):
    """A refused record that is not sent again, and why."""

    position: PartitionOffset
    reason: str


class _CannotCorrectError(Exception):
    pass


def read_changes(settings: Sequence[str]) -> dict[str, bytes]:
    """`field=value` texts as fields and their JSON; kinds are listed with commas. Raises SettingError."""
    changes = {}
    for text in settings:
        field, equals, value = text.partition("=")
        if not equals or field not in FIELDS:
            raise SettingError(f"--set takes field=value with a field of {', '.join(FIELDS)}, got {text!r}")
        if field in changes:
            raise SettingError(f"--set {field}=... is given more than once: which is meant?")
        kinds = [kind.strip() for kind in value.split(",") if kind.strip()]
        changes[field] = msgspec.json.encode(kinds if field == "kinds" else value)
    return changes


def final_reason(code: str) -> str | None:
    """Why records of this code are never sent again, and what to do instead; None where it makes sense."""
    if code not in FINAL_CODES:
        return None
    return f"{code}: {REMEDY[Code(code)]}, so it would only be refused again; the remedy is an adjustment"


def prepare(
    position: PartitionOffset, rejected: Rejected, changes: Mapping[str, bytes], partitions: int
) -> Resend | Kept:
    """What to do with one refused record."""
    reason = final_reason(rejected.code)
    if reason is not None:
        return Kept(position, reason)
    if rejected.truncated is not None:
        original = f"{rejected.truncated.bytes} bytes, SHA-256 {rejected.truncated.sha256}"
        return Kept(position, f"only the beginning of the record was kept; submit the original ({original})")
    headers: list[tuple[str, bytes | None]] = [
        (header.key, None if header.value is None else base64.b64decode(header.value))
        for header in rejected.headers
        if header.key != ORIGIN_HEADER
    ]
    value = b"" if rejected.record is None else base64.b64decode(rejected.record)
    try:
        value = corrected(value, headers, changes) if changes else value
    except _CannotCorrectError as error:
        return Kept(position, str(error))
    job = in_calendar(read_job(value, headers))
    if isinstance(job, Refusal):
        return Kept(position, f"it would be refused again: {job.code}: {job.message}")
    home = owner(job.account_id, partitions)
    return Resend(position, job.account_id, job.job_id, job.completed_us, home, value, headers)


def corrected(value: bytes, headers: Headers, changes: Mapping[str, bytes]) -> bytes:
    """The record with some fields replaced; all else, also how numbers are written, stays as it came."""
    document, clear = _parts(value, changes)
    if form_of(clear, headers) is not Form.STRUCTURED:
        return _encode(document, changes)
    document["data"] = _encode(_parts(_event_data(document), changes)[0], changes)
    return _encode(document, {})


def members(value: bytes) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The members of a JSON object, each as it is written, the last of those of one name; and what they say, of the
    names that stand there once. Raises ValueError."""
    text = value.decode()
    clear, _ = once_each(text)
    if not isinstance(clear, dict):
        raise ValueError
    found: dict[str, bytes] = {}
    at = _after_blanks(text, text.index("{") + 1)
    while text[at] == '"':
        name, at = _WHOLE.raw_decode(text, at)
        begin = _after_blanks(text, _after_blanks(text, at) + 1)
        _, at = _WHOLE.raw_decode(text, begin)
        found[name] = text[begin:at].encode()
        at = _after_blanks(text, at)
        at = _after_blanks(text, at + 1) if text[at] == "," else at
    return found, clear


def _after_blanks(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def _event_data(document: dict[str, bytes]) -> bytes:
    """The data of a CloudEvent, which may be wrapped in base64."""
    if all(document.get(name, b"null") != b"null" for name in ("data", "data_base64")):
        raise _CannotCorrectError("it has both data and data_base64; submit a corrected record")
    wrapped = document.pop("data_base64", b"null")
    if wrapped == b"null":
        return document.get("data", b"{}")
    try:
        return base64.b64decode(msgspec.json.decode(wrapped, type=str), validate=True)
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise _CannotCorrectError("its data_base64 cannot be read; submit a corrected record") from error


def _parts(value: bytes, changes: Mapping[str, bytes]) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The fields of an object, each as it is written, and read; of those that are changed any will do."""
    try:
        parts, clear = members(value)
    except (ValueError, RecursionError) as error:
        raise _CannotCorrectError("it is no JSON object, so --set cannot correct it; submit a new record") from error
    for name in parts:
        if name not in clear and name not in changes:
            raise _CannotCorrectError(f"it has the key {name[:128]!r} more than once: which is meant, --set must say")
    return parts, clear


def _encode(document: Mapping[str, bytes], changes: Mapping[str, bytes]) -> bytes:
    parts = {**document, **changes}
    return b"{" + b",".join(json.dumps(name).encode() + b":" + part for name, part in parts.items()) + b"}"
