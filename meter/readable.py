"""What can be read of a record that is refused: its account, its job, and what the job would have cost.

One wrong field takes nothing from the others, and text that is no JSON, or is JSON in a wrapping, is read as far as it
goes. Nothing here makes a record count: it is for whoever looks for the money.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from meter.duration_hints import duration_hint, estimated_duration_ms
from meter.durations import NumberLiteral, as_number
from meter.hints import estimated_region, kinds_hint, region_hint
from meter.instant_hints import estimated_instant_us, instant_hint
from meter.rejects import Refusal

#: Of text that cannot be read as a whole, so much is looked at: a completion has some hundred bytes.
SCANNED_BYTES = 16_384

#: Only text that nests less is taken out of its wrapping: no reader's own limit decides.
MAX_UNWRAPPED_DEPTH = 50

_GZIP = b"\x1f\x8b"
_COMPRESSED = ((_GZIP, "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\x78\x9c", "deflate"), (b"\x04\x22\x4d\x18", "lz4"))


class Beginning(NamedTuple):
    """What begins in this way is no JSON object; what it is, in words."""

    value: re.Pattern[bytes]
    what: str


_BEGINNINGS = (
    Beginning(re.compile(rb"\xef\xbb\xbf"), "it begins with a byte-order mark: send UTF-8 without one"),
    Beginning(
        re.compile(rb"\xff\xfe|\xfe\xff|[\x09-{]\x00[\x09-{]\x00|\x00[\x09-{]\x00[\x09-{]"), "it is UTF-16: send UTF-8"
    ),
    Beginning(re.compile(rb"\xac\xed\x00\x05"), "it is a serialized Java object: send JSON"),
    Beginning(
        re.compile(rb"\x00.{4}\s*[{\[]", re.DOTALL),
        "it begins with a schema registry's five bytes: send it with a serializer that writes JSON alone",
    ),
    Beginning(re.compile(rb"\s*\["), "it is an array: each record is one completion"),
    Beginning(re.compile(rb'\s*"\s*[{\[\\]'), "it is JSON in a JSON string: send it encoded once"),
    Beginning(re.compile(rb"\s*{'"), "it is a Python object's text: encode it as JSON"),
)

_FIELDS = ("account_id", "job_id", "region", "duration_s", "completed_at")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|"|[\[\]{}:,]|[^\s"\[\]{}:,]+', re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def with_what_can_be_read(refusal: Refusal, document: Mapping[str, Any]) -> Refusal:
    """A refusal with what the members of a completion say that is no completion."""
    fields = {field: _member(document, field) for field in _FIELDS}
    return refusal._replace(
        account_id=readable_id(fields["account_id"]),
        job_id=readable_id(fields["job_id"]),
        region=estimated_region(fields["region"]),
        duration_ms=estimated_duration_ms(fields["duration_s"]),
        completed_us=estimated_instant_us(fields["completed_at"]),
    )


def _member(document: Mapping[str, Any], field: str) -> Any:
    """A field, or what stands for it where names are written in another way: `accountId` for `account_id`."""
    if field in document:
        return document[field]
    other = other_name(document, field)
    return None if other is None else document[other]


def other_name(document: Mapping[str, Any], field: str) -> str | None:
    """The one member that has a field's name in another spelling: `jobId`, `JobID`, `job-id`."""
    plain = _plain_name(field)
    found = [name for name in document if isinstance(name, str) and len(name) <= 32 and _plain_name(name) == plain]
    return found[0] if len(found) == 1 else None


def field_hint(document: Mapping[str, Any], field: str, error_type: str) -> str | None:
    """What else may be said of a field that is wrong; None where nothing is known."""
    if error_type == "missing":
        other = other_name(document, field)
        return None if other is None else f"there is {other!r}: names are as in {field!r}"
    value = document.get(field)
    if error_type == "string_type":
        number = as_number(value)
        return None if number is None else f"it is a number: send it in quotes, {number[:40]!r}"
    hint = _HINTS.get(field)
    return None if hint is None else hint(value)


