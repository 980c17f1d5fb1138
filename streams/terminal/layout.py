"""How tables and fields are laid out: by display columns, amounts by their decimal points, within a width or none.

A table that is too wide for a terminal first wraps its prose, then has several lines for each row. Nothing is ever cut.
East Asian wide characters count two columns.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len, chop_cells

#: Columns of counts and amounts: to the right, the decimal points below each other.
NUMBERS = frozenset(
    {
        *("jobs", "minutes", "records", "lines", "lag", "waiting", "dead", "attempts"),
        *("amount", "unit price", "CNY per minute", "at risk", "payable", "refunded", "credited"),
        *("change", "balance", "unpaid"),
    }
)
#: Columns of text that may be wrapped between words.
PROSE = frozenset({"reason", "what", "postings", "last error", "for example", "notice", "price zone", "the meter"})

GAP = 3
NARROW_GAP = 2
INDENT = "  "
#: Prose in a narrower column is not read but deciphered.
LEAST_PROSE = 24

_NUMBER = re.compile(r"(-?[\d,]+)(\.\d+)?(.*)", re.DOTALL)


class TextTable(NamedTuple):
    """Columns by name, rows of printable text, and a sum line (empty: none)."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    last: Sequence[str] = ()


class _Deck(NamedTuple):
    """Columns that stand beside each other, by number, and how wide each is."""

    columns: list[int]
    widths: list[int]
    indent: str
    gap: int

    @property
    def width(self) -> int:
        return len(self.indent) + sum(self.widths) + self.gap * (len(self.widths) - 1)


def laid_out(table: TextTable, width: int | None, rule: str = "─") -> Iterator[str]:
    """The lines of a table: no longer than `width` display columns, or with a line for each row where that is None."""
    table = _with_points_aligned(table)
    decks = _decks(table, width)
    numbers = [name in NUMBERS for name in table.columns]
    yield from _lines(table.columns, decks, numbers)
    yield rule * max(deck.width for deck in decks)
    for row in table.rows:
        yield from _lines(row, decks, numbers)
    if table.last:
        yield ""
        yield from _lines(table.last, decks, numbers)


def aligned(numbers: Sequence[str]) -> list[str]:
    """Numbers with their decimal points below each other; a unit after one stays with it. What is none stays."""
    parts = [_NUMBER.fullmatch(text) for text in numbers]
    wholes = max((len(part[1]) for part in parts if part), default=0)
    places = max((len(part[2] or "") for part in parts if part), default=0)
    found = [
        f"{part[1].rjust(wholes)}{(part[2] or '').ljust(places)}{part[3]}" if part else text
        for part, text in zip(parts, numbers, strict=True)
    ]
    widest = max(map(cell_len, found), default=0)
    return [text.ljust(widest) if part else text for part, text in zip(parts, found, strict=True)]


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most so many display columns, broken between words; longer words are broken themselves."""
    if cell_len(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if cell_len(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = chop_cells(word, width) or [""]
        line += word[sum(map(len, whole)) + len(line) :]  # what has no width at the end is left out there
        lines += whole
    return [*lines, line]


def padded(text: str, width: int, right: bool = False) -> str:
    """The text in so many display columns."""
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks


def _with_points_aligned(table: TextTable) -> TextTable:
    rows = [list(row) for row in table.rows]
    last = list(table.last)
    for place, name in enumerate(table.columns):
        if name in NUMBERS:
            cells = [row[place] for row in rows] + ([last[place]] if last else [])
            for row, cell in zip([*rows, last] if last else rows, aligned(cells), strict=True):
                row[place] = cell
    return TextTable(table.columns, rows, last)


def _decks(table: TextTable, width: int | None) -> list[_Deck]:
    """All columns beside each other where that fits; else with prose wrapped; else below each other, in their order."""
    cells = [table.columns, *table.rows, *([table.last] if table.last else [])]
    widths = [max(cell_len(row[place]) for row in cells) for place in range(len(table.columns))]
    every = list(range(len(widths)))
    for gap in (GAP, NARROW_GAP):
        deck = _Deck(every, widths, "", gap)
        if width is None or deck.width <= width:
            return [deck]
    assert width is not None
    squeezed = _squeezed(table.columns, widths, width)
    if squeezed is not None:
        return [_Deck(every, squeezed, "", NARROW_GAP)]
    return list(_stacked(widths, width))


def _squeezed(columns: Sequence[str], widths: list[int], width: int) -> list[int] | None:
    """Widths with prose as narrow as it must be; None where that would be too narrow to read."""
    prose = [place for place, name in enumerate(columns) if name in PROSE and widths[place] > LEAST_PROSE]
    rest = sum(each for place, each in enumerate(widths) if place not in prose)
    room = width - rest - NARROW_GAP * (len(widths) - 1)
    if not prose or room < LEAST_PROSE * len(prose):
        return None
    found = list(widths)
    for count, place in zip(range(len(prose), 0, -1), sorted(prose, key=widths.__getitem__), strict=True):
        found[place] = min(widths[place], room // count)
        room -= found[place]
    return found


def _stacked(widths: list[int], width: int) -> Iterator[_Deck]:
    columns: list[int] = []
    indent = ""
    for place, own in enumerate(widths):
        deck = _Deck([*columns, place], [*(widths[each] for each in columns), own], indent, NARROW_GAP)
        if columns and deck.width > width:
            yield _Deck(columns, [min(widths[each], width - len(indent)) for each in columns], indent, NARROW_GAP)
            columns, indent = [], INDENT
        columns.append(place)
    yield _Deck(columns, [min(widths[each], width - len(indent)) for each in columns], indent, NARROW_GAP)


def _lines(row: Sequence[str], decks: Iterable[_Deck], numbers: Sequence[bool]) -> Iterator[str]:
    """The lines of one row; those with nothing on them are left out, but for the first."""
    for number, deck in enumerate(decks):
        cells = [wrapped(row[place], own) for place, own in zip(deck.columns, deck.widths, strict=True)]
        if number and not any(any(cell) for cell in cells):
            continue
        for line in range(max(map(len, cells))):
            parts = [
                padded(cell[line] if line < len(cell) else "", own, numbers[place])
                for place, own, cell in zip(deck.columns, deck.widths, cells, strict=True)
            ]
            yield f"{deck.indent}{(' ' * deck.gap).join(parts)}".rstrip()
