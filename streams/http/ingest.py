"""Completions in: `POST /v1/jobs`. They are read as the meter reads them, and are in Kafka before they are accepted.

All of a request or nothing: where one completion would be refused, none is taken, and each that is wrong is named.
"""

import asyncio
import codecs
import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from meter import topics
from meter.events import CONTENT_TYPE, STRUCTURED_TYPE
from meter.intake import Job, read_job
from meter.models import CLOUD_EVENT_TYPE, JobCompleted
from meter.readable import scanned, with_what_can_be_read
from meter.refusals import untimely
from meter.rejects import Code, Refusal
from meter.routing import owner
from meter.rules import Clock, Rules
from streams.completions.submit import MAX_LINE_BYTES, Stamps, in_calendar
from streams.http.access import Producer
from streams.http.codings import is_json, media_type, need_utf8
from streams.http.commits import Outgoing
from streams.http.problems import MAX_ERRORS, PROBLEMS, Problem
from streams.http.routes import CallerRoute
from streams.http.services import AllServices

MAX_JOBS = 1000
#: Brackets, commas, colons and quotes in a body, and in one completion, which has 40 and may have fields of its own.
MAX_MARKS = 400_000
MAX_MARKS_OF_ONE = 20_000
#: After so much of a body the loop turns, so that nobody waits for all of it.
TURN_BYTES = 8_192
PLAIN, EVENT, EVENTS = "application/json", STRUCTURED_TYPE, "application/cloudevents-batch+json"
#: That a record is an event, as the meter knows it.
_STRUCTURED: list[tuple[str, bytes | None]] = [(CONTENT_TYPE, STRUCTURED_TYPE.encode())]

_ESCAPED = re.compile(r"\\(.)")

router = APIRouter(tags=["ingest"], route_class=CallerRoute)


_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Accepted(BaseModel):
    """How many completions are in Kafka, on all in-sync replicas. The meter prices each once."""

    accepted: int


class Item(NamedTuple):
    """A completion as it will be a record: its value, and its headers, which say whether it is a CloudEvent."""

    value: bytes
    headers: list[tuple[str, bytes | None]]


_EXAMPLE = {
    "job_id": "j1",
    "account_id": "A",
    "region": "ap-guangzhou",
    "kinds": ["face", "speech"],
    "duration_s": 61.5,
    "completed_at": "2026-11-24T10:20:30.123+08:00",
}
_EVENT = {"specversion": "1.0", "type": CLOUD_EVENT_TYPE, "id": "e1", "source": "/recognition", "data": _EXAMPLE}


#: More than 0, at most 31,536,000 s.
_DURATION = (
    r"^((?=.*[1-9])(0{0,2}[0-9]{1,7}|0?([12][0-9]{7}|30[0-9]{6}|31[0-4][0-9]{5}|315[0-2][0-9]{4}|3153[0-5][0-9]{3}))"
    r"(\.[0-9]{1,18})?|0?31536000(\.0{1,18})?)$"
)


def _completion_schema() -> dict[str, Any]:
    schema = {**JobCompleted.model_json_schema(), "title": "Completion"}
    schema["properties"]["duration_s"]["anyOf"][1]["pattern"] = _DURATION
    return schema


def _event_schema() -> dict[str, Any]:
    return {
        "title": "CompletionEvent",
        "description": "A completion as a CloudEvent 1.0 in structured mode.",
        "type": "object",
        "required": ["specversion", "type", "data"],
        "properties": {
            "specversion": {"type": "string", "enum": ["1.0"]},
            "type": {"type": "string", "enum": [CLOUD_EVENT_TYPE]},
            "id": {"type": "string"},
            "source": {"type": "string"},
            "data": {"$ref": "#/components/schemas/Completion"},
        },
    }


def _many(name: str) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "maxItems": MAX_JOBS, "items": {"$ref": f"#/components/schemas/{name}"}}


