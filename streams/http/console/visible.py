"""What pages say can be seen: see `streams.text.visible`. What a form sends back is as it is; so is a record laid out.

A page's own markup holds nothing that cannot be seen but line ends. So the line ends of what is put into it are held
apart while it is made, and when it is whole all that cannot be seen is replaced, but in the values of its fields.
"""

import re
from typing import Any

from markupsafe import Markup

from streams.text.visible import visible

#: Stands for a control that markup has of its own: code points that are no characters, and never will be.
_HELD = {"\n": "\ufdd0", "\r": "\ufdd1", "\t": "\ufdd2"}
_INTO = str.maketrans(_HELD)
_AS_IT_IS = {ord(held): own for own, held in _HELD.items()}
_ESCAPED = {ord(held): visible(own) for own, held in _HELD.items()}
#: What a form sends back, and records that are laid out, which the pages have made visible line by line.
_KEPT = re.compile(r'( value="[^"]*"|<textarea[^>]*>[^<]*</textarea>|<pre[^>]*>[^<]*</pre>)')


def held(value: Any) -> Any:
    """For what a template puts into a page: text that is no markup, with its line ends held apart."""
    return value.translate(_INTO) if isinstance(value, str) and not isinstance(value, Markup) else value


def all_visible(markup: str) -> str:
    """A page in which all can be seen."""
    parts = _KEPT.split(markup)
    parts[1::2] = [part.translate(_AS_IT_IS) for part in parts[1::2]]
    parts[::2] = ["\n".join(map(_line, part.split("\n"))) for part in parts[::2]]
    return "".join(parts)


def _line(text: str) -> str:
    return "\t".join(map(visible, text.translate(_ESCAPED).split("\t")))
