"""What one record means by itself: a completion, or the code of the first thing that is wrong with it.

Every table and rule is written out again here, from the price guide and the public contract.
"""

import json
import re
from base64 import b64decode
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, NamedTuple, NoReturn
from zoneinfo import ZoneInfo

BILLING_ZONE = ZoneInfo("Asia/Shanghai")
FUTURE_US = 5 * 60 * 1_000_000
HORIZON_US = 35 * 24 * 3600 * 1_000_000
DEEPEST = 100
LONGEST_S = 31_536_000
LONGEST_INSTANT = 64
EVENT = "recognition.job.completed.v1"
KINDS = {"face", "text", "speech", "opening_ending", "frame_tag"}

MAINLAND = Decimal("0.28")
AMERICA = Decimal("0.308")
ELSEWHERE = Decimal("0.3136")
# code, English name, Chinese name, CNY per minute
REGIONS = [
    ("ap-beijing", "Beijing", "北京", MAINLAND),
    ("ap-shanghai", "Shanghai", "上海", MAINLAND),
    ("ap-guangzhou", "Guangzhou", "广州", MAINLAND),
    ("ap-chengdu", "Chengdu", "成都", MAINLAND),
    ("ap-chongqing", "Chongqing", "重庆", MAINLAND),
    ("ap-nanjing", "Nanjing", "南京", MAINLAND),
    ("na-siliconvalley", "Silicon Valley", "硅谷", AMERICA),
    ("na-ashburn", "Virginia", "弗吉尼亚", AMERICA),
    ("ap-mumbai", "Mumbai", "孟买", ELSEWHERE),
    ("ap-seoul", "Seoul", "首尔", ELSEWHERE),
    ("ap-bangkok", "Bangkok", "曼谷", ELSEWHERE),
    ("ap-hongkong", "Hong Kong", "香港", ELSEWHERE),
    ("ap-tokyo", "Tokyo", "东京", ELSEWHERE),
    ("eu-frankfurt", "Frankfurt", "法兰克福", ELSEWHERE),
    ("ap-singapore", "Singapore", "新加坡", ELSEWHERE),
]
ZONES = [
    ("Mainland China", MAINLAND),
    ("Silicon Valley, Virginia", AMERICA),
    ("Mumbai, Seoul, Bangkok, Hong Kong, Tokyo, Frankfurt, Singapore", ELSEWHERE),
]
PRICES = {code: price for code, _, _, price in REGIONS} | dict(ZONES)
ZONE_OF = {region: zone for region, price in PRICES.items() for zone, same in ZONES if price == same}
REGION_OF = {name: row[0] for row in REGIONS for name in row[:3]} | {zone: zone for zone, _ in ZONES}

DURATION_TEXT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,18})?")
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:[0-5]\d)", re.ASCII | re.IGNORECASE)


