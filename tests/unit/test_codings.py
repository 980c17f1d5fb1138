"""What bodies come in as: media types, charsets, and compression that is undone within bounds."""

import gzip
import json
import random
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.types import Message, Receive

from meter.intake import Job, read_job
from meter.models import CLOUD_EVENT_TYPE
from meter.rejects import Refusal
from streams.http.codings import MAX_MEMBERS, PART_BYTES, decoded, is_json, media_type, need_utf8
from streams.http.ingest import read_items
from streams.http.problems import Problem
from tests.builders import completion

BODY = json.dumps(completion()).encode()
LARGE = random.Random(7).randbytes(300_000)
RAW = zlib.compressobj(wbits=-15)
RAW_DEFLATE = RAW.compress(BODY) + RAW.flush()


def coming(body: bytes, size: int) -> Receive:
    """A body that comes in by parts of a size."""
    parts = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    messages: Iterator[Message] = iter(
        {"type": "http.request", "body": part, "more_body": place < len(parts) - 1} for place, part in enumerate(parts)
    )

    async def receive() -> Message:
        return next(messages)

    return receive


async def read(body: bytes, coding: str | list[str], size: int = 1 << 20) -> bytes:
    """All of a body, in the coding that its headers name; each part is small."""
    named = [coding] if isinstance(coding, str) else coding
    receive = decoded(Headers(raw=[(b"content-encoding", each.encode()) for each in named]), coming(body, size))
    found = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request"
        assert len(message["body"]) <= max(PART_BYTES, size)
        found += message["body"]
        if not message["more_body"]:
            return found


@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
@pytest.mark.parametrize(
    ("coding", "coded", "plain"),
    [
        ("gzip", gzip.compress(BODY), BODY),
        ("GZip ", gzip.compress(BODY), BODY),
        ("x-gzip", gzip.compress(BODY), BODY),
        ("deflate", zlib.compress(BODY), BODY),
        ("deflate", RAW_DEFLATE, BODY),
        ("identity", BODY, BODY),
        ("", BODY, BODY),
        ([], BODY, BODY),
        (["identity", "gzip"], gzip.compress(BODY), BODY),
        ("identity, gzip", gzip.compress(BODY), BODY),
        ("gzip", gzip.compress(BODY) + gzip.compress(b" \n"), BODY + b" \n"),
        ("gzip", gzip.compress(b""), b""),
        ("gzip", b"", b""),
        ("deflate", b"", b""),
    ],
)
async def test_a_body_is_what_it_was_before_it_was_coded(
    coding: str | list[str], coded: bytes, plain: bytes, size: int
) -> None:
    assert await read(coded, coding, size) == plain


@pytest.mark.parametrize("size", [1000, 1 << 20])
@pytest.mark.parametrize("plain", [LARGE, b" " * 3_000_000, b" " * PART_BYTES, b" " * (PART_BYTES + 1)])
async def test_large_bodies_go_on_in_small_parts(plain: bytes, size: int) -> None:
    assert await read(gzip.compress(plain), "gzip", size) == plain
    assert await read(zlib.compress(plain), "deflate", size) == plain


@pytest.mark.parametrize(
    ("coding", "coded", "why"),
    [
        ("gzip", BODY, "it is something else"),
        ("gzip", b"\x1f", "it is something else"),
        ("gzip", zlib.compress(BODY), "it is something else"),
        ("gzip", gzip.compress(BODY)[:-1], "it breaks off"),
        ("gzip", gzip.compress(BODY)[:30], "it breaks off"),
        ("gzip", gzip.compress(BODY)[:-8] + b"\x00" * 8, "it is something else"),
        ("gzip", gzip.compress(BODY) + b"x", "it is something else"),
        ("gzip", gzip.compress(b"") * (MAX_MEMBERS + 1), "something comes after its end"),
        ("deflate", zlib.compress(BODY) + b"xy", "something comes after its end"),
        ("deflate", zlib.compress(BODY)[:-1], "it breaks off"),
        ("deflate", gzip.compress(BODY), "it is something else"),
    ],
)
async def test_a_body_that_is_not_in_its_coding_cannot_be_read(coding: str, coded: bytes, why: str) -> None:
    with pytest.raises(Problem) as problem:
        await read(coded, coding)
    told = f"the body is not {coding}, as its Content-Encoding says: "
    assert (problem.value.status_code, problem.value.code) == (400, "bad_request")
    assert problem.value.text in (f"{told}{why}", f"{told}it breaks off")


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip, deflate", "compress", "utf-8", ["gzip", "br"]])
async def test_another_coding_is_told_which_ones_there_are(coding: str | list[str]) -> None:
    with pytest.raises(Problem) as problem:
        await read(BODY, coding)
    assert (problem.value.status_code, problem.value.code) == (415, "unsupported_media_type")
    assert (problem.value.headers or {})["Accept-Encoding"] == "gzip, deflate, identity"


