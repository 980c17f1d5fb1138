"""How commands print: answers on standard output, all else on standard error; plain text where nobody looks."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from streams.visible import visible, visible_json

NUMBERS = frozenset(
    {"jobs", "minutes", "amount", "unit price", "at risk", "payable", "refunded", "change", "balance", "unpaid"}
)


def complain(line: str) -> None:
    """One line about what is wrong."""
    print(f"meter: {visible(line)}", file=sys.stderr, flush=True)


def note(line: str) -> None:
    """One line about what goes on."""
    print(visible(line), file=sys.stderr, flush=True)


def say(line: str) -> None:
    """One line of the answer."""
    print(visible(line), flush=True)


def say_json(value: Any) -> None:
    """One line of JSON."""
    print(visible_json(json.dumps(value, ensure_ascii=False)), flush=True)


def counted(number: int, noun: str) -> str:
    """So many of something whose plural ends with s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, last: Sequence[str] = ()) -> None:
    """A table; `last` is a sum line. In a pipe the lines are as long as they need to be."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    width = None if sys.stdout.isatty() else 100_000
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, show_footer=bool(last))
    for name, foot in zip(columns, last or [""] * len(columns), strict=True):
        table.add_column(name, foot, justify="right" if name in NUMBERS else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(visible, row))
    Console(width=width, markup=False, highlight=False, emoji=False).print(table)


def say_fields(fields: Mapping[str, str]) -> None:
    """Names and values, one a line."""
    width = max(map(len, fields))
    for name, value in fields.items():
        say(f"{name.ljust(width)}  {value}")
