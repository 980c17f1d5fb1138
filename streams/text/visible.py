"""Text as people may look at it: what shows nothing, or drives a terminal or the direction of a line, is written out.

Ids may hold anything, and come from whoever produces. `A\\u202e` must not look like `A`, nor make a line of a log or
turn one around: where people read it stands as its escape. What programs read (topics, the API's JSON, Parquet) keeps
it as it came. This is the one place that says which characters these are.
"""

import re

#: Characters that Python calls printable and that show nothing: fillers, joiners, selectors of variations.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")

#: What begins a formula, in full width too.
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def visible(text: str) -> str:
    r"""Text with all that cannot be seen as its escape: controls, directions, line ends, blanks of other kinds.

    >>> visible("A\u202eB\n"), visible("Ä 中 🎬")
    ('A\\u202eB\\n', 'Ä 中 🎬')
    """
    if text.isprintable() and not _BLANK.search(text):
        return text
    return "".join(map(_shown, text))


def visible_json(text: str) -> str:
    """JSON, in which all that cannot be seen is an escape of JSON: it says the same to whoever reads it."""
    if text.isprintable() and not _BLANK.search(text):
        return text
    return "".join(c if _is_seen(c) else "".join(f"\\u{unit:04x}" for unit in _utf16(c)) for c in text)


def cell(text: str) -> str:
    """Text for a cell of a CSV file: visible, and marked as text where a spreadsheet would take it for a formula.

    >>> cell("=1+1"), cell("-1.80"), cell("-A")
    ("'=1+1", '-1.80', "'-A")
    """
    shown = visible(text)
    return f"'{shown}" if shown[:1] in _FORMULA and not _NUMBER.fullmatch(shown) else shown


def _shown(character: str) -> str:
    return character if _is_seen(character) else character.encode("unicode_escape").decode()


def _is_seen(character: str) -> bool:
    return character.isprintable() and not _BLANK.match(character)


def _utf16(character: str) -> list[int]:
    data = character.encode("utf-16-be", "surrogatepass")
    return [int.from_bytes(data[place : place + 2]) for place in range(0, len(data), 2)]
