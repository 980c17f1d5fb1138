"""Completions as real services write them: one job in many spellings, and the ways to get one wrong."""

import json
import re
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any, NamedTuple

KINDS = ["face", "text", "speech", "opening_ending", "frame_tag"]
EVENT_TYPE = "recognition.job.completed.v1"
# Each row is one region in all its names, the code first.
NAMES = [
    ("ap-beijing", "Beijing", "北京"),
    ("ap-shanghai", "Shanghai", "上海"),
    ("ap-guangzhou", "Guangzhou", "广州"),
    ("ap-chengdu", "Chengdu", "成都"),
    ("ap-chongqing", "Chongqing", "重庆"),
    ("ap-nanjing", "Nanjing", "南京"),
    ("na-siliconvalley", "Silicon Valley", "硅谷"),
    ("na-ashburn", "Virginia", "弗吉尼亚"),
    ("ap-mumbai", "Mumbai", "孟买"),
    ("ap-seoul", "Seoul", "首尔"),
    ("ap-bangkok", "Bangkok", "曼谷"),
    ("ap-hongkong", "Hong Kong", "香港"),
    ("ap-tokyo", "Tokyo", "东京"),
    ("eu-frankfurt", "Frankfurt", "法兰克福"),
    ("ap-singapore", "Singapore", "新加坡"),
    ("Mainland China",),
    ("Silicon Valley, Virginia",),
    ("Mumbai, Seoul, Bangkok, Hong Kong, Tokyo, Frankfurt, Singapore",),
]

LITERAL = re.compile('"#([^"#]+)#"')

Headers = list[tuple[str, bytes]]


class PlannedJob(NamedTuple):
    """What happened, apart from how it is written down."""

    job_id: str
    account_id: str
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    duration_ms: int
    instant: datetime


def literal(text: str) -> str:
    """A mark for `dump`: this number is to be written just so, which `json` cannot be told."""
    return f"#{text}#"


def new_job(rng: Random, job_id: str, account_id: str, base: datetime) -> PlannedJob:
    """A job that ended within the last two days."""
    return PlannedJob(
        job_id,
        account_id,
        rng.choice(NAMES),
        tuple(rng.sample(KINDS, rng.randint(1, 3))),
        duration(rng),
        base - timedelta(microseconds=rng.randrange(2 * 86_400 * 1_000_000)),
    )


def duration(rng: Random) -> int:
    """Milliseconds; whole minutes and their neighbours come up often, because rounding is decided there."""
    if rng.random() < 0.3:
        return rng.randint(1, 180) * 60_000 + rng.choice((-1, 0, 0, 1))
    return rng.randint(1, 3 * 3_600_000)


def fields(rng: Random, job: PlannedJob) -> dict[str, Any]:
    """The contract's fields of a job, in one of the spellings that mean the same."""
    kinds = rng.sample(job.kinds, len(job.kinds))
    content: dict[str, Any] = {
        "job_id": job.job_id,
        "account_id": job.account_id,
        "region": job.names[0] if rng.random() < 0.8 else rng.choice(job.names),
        "kinds": kinds + kinds[: rng.randint(0, 1)],
        "duration_s": spell_duration(rng, job.duration_ms),
        "completed_at": spell_instant(rng, job.instant),
    }
    if rng.random() < 0.1:
        content |= {"trace": {"span": rng.randrange(10**9), "tags": ["a", None, 1.5e3]}, "备注": "跑完了 \u2028 ✓"}
    if rng.random() < 0.2:
        content = dict(rng.sample(list(content.items()), len(content)))
    return content


def spell_duration(rng: Random, ms: int) -> Any:
    seconds, rest = divmod(ms, 1000)
    plain = f"{seconds}.{rest:03}"
    if rest == 0:
        return rng.choice((seconds, seconds, seconds, literal(plain), str(seconds), plain, exponent(seconds)))
    return rng.choice((literal(plain), literal(plain), plain, plain + "0000", literal(plain + "0000001")))


def exponent(seconds: int) -> str:
    return literal(f"{seconds}0E-1")


def spell_instant(rng: Random, instant: datetime) -> str:
    minutes = rng.choice((0, 480, 480, -330, 345))
    local = instant.astimezone(timezone(timedelta(minutes=minutes)))
    text = local.isoformat(timespec="auto" if instant.microsecond % 1000 else "milliseconds")
    return text.replace("+00:00", rng.choice(("Z", "+00:00")))