#: What a body is made of, by the names that generated clients give it.
SCHEMAS = {"Completion": _completion_schema(), "CompletionEvent": _event_schema()}

# One media type is described, which takes all forms: generated clients cannot choose one by what they are given.
_BODY = {
    "required": True,
    "description": f"As {PLAIN}; events also as {EVENT}, several as {EVENTS}. It may be compressed: gzip, deflate.",
    "content": {
        PLAIN: {
            "schema": {
                "oneOf": [
                    {"$ref": "#/components/schemas/Completion"},
                    {"$ref": "#/components/schemas/CompletionEvent"},
                    _many("Completion"),
                    _many("CompletionEvent"),
                ]
            },
            "examples": {
                "one": {"summary": "One completion", "value": _EXAMPLE},
                "many": {"summary": "Several", "value": [_EXAMPLE]},
                "event": {"summary": "A CloudEvent", "value": _EVENT},
                "events": {"summary": "Several CloudEvents", "value": [_EVENT]},
            },
        }
    },
}


@router.post(
    "/v1/jobs",
    status_code=202,
    response_model=Accepted,
    responses=PROBLEMS,
    openapi_extra={"requestBody": _BODY},
    summary="Report finished jobs",
)
async def submit(request: Request, services: AllServices, who: Producer) -> Response:
    """One completion, an array of up to 1,000, or CloudEvents: structured, a batch, or binary (`ce-` headers).

    202: all of them are in Kafka on all in-sync replicas. 422 (400 for what is no JSON): none was taken, and `errors`
    names each that is wrong, by index, with the code that the meter would refuse it with; 409 where all that is wrong
    is that it comes too late or too early. 503: Kafka is away; send the same again, which does no harm at any time: a
    job is charged once.
    """
    content_type = request.headers.get(CONTENT_TYPE, "")
    body = (await request.body()).removeprefix(codecs.BOM_UTF8)
    need_utf8(content_type, body)
    items = read_items(media_type(content_type), request.headers.items(), body)
    rules = await services.log.rules()
    records = await check_items(items, rules)
    await services.log.commit(records)
    return Response(msgspec.json.encode({"accepted": len(records)}), 202, media_type=PLAIN)


def read_items(kind: str, headers: Sequence[tuple[str, str]], body: bytes) -> list[Item]:
    """The completions of a body. Raises Problem: 415 for another media type, 400 for no JSON, 422 for too many.

    The media type decides, as the HTTP binding of CloudEvents says. In binary mode it may be left out.
    """
    if kind == EVENT and body.lstrip()[:1] == b"[":
        raise Problem(400, "not_json", f"it is an array of events: send it as {EVENTS}")
    if kind in (EVENT, EVENTS, "application/cloudevents"):
        return [Item(bytes(item), _STRUCTURED) for item in (_many_items(body) if kind == EVENTS else [body])]
    attributes = _attributes(headers)
    if not is_json(kind) and not (attributes and not kind):
        raise Problem(415, "unsupported_media_type", f"send {PLAIN}, {EVENT} or {EVENTS}, not {kind[:100]!r}")
    if body.lstrip()[:1] != b"[":
        return [Item(body, attributes)]
    if attributes:
        raise Problem(400, "bad_request", "a CloudEvent in binary mode (ce- headers) is one completion, not an array")
    return [Item(bytes(item), []) for item in _many_items(body)]


