"""Every cell of a table says what it is, for screens on which a row is a card; amounts stay whole."""

import re
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from markupsafe import Markup

from streams.http.console.labels import labelled
from streams.http.console.languages import LocaleFormat

TEMPLATES = Path(__file__).parents[2] / "streams/http/console/templates"

HEAD = '<thead><tr><th scope="col">Day &amp; night</th><th scope="col"><span class="sr">"CNY"</span></th></tr></thead>'
TABLE = f"<p>a</p><table>{HEAD}<tbody>{{}}</tbody></table><td>b</td>"


def test_a_cell_carries_the_name_of_its_column() -> None:
    row = '<tr id="x"><th scope="row">1 Jan</th><td class="num">16.80</td></tr>'
    told = row.replace("<th ", '<th data-label="Day &amp; night" ').replace("<td ", '<td data-label="&#34;CNY&#34;" ')
    assert labelled(TABLE.format(row)) == TABLE.format(told)


def test_a_row_of_sums_has_a_name_of_its_own() -> None:
    sums = '<tr><td colspan="2">Sum</td></tr>'
    assert labelled(TABLE.format(sums)) == TABLE.format(sums)


def test_a_unit_in_the_name_of_a_column_is_not_broken() -> None:
    table = '<table><thead><tr><th scope="col">单价（元/分钟）</th></tr></thead><tr><td>0.28</td></tr></table>'
    assert labelled(table) == table.replace("（元/分钟）", '<span class="nowrap">（元/分钟）</span>').replace(
        "<td>", '<td data-label="单价（元/分钟）">'
    )


def test_the_templates_are_as_labels_take_them_to_be() -> None:
    for path in TEMPLATES.glob("*.html"):
        markup = path.read_text()
        for table in re.findall(r"<table\b.*?</table>", markup, re.DOTALL):
            assert table.count("<table") == 1, path
            head = table.partition("</thead>")[0]
            assert '<th scope="col"' in head, path
            assert "<td" not in head, path
            # What a sum is of is no figure of the first column: `Open bill: less your balance`.
            for row in re.findall(r"<tr>\s*<(.*?)>", "".join(re.findall(r"<tfoot>.*?</tfoot>", table, re.DOTALL))):
                assert row.startswith("th") or "colspan" in row, path


@pytest.mark.parametrize(
    ("amount", "size"),
    [("1234567.89", "money"), ("123456789.0123", "money long"), ("1234567890.12345678", "money longer")],
)
def test_a_long_amount_is_set_smaller_and_not_cut(amount: str, size: str) -> None:
    shown = LocaleFormat("en", ZoneInfo("UTC")).money(Decimal(amount))
    assert f'<span class="{size}">' in shown
    assert Markup(shown).striptags().replace(",", "") == amount
