"""The languages that people are answered in: which one a reader wants, and its messages out of a .po file.

English texts are the message ids.
"""

import io
import re
from functools import cache
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

FOLDER = Path(__file__).parent / "locales"
#: Language -> what it calls itself, and its locale.
NAMES = {"en": ("English", "en_GB"), "zh": ("简体中文", "zh_Hans_CN")}
DEFAULT = "en"
#: The tag of a language, in markup and headers.
TAGS = {"en": "en", "zh": "zh-Hans"}


@cache
def translations(language: str) -> NullTranslations:
    """The messages of a language; of English there are none to look up."""
    path = FOLDER / language / "messages.po"
    if not path.exists():
        return NullTranslations()
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Translations(compiled)


def chosen(cookie: str | None, accept: str) -> str:
    """The language of a reader: by the cookie, else by what the client asks for, else English."""
    if cookie in NAMES:
        return str(cookie)
    wanted = sorted((_wanted(part) for part in accept[:200].split(",")[:20]), key=lambda each: -each[1])
    return next((language for language, weight in wanted if language in NAMES and weight), DEFAULT)


def _wanted(part: str) -> tuple[str, float]:
    """A language of `Accept-Language`, and how much it is wanted."""
    tag, _, weight = part.partition(";")
    found = re.fullmatch(r"\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*", weight)
    return tag.strip().lower().partition("-")[0], float(found[1]) if found else 1.0
