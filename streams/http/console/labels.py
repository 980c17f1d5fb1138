"""Each cell of a table names its column, so that a narrow screen can show every row as a card: label and value.

Done to the markup of a whole page, so that no table can be without it. The templates are ours: a `>` in an attribute or
a text is escaped, and tables are not nested.
"""

import re

from markupsafe import Markup, escape

_TABLE = re.compile(r"<table\b.*?</table>", re.DOTALL)
_HEAD = re.compile(r'<th scope="col"[^>]*>(.*?)</th>', re.DOTALL)
_ROW = re.compile(r"<tr\b.*?</tr>", re.DOTALL)
_CELL = re.compile(r"<(?:td|th)\b")
#: A unit at the end of a column's name: it may stand below the name, but is not broken (元/分钟 would be).
_UNIT = re.compile("（[^（）<>]+）(?=</th>)")


def labelled(markup: str) -> str:
    """The same page; cells of rows that have one for each column carry `data-label`, the column's name."""
    return _TABLE.sub(_table, markup)


def _table(found: re.Match[str]) -> str:
    head, body, rows = found[0].partition("</thead>")
    names = [str(escape(Markup(name).striptags())) for name in _HEAD.findall(head)]
    head = _UNIT.sub(r'<span class="nowrap">\g<0></span>', head)
    return head + body + _ROW.sub(lambda row: _row(row[0], names), rows)


def _row(row: str, names: list[str]) -> str:
    if len(_CELL.findall(row)) != len(names):  # of sums, whose first cell says what they are
        return row
    left = iter(names)
    return _CELL.sub(lambda cell: f'{cell[0]} data-label="{next(left)}"', row)