_HINTS: Mapping[str, Callable[[Any], str | None]] = {
    "region": region_hint,
    "kinds": kinds_hint,
    "duration_s": duration_hint,
    "completed_at": instant_hint,
}


def _plain_name(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def readable_id(value: Any) -> str | None:
    """An id as a completion may have it."""
    if not isinstance(value, str) or not 1 <= len(value) <= 128:
        return None
    return value if value.encode(errors="replace").decode() == value else None


def scanned(value: bytes) -> dict[str, Any]:
    """The members of an object that cannot be read whole, of its beginning: those that are strings or numbers.

    Those within `data` count where the object has no `job_id`; what is said twice, and not alike, is left out.
    """
    text = _text(value)
    top: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for path, name, member in _members(text):
        into = top if not path else data
        into[name] = None if name in into and into[name] != member else member
    return top if "job_id" in top or not data else data


def _text(value: bytes) -> str:
    """The beginning of a value as text: out of gzip, of a JSON string that holds JSON, of an array of one."""
    coding = "utf-16" if value[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    if value[:2] in (b"{\x00", b"\x00{"):  # without a byte-order mark
        coding = "utf-16-le" if value[1] == 0 else "utf-16-be"
    text = (inflated(value) or value)[:SCANNED_BYTES].decode(coding, errors="replace").lstrip("\ufeff \t\r\n")
    if text[:1] not in '"[' or text.count("[") + text.count("{") > MAX_UNWRAPPED_DEPTH:
        return text
    try:
        inner = json.loads(text, strict=False)
    except ValueError:
        return ""
    if isinstance(inner, list):
        return text.strip()[1:-1] if len(inner) == 1 else ""
    return inner if isinstance(inner, str) else ""


def inflated(value: bytes) -> bytes | None:
    """What a gzip'd value holds, where that is not much; else None."""
    if value[:2] != _GZIP:
        return None
    inflating = zlib.decompressobj(wbits=31)
    try:
        data = inflating.decompress(value, SCANNED_BYTES + 1)
    except zlib.error:
        return None
    return data if inflating.eof else None


def wrapping(value: bytes, media_types: Sequence[str]) -> str | None:
    """What a value is that is no JSON object, and what is right; None where nothing tells."""
    coding = next((coding for magic, coding in _COMPRESSED if value.startswith(magic)), None)
    if coding is not None:
        return f"it is compressed with {coding}: send it as it is, Kafka compresses batches by compression.type"
    unread = [kind for kind in media_types if kind.startswith("application/cloudevents") and "json" not in kind]
    if unread:
        return f"its content type is {unread[0][:80]!r}: send application/cloudevents+json"
    return next((each.what for each in _BEGINNINGS if each.value.match(value)), None)


def _members(text: str) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """The scalar members of the outermost object and of its `data`, each with its path, as far as tokens go."""
    path: list[str] = []
    name: Any = None  # of the member whose value comes next
    before: Any = None  # a string that may be a name
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == '"' or (match.end() == len(text) and token not in "]}"):
            return  # cut: who knows how it went on
        if token == ":":
            name, before = before, None
            continue
        if token in "{[":
            path.append(f"{token}{name or ''}")
        elif token in "]}":
            del path[-1:]
        elif token != "," and name is None:
            before = _scalar(token)
            continue
        elif token != "," and isinstance(name, str) and path in (["{"], ["{", "{data"]):
            yield tuple(path[1:]), name, _scalar(token)
        name = before = None


def _scalar(token: str) -> Any:
    """A string or a number; None for all else, and for text that was no UTF-8."""
    if token[0] != '"':
        return NumberLiteral(token) if _NUMBER.fullmatch(token) else None
    try:
        text = json.loads(token, strict=False)
    except ValueError:
        return None
    return None if "\ufffd" in text else text