def _many_items(body: bytes) -> list[msgspec.Raw]:
    if _marks(body) > MAX_MARKS:
        detail = f"more than {MAX_MARKS} brackets, commas, colons and quotes: send fewer completions at a time"
        raise Problem(413, "too_large", detail)
    try:
        items = _items(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Problem(400, "not_json", f"the body is no JSON array: {error}") from error
    if not 1 <= len(items) <= MAX_JOBS:
        raise Problem(422, "bad_length", f"1 to {MAX_JOBS} completions in a request, got {len(items)}")
    return items


def _marks(value: bytes) -> int:
    """How many parts JSON can have at most: counting is quicker by far than to make them."""
    return sum(value.count(mark) for mark in (b"[", b"{", b",", b":", b'"'))


def _attributes(headers: Sequence[tuple[str, str]]) -> list[tuple[str, bytes | None]]:
    """The attributes of a CloudEvent in binary mode, as Kafka's headers name them; none where it is no event."""
    named = [(name.lower(), value) for name, value in headers if name[:3].lower() == "ce-"]
    if not any(name in ("ce-specversion", "ce-type") for name, _ in named):
        return []
    return [(f"ce_{name[3:]}", unquote(_unquoted(value)).encode()) for name, value in named]


def _unquoted(value: str) -> str:
    """A header's value out of double quotes, which senders may put around it (CloudEvents' HTTP binding, 3.1.3.2)."""
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    return _ESCAPED.sub(r"\1", value[1:-1])


async def check_items(items: Sequence[Item], rules: Rules) -> list[Outgoing]:
    """The records of completions. Raises Problem, which names those that the meter would refuse, `MAX_ERRORS` at most.

    Lets the loop turn now and then: a body may be large.
    """
    stamps = Stamps(rules)
    now_ms = stamps.of(None)
    records: list[Outgoing] = []
    errors: list[dict[str, Any]] = []
    read_bytes = 0
    for index, item in enumerate(items):
        read_bytes += len(item.value)
        if read_bytes > TURN_BYTES:
            read_bytes = 0
            await asyncio.sleep(0)
        job = _read(item, rules, now_ms)
        if isinstance(job, Refusal):
            errors.append(_error(index, job))
            if len(errors) == MAX_ERRORS:
                break
        else:
            place, key = owner(job.account_id, rules.partitions), job.account_id.encode()
            at_ms = stamps.of(job.completed_us)
            records.append(Outgoing(topics.COMPLETED, place, key, item.value, at_ms, item.headers))
    if errors:
        raise _refused(errors, len(items))
    return records


def _read(item: Item, rules: Rules, now_ms: int) -> Job | Refusal:
    if len(item.value) > MAX_LINE_BYTES:
        refusal = Refusal(Code.TOO_LARGE, f"a completion has at most {MAX_LINE_BYTES} bytes")
        return with_what_can_be_read(refusal, scanned(item.value))
    if len(item.value) > MAX_MARKS_OF_ONE and _marks(item.value) > MAX_MARKS_OF_ONE:
        return Refusal(Code.TOO_LARGE, f"more than {MAX_MARKS_OF_ONE} brackets, commas, colons and quotes")
    job = in_calendar(read_job(item.value, item.headers))
    if isinstance(job, Refusal) or rules.clock is Clock.SIMULATED:
        return job
    age_us = now_ms * 1000 - job.completed_us
    if -rules.future_tolerance_ms * 1000 <= age_us <= rules.horizon_ms * 1000:
        return job
    return untimely(job, age_us < 0, rules)


def _error(index: int, refusal: Refusal) -> dict[str, Any]:
    named = {"job_id": refusal.job_id, "account_id": refusal.account_id}
    known = {name: value for name, value in named.items() if value is not None}
    return {"index": index, "code": str(refusal.code), "message": refusal.message[:400], **known}


def _refused(errors: list[dict[str, Any]], count: int) -> Problem:
    first, codes = errors[0], {error["code"] for error in errors}
    status = 409 if codes <= {Code.TOO_OLD, Code.IN_FUTURE} else 422
    if count == 1:
        status = {Code.NOT_JSON: 400, Code.DUPLICATE_KEY: 400, Code.TOO_LARGE: 413}.get(first["code"], status)
    code = first["code"] if count == 1 else "completions_refused"
    detail = f"{len(errors)} of {count} completions are wrong; none was taken"
    if len(errors) == MAX_ERRORS:
        detail = f"at least {len(errors)} of {count} completions are wrong; none was taken"
    if count == 1:
        detail = first["message"]
    return Problem(status, code, detail, errors=errors)
