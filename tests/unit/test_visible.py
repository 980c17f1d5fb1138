"""What cannot be seen is shown as its escape, wherever people read: terminals, pages, logs, spreadsheets."""

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from streams.export.formats import write_csv
from streams.http.console.render import environment
from streams.http.console.visible import all_visible
from streams.terminal.output import complain, note, say, say_fields, say_json, say_table
from streams.text.visible import cell, visible, visible_json

#: Controls of both sets, line ends, directions, joiners, fillers, tags, blanks of other kinds, what is no character.
HIDDEN = [
    *map(chr, range(0x20)), *map(chr, range(0x7F, 0xA1)), "\u00ad", "\u034f", "\u061c", "\u115f", "\u180e", "\u2000",
    *map(chr, range(0x200B, 0x2010)), *map(chr, range(0x2028, 0x2030)), *map(chr, range(0x2060, 0x2070)), "\u2800",
    "\u3000", "\u3164", "\ufe0f", "\ufeff", "\uffa0", "\ufff9", "\U000e0041", "\U000e0100", "\ud800", "\ue000",
    "\ufdd0",
]  # fmt: skip
SEEN = "Ä é 中文。 🎬 עברית =+-@'\"<>&\\"


@pytest.mark.parametrize("hidden", HIDDEN)
def test_what_cannot_be_seen_is_its_escape(hidden: str) -> None:
    shown = visible(f"A{hidden}B")
    assert shown.startswith("A\\")
    assert hidden not in shown
    assert shown.isprintable()
    text = json.dumps({f"A{hidden}": [hidden]}, ensure_ascii=False)
    assert json.loads(visible_json(text)) == {f"A{hidden}": [hidden]}
    assert visible_json(text).isascii()


def test_what_can_be_seen_stays() -> None:
    assert visible(SEEN) == SEEN
    assert visible_json(SEEN) == SEEN


@pytest.mark.parametrize("hidden", HIDDEN)
def test_commands_print_only_what_can_be_seen(hidden: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"A{hidden}B"
    complain(text)
    note(text)
    say(text)
    say_fields({"account": text})
    say_json({"account_id": text, "of": [{"id": text}]})
    say_table(["account"], [[text]])
    captured = capsys.readouterr()
    printed = captured.out + captured.err
    assert printed.replace("\n", "").isprintable()
    assert hidden == "\n" or hidden not in printed
    assert printed.count("\n") == len(printed.splitlines()) == 8


@pytest.mark.parametrize("hidden", [each for each in HIDDEN if each not in "\0\ud800\ufdd0"])
def test_pages_show_only_what_can_be_seen_and_forms_send_back_what_is(hidden: str) -> None:
    template = environment("en").from_string(
        '<p title="{{ id }}">\n\t{{ id }}</p>{% trans id=id %}{{ id }} here{% endtrans %}'
        '<input name="id" value="{{ id }}"><textarea>{{ id }}</textarea><pre>{{ id }}</pre>'
    )
    page = all_visible(template.render(id=f"A{hidden}B"))
    escape = visible(hidden)
    assert f'<p title="A{escape}B">\n\tA{escape}B</p>' in page
    if hidden not in "\r\n\t":
        assert f"A{escape}B here" in page
    for kept in (f' value="A{hidden}B"', f"<textarea>A{hidden}B</textarea>", f"<pre>A{hidden}B</pre>"):
        assert kept in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"), ("+A", "'+A"), ("-A", "'-A"), ("@A", "'@A"), ("\t=A", "\\t=A"), ("\r=A", "\\r=A"),
        ("\uff1dA", "'\uff1dA"), ("-1.80", "-1.80"), ("-1+1", "'-1+1"), ("A=B", "A=B"), ("", ""),
        ("A\u202eB", "A\\u202eB"),
        ("A\nB", "A\\nB"), ('né/"<b>,😀', 'né/"<b>,😀'),
    ],
)  # fmt: skip
def test_a_cell_is_no_formula_and_can_be_seen(text: str, shown: str) -> None:
    assert cell(text) == shown


def test_exported_cells_are_no_formulas() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    fields: dict[str, Any] = {
        "day": "2026-01-01", "account_id": "=HYPERLINK(1)", "job_id": "A\u202eB", "region": "ap-tokyo",
        "kinds": "face", "completed_at": at, "duration_s": "1", "minutes": 1, "unit_price": Decimal("0.28"),
        "amount": Decimal("-0.28"), "price_version": "@SUM(1)", "recorded_at": at, "source_topic": "t",
        "source_partition": 0, "source_offset": 0, "origin_topic": None, "origin_partition": None,
        "origin_offset": None,
    }  # fmt: skip
    file = io.BytesIO()
    write_csv([[SimpleNamespace(**fields)]], file)  # type: ignore[list-item]
    (row,) = csv.DictReader(io.StringIO(file.getvalue().decode()))
    assert (row["account_id"], row["job_id"]) == ("'=HYPERLINK(1)", "A\\u202eB")
    assert (row["price_version"], row["amount"]) == ("'@SUM(1)", "-0.28")
