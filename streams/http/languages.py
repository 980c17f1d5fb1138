"""The languages that people are answered in: which one a reader wants, and its messages out of a .po file.

English texts are the message ids.
"""

import io
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
    asked = (part.partition(";")[0].strip().lower()[:2] for part in accept.split(","))
    return next((language for language in asked if language in NAMES), DEFAULT)