class Completion(NamedTuple):
    """A record that passed every check that needs no clock."""

    account_id: str
    job_id: str
    region: str
    kinds: tuple[str, ...]
    duration_ms: int
    completed_at: str
    instant_us: int

    @property
    def fingerprint(self) -> tuple[Any, ...]:
        """Two records of one job are the same job when this is equal, whatever their bytes."""
        return self.region, self.kinds, self.duration_ms, self.instant_us

    @property
    def minutes(self) -> int:
        return -(-self.duration_ms // 60_000)

    @property
    def day(self) -> str:
        seconds = self.instant_us // 1_000_000
        try:
            return datetime.fromtimestamp(seconds, UTC).astimezone(BILLING_ZONE).date().isoformat()
        except (ValueError, OverflowError):  # beyond the calendar, whose last day stands for it, or its first
            return "9999-12-31" if seconds > 0 else "0001-01-01"

    @property
    def duration_s(self) -> str:
        seconds, ms = divmod(self.duration_ms, 1000)
        return f"{seconds}.{ms:03}".rstrip("0").rstrip(".")


class NotMetered(Exception):  # noqa: N818  (a verdict on a record, no error of this program)
    """The record is refused; the argument is the stable code."""


def read(value: bytes | None, headers: list[tuple[str, bytes | None]]) -> Completion:
    """The completion in a record's value; raises `NotMetered(code)` for the first rule that it breaks."""
    fields = contract_fields(parse_object(value), headers)
    account_id, job_id = identifier(fields, "account_id"), identifier(fields, "job_id")
    region, kinds = fields.get("region"), fields.get("kinds")
    duration, completed_at = fields.get("duration_s"), fields.get("completed_at")
    if not isinstance(region, str) or not isinstance(completed_at, str) or not isinstance(duration, str | Decimal):
        raise NotMetered("bad_fields")
    if not isinstance(kinds, list) or not kinds or not all(isinstance(kind, str) for kind in kinds):
        raise NotMetered("bad_fields")
    if not set(kinds) <= KINDS:
        raise NotMetered("unknown_kind")
    if region not in REGION_OF:
        raise NotMetered("unknown_region")
    duration_ms = milliseconds(duration)
    instant_us = microseconds(completed_at)
    kinds_once = tuple(sorted(set(kinds)))
    return Completion(account_id, job_id, REGION_OF[region], kinds_once, duration_ms, completed_at, instant_us)


def parse_object(value: bytes | None) -> dict[str, Any]:
    parsed, is_clear = parse_clear(value)
    if not is_clear:
        raise NotMetered("duplicate_key")
    return parsed


def parse_clear(value: bytes | None) -> tuple[dict[str, Any], bool]:
    """An object without the keys that stand twice in one, and whether there are none of these, at any depth."""
    is_clear = True

    def clear(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal is_clear
        names = [name for name, _ in pairs]
        is_clear = is_clear and len(set(names)) == len(names)
        return dict(pairs) if is_clear else {name: inner for name, inner in pairs if names.count(name) == 1}

    try:
        text = (value or b"").decode()
        # Numbers stay exact: every one of them is read from its literal.
        parsed = json.loads(text, parse_float=number, parse_int=number, parse_constant=refuse, object_pairs_hook=clear)
    except (ValueError, RecursionError):
        raise NotMetered("not_json") from None
    if not isinstance(parsed, dict) or depth(parsed) > DEEPEST:
        raise NotMetered("not_json")
    return parsed, is_clear


def number(literal: str) -> Decimal:
    """A number exactly; beyond what decimals can be, one of the same sign that is as good: out of every bound."""
    try:
        return Decimal(literal)
    except InvalidOperation:
        digits, _, exponent = literal.lower().partition("e")
        return Decimal(f"{digits}e{'-' if exponent.startswith('-') else ''}9999")


def depth(parsed: Any) -> int:
    """How many arrays and objects stand in one another."""
    inner = parsed.values() if isinstance(parsed, dict) else parsed if isinstance(parsed, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def contract_fields(parsed: dict[str, Any], headers: list[tuple[str, bytes | None]]) -> dict[str, Any]:
    """The fields of the contract: the object itself, or the `data` of a CloudEvent."""
    named: dict[str, set[bytes | None]] = {}
    for name, value in headers:
        named.setdefault(name.lower(), set()).add(value)
    kinds = {(value or b"").split(b";")[0].strip().lower() for value in named.get("content-type", set())}
    if any(kind.startswith(b"application/cloudevents") for kind in kinds):
        return event_data(parsed, kinds)
    if "ce_specversion" in named or "ce_type" in named:
        event = "specversion" in parsed and "job_id" not in parsed
        attributes = named.get("ce_specversion"), named.get("ce_type")
        if attributes != ({b"1.0"}, {EVENT.encode()}) or event:
            raise NotMetered("bad_fields")
        return parsed
    if "job_id" in parsed or ("specversion" not in parsed and parsed.get("type") != EVENT):
        return parsed  # no attribute of an event can be called job_id
    return event_data(parsed, set())


def event_data(parsed: dict[str, Any], kinds: set[bytes]) -> dict[str, Any]:
    data, coded = parsed.get("data"), parsed.get("data_base64")
    unread = [kind for kind in kinds if kind not in (b"application/cloudevents+json", b"application/cloudevents")]
    if any(kind.startswith(b"application/cloudevents") for kind in unread):
        raise NotMetered("bad_fields")
    if parsed.get("specversion") != "1.0" or parsed.get("type") != EVENT:
        raise NotMetered("bad_fields")
    found = data if coded is None else parse_object(decode_base64(coded))
    if not isinstance(found, dict) or (data is not None and coded is not None):
        raise NotMetered("bad_fields")
    return found


def decode_base64(text: Any) -> bytes:
    try:
        return b64decode(text, validate=True) if isinstance(text, str) else refuse("what is no text")
    except ValueError:
        raise NotMetered("bad_fields") from None


def identifier(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= 128 or has_lone_surrogate(value):
        raise NotMetered("bad_fields")
    return value


def has_lone_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def milliseconds(duration: str | Decimal) -> int:
    """Half up to the millisecond, at least one."""
    if isinstance(duration, str):
        if not DURATION_TEXT.fullmatch(duration):
            raise NotMetered("bad_duration")
        duration = Decimal(duration)
    if not 0 < duration <= LONGEST_S:
        raise NotMetered("bad_duration")
    return max(1, int(duration.quantize(Decimal("0.001"), ROUND_HALF_UP).scaleb(3)))


def microseconds(completed_at: str) -> int:
    """Since the epoch, from RFC 3339 with an offset; digits beyond the microsecond are dropped."""
    if len(completed_at) > LONGEST_INSTANT or not RFC_3339.fullmatch(completed_at):
        raise NotMetered("no_offset")
    try:
        since = datetime.fromisoformat(completed_at.upper()) - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        raise NotMetered("no_offset") from None
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def money(amount: Decimal) -> str:
    """Plain, at least two places, no further trailing zeros."""
    whole, _, fraction = f"{amount:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"