@pytest.mark.parametrize(
    ("content_type", "is_taken"),
    [
        ("application/json", True),
        ("application/json; charset=utf-8", True),
        ("Application/JSON ;Charset=UTF-8", True),
        (" application/json;charset=UTF8", True),
        ("text/json", True),
        ("TEXT/JSON", True),
        ("application/vnd.recognition+json", True),
        ("application/ld+json; profile=x", True),
        ("text/plain", False),
        ("application/jsonp", False),
        ("text/x+json", False),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=x", False),
        ("", False),
        ("json", False),
    ],
)
def test_json_is_known_by_its_media_type(content_type: str, is_taken: bool) -> None:
    assert is_json(media_type(content_type)) is is_taken


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", '"utf-8"', "us-ascii", "ISO-8859-1", "gbk", "windows-1252"])
def test_what_is_ascii_may_be_called_by_any_of_its_names(charset: str) -> None:
    need_utf8(f"application/json; charset={charset}", BODY)


@pytest.mark.parametrize("charset", ["ISO-8859-1", "gbk", "utf-16", "nonsense", ""])
def test_what_is_not_ascii_is_in_utf8(charset: str) -> None:
    need_utf8("application/json; charset=UTF-8", "北".encode())
    for body in ("北".encode(), BODY.decode().encode("utf-16-le")):
        with pytest.raises(Problem, match="UTF-8"):
            need_utf8(f"application/json; charset={charset}", body)


BINARY = [("ce-specversion", "1.0"), ("ce-type", CLOUD_EVENT_TYPE), ("ce-source", "/%E5%8C%97")]
EVENT = json.dumps({"specversion": "1.0", "type": CLOUD_EVENT_TYPE, "data": completion()}).encode()


def found(kind: str, headers: list[tuple[str, str]], body: bytes) -> Job | Refusal:
    (item,) = read_items(kind, headers, body)
    return read_job(item.value, item.headers)


@pytest.mark.parametrize("kind", ["", "application/json", "text/json", "application/vnd.x+json"])
def test_an_event_in_binary_mode_may_leave_its_media_type_out(kind: str) -> None:
    assert isinstance(found(kind, BINARY, BODY), Job)
    assert isinstance(found(kind, [(name.title(), value) for name, value in BINARY], BODY), Job)


@pytest.mark.parametrize(
    "quoted",
    [f'"{CLOUD_EVENT_TYPE}"', f'"{CLOUD_EVENT_TYPE}"'.replace("job", "j\\ob"), "%72ecognition.job.completed.v1"],
)
def test_an_attribute_may_be_in_quotes_or_percent_encoded(quoted: str) -> None:
    assert isinstance(found("", [("ce-specversion", '"1.0"'), ("ce-type", quoted)], BODY), Job)
    for other in (f'"{CLOUD_EVENT_TYPE}', f"'{CLOUD_EVENT_TYPE}'", '"', '""'):
        assert isinstance(found("", [BINARY[0], ("ce-type", other)], BODY), Refusal)


def test_events_in_an_array_that_are_said_to_be_one_are_told_their_media_type() -> None:
    with pytest.raises(Problem, match=r"send it as application/cloudevents-batch\+json"):
        read_items("application/cloudevents+json", [], b" [" + EVENT + b"]")


@pytest.mark.parametrize("kind", ["application/cloudevents+json", "application/cloudevents", "text/json"])
def test_a_structured_event_is_known_by_its_media_type_whatever_its_headers_say(kind: str) -> None:
    other = [] if kind == "text/json" else [("ce-specversion", "0.3"), ("ce-type", "other")]
    assert isinstance(found(kind, other, EVENT), Job)


def versions(body: Any, version: Any) -> bytes:
    return json.dumps({**body, "specversion": version}).encode()


@pytest.mark.parametrize("version", ["0.3", "2.0", "1", None])
def test_an_event_of_another_version_is_refused_at_each_door(version: str | None) -> None:
    event = versions(json.loads(EVENT), version)
    told = [] if version is None else [("ce-specversion", version)]
    doors = [
        ("application/cloudevents+json", [], event),
        ("application/cloudevents-batch+json", [], b"[" + event + b"]"),
        ("application/json", [], event),
        ("application/json", [], b"[" + event + b"]"),
        ("application/json", [*told, *BINARY[1:]], BODY),
        ("", [*told, *BINARY[1:]], BODY),
    ]
    for kind, headers, body in doors:
        refused = found(kind, headers, body)
        assert isinstance(refused, Refusal), kind
        assert "a CloudEvent must be of version 1.0" in refused.message
        assert (refused.account_id, refused.job_id) == ("A", "job-1")


def test_an_attribute_that_is_there_twice_says_the_same() -> None:
    assert isinstance(found("", [*BINARY, *BINARY], BODY), Job)
    refused = found("", [*BINARY, ("ce-specversion", "0.3")], BODY)
    assert isinstance(refused, Refusal)
    assert "got '0.3' and '1.0'" in refused.message


@pytest.mark.parametrize(("kind", "headers"), [("", []), ("text/plain", BINARY), ("text/plain", []), ("a/b+json", [])])
def test_another_media_type_is_refused(kind: str, headers: list[tuple[str, str]]) -> None:
    with pytest.raises(Problem) as problem:
        read_items(kind, headers, BODY)
    assert problem.value.status_code == 415
