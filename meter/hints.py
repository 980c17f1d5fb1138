"""Hints: what somebody meant who wrote a region or a kind in another way, for the sentence that says why it is refused.

A hint is never taken for the field itself. Where a region is another spelling of a known one, and no guess, it is good
for an estimate of the money at risk, and for nothing else.
"""

import difflib
import json
import re
import unicodedata
from decimal import Decimal, DecimalException
from fractions import Fraction
from functools import lru_cache
from typing import Any

from meter.regions import MAINLAND, REGION_CODES, REGIONS, ZONE_OF

#: Longer text has no hint: whoever wrote it meant something else.
MAX_HINTED_CHARS = 96
#: Of numbers of more places before or after the point nothing is known, and arithmetic with them raises.
MAX_HINTED_PLACES = 30
#: How alike a misspelling is to what was meant, from 0 to 1.
CLOSE: Any = Fraction(3, 4)  # difflib compares; the domain has no floats

_TRADITIONAL = str.maketrans("廣広東爾買蘭慶維亞貢矽陸", "广广东尔买兰庆维亚贡硅陆")
_OTHER_NAMES = {
    "中国大陆": MAINLAND,
    "中国": MAINLAND,
    "大陆": MAINLAND,
    "china": MAINLAND,
    "cn": MAINLAND,
    "mainland": MAINLAND,
    "chinamainland": MAINLAND,
    "维吉尼亚": "na-ashburn",
    "ashburn": "na-ashburn",
    "bombay": "ap-mumbai",
    "peking": "ap-beijing",
    "canton": "ap-guangzhou",
    "ペキン": "ap-beijing", "베이징": "ap-beijing", "пекин": "ap-beijing",
    "シャンハイ": "ap-shanghai", "상하이": "ap-shanghai", "шанхай": "ap-shanghai",
    "광저우": "ap-guangzhou", "гуанчжоу": "ap-guangzhou",
    "シリコンバレー": "na-siliconvalley", "실리콘밸리": "na-siliconvalley",
    "バージニア": "na-ashburn", "버지니아": "na-ashburn", "виргиния": "na-ashburn",
    "ムンバイ": "ap-mumbai", "뭄바이": "ap-mumbai", "मुंबई": "ap-mumbai", "мумбаи": "ap-mumbai",
    "ソウル": "ap-seoul", "서울": "ap-seoul", "汉城": "ap-seoul", "сеул": "ap-seoul",
    "バンコク": "ap-bangkok", "방콕": "ap-bangkok", "กรุงเทพ": "ap-bangkok", "бангкок": "ap-bangkok",
    "ホンコン": "ap-hongkong", "홍콩": "ap-hongkong", "гонконг": "ap-hongkong",
    "トウキョウ": "ap-tokyo", "도쿄": "ap-tokyo", "токио": "ap-tokyo",
    "フランクフルト": "eu-frankfurt", "프랑크푸르트": "eu-frankfurt", "франкфурт": "eu-frankfurt",
    "シンガポール": "ap-singapore", "싱가포르": "ap-singapore", "сингапур": "ap-singapore",
}  # fmt: skip


def hinted_number(literal: str) -> Decimal | None:
    """A number, by its first characters, of a size for which there may be a hint; None for all others."""
    try:
        value = Decimal(literal[:64])
    except DecimalException:
        return None
    return value if abs(value.adjusted()) <= MAX_HINTED_PLACES else None


def _words(name: str) -> str:
    """A name without what people write in many ways: case, width, hyphens, old characters. Its words have blanks."""
    text = unicodedata.normalize("NFKC", name).casefold().translate(_TRADITIONAL)
    words = re.sub(r"[\W_]+", " ", text).strip()
    return f" {words} "


def _plain(name: str) -> str:
    return _words(name).replace(" ", "")


#: A plain name -> the region as a hint says it: a code, or the name of a zone.
_PLAIN_NAMES: dict[str, str] = {
    **{_plain(name): code for name, code in REGION_CODES.items()},
    **{_plain(region.code.partition("-")[2]): region.code for region in REGIONS},
    **{_plain(name): region for name, region in _OTHER_NAMES.items()},
}
#: The names of places, which may stand among other words; those in Chinese, among other characters.
_PLACES = {
    **{_words(region.english): region.code for region in REGIONS},
    **{f" {_plain(region.english)} ": region.code for region in REGIONS},
    **{region.chinese: region.code for region in REGIONS},
}


@lru_cache(maxsize=1024)
def region_meant(name: str) -> str | None:
    """The region that a name is another spelling of: its code, or a zone's name."""
    if len(name) > MAX_HINTED_CHARS:
        return None
    plain = _plain(name)
    found = _PLAIN_NAMES.get(plain) or _PLAIN_NAMES.get(re.sub(r"[0-9]+$|[市省区]$", "", plain))
    if found is not None:
        return found
    words = _words(name)
    places = {code for place, code in _PLACES.items() if place in words}  # `华南地区-广州`, `cn-guangzhou-b`
    if len(places) == 1:
        return places.pop()
    zones = {ZONE_OF[place] for place in places}  # `硅谷、弗吉尼亚`
    return zones.pop() if len(zones) == 1 else None


@lru_cache(maxsize=1024)
def nearest_region(name: str) -> str | None:
    """The region that a name is another spelling of, or a misspelling."""
    meant = region_meant(name)
    if meant is not None or len(name) > MAX_HINTED_CHARS:
        return meant
    near = difflib.get_close_matches(_plain(name), _PLAIN_NAMES, 1, CLOSE)
    return _PLAIN_NAMES[near[0]] if near else None


def region_hint(value: Any) -> str | None:
    """The nearest of the regions, as a question."""
    near = nearest_region(value) if isinstance(value, str) else None
    return None if near is None else f"did you mean {near!r}?"


def estimated_region(value: Any) -> str | None:
    """The region as outputs say it, by a code, a name or another spelling of one."""
    if not isinstance(value, str):
        return None
    return REGION_CODES.get(value) or region_meant(value)


_KINDS = {
    "face": "face",
    "text": "text",
    "speech": "speech",
    "openingending": "opening_ending",
    "frametag": "frame_tag",
    "ocr": "text",
    "asr": "speech",
    "人脸": "face",
    "文字": "text",
    "文本": "text",
    "语音": "speech",
    "片头片尾": "opening_ending",
    "标签": "frame_tag",
    "headtail": "opening_ending",
}


def kinds_hint(value: Any) -> str | None:
    """The nearest kind of the first that is unknown; or the list, where kinds are one string."""
    if isinstance(value, list):
        unknown = sorted(kind for kind in value if isinstance(kind, str) and kind not in _KINDS.values())
        near = nearest_kind(unknown[0]) if unknown else None
        return None if near is None else f"did you mean {near!r}?"
    names = re.split(r"[,;|\s]+", value) if isinstance(value, str) and len(value) <= MAX_HINTED_CHARS else []
    known = [_KINDS[plain] for name in names if (plain := _plain(name)) in _KINDS]
    return f"it is one string: send {json.dumps(known)}" if known and len(known) == len(names) else None


@lru_cache(maxsize=1024)
def nearest_kind(name: str) -> str | None:
    """The kind that a name is another spelling of, or a misspelling."""
    if len(name) > MAX_HINTED_CHARS:
        return None
    plain = _plain(name)
    for ending in ("task", "recognition", "detection", "s"):
        plain = plain if plain in _KINDS else plain.removesuffix(ending)
    near = [plain] if plain in _KINDS else difflib.get_close_matches(plain, _KINDS, 1, CLOSE)
    return _KINDS[near[0]] if near else None