def written(rng: Random, job: PlannedJob) -> tuple[bytes, Headers]:
    """A record's value and headers: plain JSON mostly, or a CloudEvent, structured or binary."""
    return packed(rng, fields(rng, job), job.instant)


def packed(rng: Random, content: dict[str, Any], instant: datetime) -> tuple[bytes, Headers]:
    form = rng.random()
    if form < 0.86:
        return dump(rng, content), []
    # The envelope's own id and time mean nothing to a meter: a resend has new ones.
    attributes = {
        "specversion": "1.0",
        "type": EVENT_TYPE,
        "source": "/recognition/workers/7",
        "id": f"e-{rng.getrandbits(64):x}",
        "time": instant.astimezone(UTC).isoformat(),
    }
    if form < 0.92:
        return dump(rng, attributes | {"datacontenttype": "application/json", "data": content}), []
    if form < 0.93:
        return dump(rng, attributes | {"data_base64": b64encode(dump(rng, content)).decode()}), []
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    return dump(rng, content), [("content-type", b"application/json"), *headers]


def dump(rng: Random, content: dict[str, Any]) -> bytes:
    if rng.random() < 0.9:
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    else:
        text = json.dumps(content, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 1)))
    return LITERAL.sub(r"\1", text).encode()


def altered(rng: Random, job: PlannedJob) -> PlannedJob:
    """The same job id with other content: a conflict."""
    change = rng.randrange(4)
    if change == 0:
        return job._replace(duration_ms=job.duration_ms + 1)
    if change == 1:
        return job._replace(instant=job.instant + timedelta(microseconds=1))
    if change == 2:
        return job._replace(names=rng.choice([names for names in NAMES if names != job.names]))
    return job._replace(kinds=tuple(KINDS) if len(job.kinds) < len(KINDS) else job.kinds[:1])


def broken(rng: Random, job: PlannedJob) -> bytes | None:
    """A value that no meter can price, for any of the reasons that need no clock."""
    content = fields(rng, job)
    fault = rng.choice(FAULTS)
    return fault(rng, content) if callable(fault) else dump(rng, content | fault) if isinstance(fault, dict) else fault


def missing(rng: Random, content: dict[str, Any]) -> bytes:
    del content[rng.choice(("job_id", "account_id", "region", "kinds", "duration_s", "completed_at"))]
    return dump(rng, content)


def cut(rng: Random, content: dict[str, Any]) -> bytes:
    return dump(rng, content)[: rng.randint(0, 60)]


def with_raw(name: str, raw: bytes) -> Callable[[Random, dict[str, Any]], bytes]:
    """A field whose value is written in bytes that `json` would not write."""
    return lambda rng, content: dump(rng, content | {name: "?"}).replace(b'"?"', raw)


def wrapped(kind: str, pack: Callable[[dict[str, Any]], Any]) -> Callable[[Random, dict[str, Any]], bytes]:
    """A CloudEvent that is none of ours, or holds no object."""
    return lambda rng, content: dump(rng, {"specversion": "1.0", "type": kind, "data": pack(content)})


FAULTS: list[Any] = [
    {"kinds": ["face", "smell"]},
    {"kinds": ["Face"], "region": "nowhere", "duration_s": 0},
    {"region": "ap-nowhere"},
    {"region": "AP-TOKYO", "duration_s": -1},
    {"duration_s": 0},
    {"duration_s": -60},
    {"duration_s": "1e3"},
    {"duration_s": "60 "},
    {"duration_s": literal("31536000.0001"), "completed_at": "soon"},
    {"duration_s": literal("1e400")},
    {"completed_at": "2026-11-23T10:00:00"},
    {"completed_at": "yesterday"},
    {"completed_at": "2026-02-30T10:00:00Z"},
    {"kinds": []},
    {"kinds": "face"},
    {"kinds": [1]},
    {"duration_s": None},
    {"duration_s": True},
    {"job_id": ""},
    {"account_id": 17},
    {"account_id": "x" * 129},
    {"job_id": "#0#"},
    wrapped("something.else", lambda content: content),
    wrapped(EVENT_TYPE, lambda content: [content]),
    with_raw("account_id", b'"\\ud800"'),
    with_raw("note", b"[" * 100 + b"]" * 100),
    with_raw("note", b'"\xff\xfe"'),
    missing,
    missing,
    cut,
    cut,
    None,
    b"",
    b"null",
    b"[1,2,3]",
    b'"a string"',
    b"\x00\x01\x02\xff",
    b'{"duration_s":NaN}',
    b"{} trailing",
    b"[" * 50_000,
]
