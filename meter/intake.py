"""Intake: the bytes of a completion record to a job, or to the reason why it is refused.

Two readers, one contract. `read_carefully` is the contract: standard JSON into the pydantic model. `read_job` reads
the common form several times faster and hands everything it is not sure of to the careful one, so all refusals come
from there; a property test holds that the two read every input alike.
"""

import json
from functools import lru_cache
from itertools import accumulate
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from pydantic import ValidationError

from meter.durations import NumberLiteral, duration_text, plain_duration_ms
from meter.events import Headers, named_types, says_event, unwrap
from meter.keys import OnceEach, no_such_constant, repeats_a_key
from meter.models import JobCompleted
from meter.periods import instant_us
from meter.readable import field_hint, scanned, with_what_can_be_read, wrapping
from meter.regions import REGION_CODES
from meter.rejects import PRECEDENCE, Code, Refusal

#: Deeper nesting is refused by rule, so that no reader's own limit decides.
MAX_DEPTH = 100
#: No completion with all its fields that is this short nests deeper.
_SHALLOW_BYTES = 300
#: The quotes of six keys and of four texts; each kind has two more.
_QUOTES = 20

#: What a bracket does to the depth; all other bytes are left out.
_DEEPER = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_OTHERS = bytes(set(range(256)) - set(_DEEPER))


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
_fields = msgspec.structs.astuple
_code_of = REGION_CODES.get
_new_tuple = tuple.__new__


def read_job(value: bytes | None, headers: Headers) -> Job | Refusal:
    """A record's job, or its refusal: the fast reader."""
    if (
        value is None
        or (len(value) > _SHALLOW_BYTES and value.count(b"{") + value.count(b"[") > MAX_DEPTH)
        or (headers and says_event(headers))
    ):
        return read_carefully(value, headers)
    try:
        plain = _decode(value)
        if not value.isascii():
            value.decode()  # the decoder leaves fields that it skips unchecked
        job_id, account_id, region, kinds, raw, completed_at = _fields(plain)
        literal = bytes(raw)
        # Of a key that stands there twice, the decoder takes the last: there are more quotes than it has read then.
        quotes = value.count(b'"') - 2 * len(kinds)
        if quotes != _QUOTES and (quotes != _QUOTES + 2 or literal[0] != 34) and repeats_a_key(value):
            return read_carefully(value, headers)
    except (msgspec.MsgspecError, ValueError):
        return read_carefully(value, headers)
    code = _code_of(region)
    milliseconds = plain_duration_ms(literal)
    completed_us = instant_us(completed_at)
    if code is None or milliseconds is None or milliseconds > 31_536_000_000 or completed_us is None:
        return read_carefully(value, headers)
    return _new_tuple(
        Job,
        (
            job_id,
            account_id,
            code,
            kinds_json(kinds),
            milliseconds,
            # Most are their own canonical text: one that ends in a zero may not be.
            duration_text(milliseconds) if literal[-1] == 48 else literal.decode(),
            completed_us,
            completed_at,
        ),
    )


@lru_cache(maxsize=4096)
def kinds_json(kinds: tuple[str, ...]) -> str:
    """Canonical JSON of a job's kinds: sorted, each once."""
    return msgspec.json.encode(sorted(set(kinds))).decode()


def read_carefully(value: bytes | None, headers: Headers) -> Job | Refusal:
    """A record's job, or its refusal: the contract, with reasons."""
    document = _parse(value)
    if isinstance(document, Refusal):
        return document if value is None else _not_read(document, value, headers)
    completion, refusal = unwrap(document, headers, _parse)
    if refusal is not None:
        return with_what_can_be_read(refusal, completion)
    try:
        job = JobCompleted.model_validate(completion)
    except ValidationError as error:
        return with_what_can_be_read(_refusal(completion, error), completion)
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
    return document if keys.repeated is None else Refusal(Code.DUPLICATE_KEY, keys.reason)


def _not_read(refusal: Refusal, value: bytes, headers: Headers) -> Refusal:
    """The refusal of a value that is no object: what it is, where that can be told, and what can be read of it."""
    what = wrapping(value, named_types(headers)) if refusal.code is Code.NOT_JSON else None
    told = refusal if what is None else refusal._replace(message=f"not a JSON object; {what}")
    return with_what_can_be_read(told, scanned(value))


def too_deep(text: str) -> bool:
    """Whether JSON text nests deeper than `MAX_DEPTH`."""
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    brackets = outside_strings(text).encode(errors="replace").translate(None, _OTHERS)
    return max(accumulate(map(_DEEPER.__getitem__, brackets)), default=0) > MAX_DEPTH


def outside_strings(text: str) -> str:
    """What of JSON text is outside of its strings: without escaped backslashes and quotes, every other part."""
    return "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])


def _refusal(document: dict[str, Any], error: ValidationError) -> Refusal:
    """The refusal that comes first in order of precedence."""
    reasons = [(_code(detail["type"]), detail) for detail in error.errors(include_url=False)]
    code, detail = min(reasons, key=lambda reason: PRECEDENCE[reason[0]])
    where = ".".join(str(part) for part in detail["loc"])
    hint = field_hint(document, str(detail["loc"][0]), detail["type"])
    message = f"{where}: {detail['msg'].removeprefix('Value error, ')}"
    return Refusal(code, f"{message}; {hint}" if hint else message)


def _code(error_type: str) -> Code:
    return Code(error_type) if error_type in PRECEDENCE else Code.BAD_FIELDS
