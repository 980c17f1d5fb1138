"""Tables and fields: readable at 80 columns, whole in a pipe, amounts by their points, wide characters as two."""

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from fcntl import ioctl
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from streams.terminal.layout import PROSE, TextTable, aligned, laid_out, wrapped

REJECTS = TextTable(
    ("position", "time", "code", "account", "job", "at risk", "put right", "reason"),
    [
        [
            "3:17",
            "2026-11-23T10:20:30.000+08:00",
            "unknown_region",
            "starlight-video",
            "job-000123",
            "",
            "",
            "no " * 60,
        ],
        ["0:1", "2026-11-23T10:20:30.000+08:00", "bad_duration", "录像公司", "录像-17", "0.6272", "yes", "an hour"],
        ["12:4711", "2026-11-23T10:20:30.000+08:00", "not_json", "", "", "1234.50", "", "not JSON: " + "x" * 100],
    ],
)
TOTALS = TextTable(
    ("day", "account", "region", "jobs", "minutes", "amount"),
    [["2026-11-23", "A", "Mainland China", "1", "60", "16.80"], ["2026-11-23", "录像", "ap-tokyo", "1", "2", "0.6272"]],
    ("sum", "", "", "2", "62", "17.4272 CNY"),
)


def lines(table: TextTable, width: int | None) -> list[str]:
    return list(laid_out(table, width))


def words(text: str) -> list[str]:
    return sorted(re.sub(r"[─\s]+", "", text))


@pytest.mark.parametrize("width", [20, 40, 80, 100, 132, 250])
@pytest.mark.parametrize("table", [REJECTS, TOTALS])
def test_no_line_is_longer_than_the_terminal_and_nothing_is_lost(table: TextTable, width: int) -> None:
    found = lines(table, width)
    assert max(map(cell_len, found)) <= width
    every = [*table.columns, *table.last, *(cell for row in table.rows for cell in row)]
    assert words("".join(found)) == words("".join(every))


@pytest.mark.parametrize("table", [REJECTS, TOTALS])
def test_in_a_pipe_each_row_is_a_line(table: TextTable) -> None:
    found = lines(table, None)
    assert len(found) == 2 + len(table.rows) + 2 * bool(table.last)
    assert len({cell_len(line) for line in found[:1]}) == 1


def test_amounts_stand_with_their_points_below_each_other_and_wide_characters_count_two() -> None:
    assert lines(TOTALS, 80) == [
        "day          account   region           jobs   minutes        amount",
        "─" * 68,
        "2026-11-23   A         Mainland China      1        60   16.80",
        "2026-11-23   录像      ap-tokyo            1         2    0.6272",
        "",
        "sum                                        2        62   17.4272 CNY",
    ]


def test_a_table_that_is_too_wide_has_several_lines_a_row() -> None:
    found = lines(REJECTS, 80)
    assert found[0].startswith("position  time")
    assert found[1].startswith("  job")
    second = next(number for number, line in enumerate(found) if line.startswith("0:1"))
    assert found[second].split() == ["0:1", "2026-11-23T10:20:30.000+08:00", "bad_duration", "录像公司"]
    assert found[second + 1].split() == ["录像-17", "0.6272", "yes"]
    assert found[second + 2] == "  an hour"


def test_prose_is_wrapped_between_words_where_the_rest_fits() -> None:
    table = TextTable(
        ("code", "records", "reason"), [["unknown_region", "12", "region: unknown region 'ap-atlantis' " * 3]]
    )
    found = lines(table, 80)
    assert [len(line) - len(line.lstrip()) for line in found[2:]] == [0, 25, 25]
    assert "reason" in PROSE


@given(st.lists(st.decimals(-10_000, 10_000, places=4).map(lambda value: f"{value:f}"), min_size=1))
def test_aligned_numbers_are_the_same_numbers(numbers: list[str]) -> None:
    found = aligned([*numbers, "", "(not known)"])
    assert [text.strip() for text in found] == [*numbers, "", "(not known)"]
    assert len({text.index(".") for text in found[: len(numbers)]}) == 1
    assert len({len(text) for text in found[: len(numbers)]}) == 1


@settings(deadline=None)
@given(st.text("abc录像 \u0301", max_size=60), st.integers(4, 30))
def test_wrapped_text_is_the_same_text(text: str, width: int) -> None:
    found = wrapped(text, width)
    assert max(map(cell_len, found)) <= width
    assert "".join(found).replace(" ", "") == text.replace(" ", "")


METER = Path(sys.executable).with_name("meter")


def on_a_terminal(arguments: Sequence[str], width: int) -> str:
    """What a command prints on a terminal that is so wide."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen([METER, *arguments], stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    assert process.wait() == 0
    return b"".join(parts).decode().replace("\r\n", "\n")


@pytest.mark.parametrize("width", [80, 200])
def test_the_price_books_are_readable_on_a_terminal(width: int) -> None:
    found = on_a_terminal(["prices", "show"], width)
    assert max(map(cell_len, found.splitlines())) <= width
    assert " ".join(found.split()).count("CNY per minute") == 1
    prices = [line for line in found.splitlines() if re.search(r"0\.\d+", line)]
    assert [re.findall(r"0\.\d+", line)[0] for line in prices] == ["0.28", "0.308", "0.3136"]
    assert len({line.index("0.") for line in prices}) == 1


def test_a_long_field_goes_on_below_its_beginning() -> None:
    found = on_a_terminal(["quote", "--region", "Mumbai", "--duration", "60"], 40)
    assert max(map(cell_len, found.splitlines())) <= 40
