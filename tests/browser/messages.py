"""`python -m tests.browser.messages`: gather what people are told, and bring the catalogues up to it."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po
from pydantic_core._pydantic_core import list_all_errors

from meter.rejects import Code
from streams.http.problems import STATUS_CODES
from streams.http.words import SENTENCE, pattern_of

ROOT = Path(__file__).parents[2]
HTTP = ROOT / "streams" / "http"
METHODS = [("**.py", "python"), ("console/templates/**.html", "jinja2")]
OPTIONS = {"console/templates/**.html": {"trimmed": "false", "silent": "false", "newstyle_gettext": "true"}}
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2)}

#: Where sentences of refusals are made, and by what: the call, and where its code is (None: it has none).
SAID_IN = ("meter", "streams/http", "streams/completions/redrive.py", "streams/commands", "streams/store/queries")
SAID_BY = {
    "Refusal": 0, "refuse": 1, "Problem": 1, "unavailable": 0,
    "_wrong": None, "Meant": None, "InstantHint": None, "Repair": None, "Count": None, "Unit": None, "Beginning": None,
    "_broken": None,
    "not_found": None, "PydanticCustomError": 0, "ValueError": None, "Kept": None,
    "BadCursorError": None, "SettingError": None, "_CannotCorrectError": None,
}  # fmt: skip
#: Modules whose errors no caller of the API is told of.
NOT_TOLD = {
    "snapshot.py", "rules.py", "state.py", "journal.py", "periods.py", "outputs.py", "replay.py", "serve.py",
    "description.py", "examples.py", "capitals.py", "books.py", "clock.py",
}  # fmt: skip
#: Names that a sentence is kept under before it is said.
KEPT_AS = {"message", "detail", "notice", "reason", "text", "said", "refusal", "bad", "why", "REMEDY"}
#: Functions that return one.
RETURNED_BY = {
    "_reason", "final_reason", "_of_meant", "_of_told", "_too_long", "region_hint", "kinds_hint", "duration_hint",
    "instant_hint", "field_hint", "wrapping",
}  # fmt: skip
#: Of pydantic's own errors, those that our models can give.
OF_PYDANTIC = {
    "missing", "extra_forbidden", "string_type", "string_too_short", "string_too_long", "string_pattern_mismatch",
    "string_unicode", "int_type", "int_parsing", "int_from_float", "bool_type", "bool_parsing", "dict_type",
    "list_type", "model_type", "model_attributes_type", "too_short", "too_long", "greater_than", "greater_than_equal",
    "less_than", "less_than_equal", "literal_error", "enum", "none_required", "json_invalid", "json_type",
    "date_from_datetime_parsing", "date_parsing", "date_type", "datetime_parsing", "datetime_type",
    "datetime_from_date_parsing", "timezone_aware", "decimal_parsing", "decimal_type", "tuple_type", "float_type",
}  # fmt: skip
#: What others say within our sentences.
OF_OTHERS = (
    "not JSON: {1}: line {2} column {3} (char {4})",  # Python's JSON reader
    "Not Found",
    "Method Not Allowed",
)


def messages() -> Catalog:
    """All messages of templates and code, and all sentences of refusals, as they are now."""
    catalog = Catalog(project="recognition-meter", fuzzy=False)
    for name, line, message, comments, context in extract_from_dir(HTTP, METHODS, OPTIONS, keywords=KEYWORDS):
        catalog.add(message, None, [(name, line)], auto_comments=comments, context=context)
    for sentence in sentences():
        catalog.add(sentence, context=SENTENCE)
    return catalog


def sentences() -> set[str]:
    """What refusals say, each with places for what it quotes."""
    own = {sentence for call in _calls() for node in _arguments(call) for sentence in _sentences(node)}
    own = {sentence for sentence in own if not sentence.startswith(("--", "METER_"))}  # of the command line
    pydantic = {_numbered(each["message_template_python"]) for each in list_all_errors() if each["type"] in OF_PYDANTIC}
    own |= {sentence for node in _kept() for sentence in _sentences(node)}
    general = [re.compile(pattern_of(sentence)) for sentence in own if "{1}" in sentence]
    examples = {one for one in own if "{" not in one and any(each.fullmatch(one) for each in general)}
    return own - examples | pydantic | set(OF_OTHERS)


def codes() -> set[str]:
    """Every code that a refusal or a problem can have."""
    found = set()
    for call in _calls():
        at = SAID_BY[_name(call)]
        if at is not None and len(call.args) > at and not isinstance(call.args[at], ast.JoinedStr | ast.Subscript):
            given = {str(node.value) for node in ast.walk(call.args[at]) if isinstance(node, ast.Constant)}
            found |= {f"{code}_unavailable" if _name(call) == "unavailable" else code for code in given}
    of_dicts = (node for module in _modules() for node in ast.walk(module) if isinstance(node, ast.Dict))
    found |= {str(getattr(value, "value", "")) for node in of_dicts for value in _values(node, "code")}
    return {code for code in found if code.isidentifier()} | {*Code, *STATUS_CODES.values()}


def actions() -> set[str]:
    """What the audit trail can say that somebody did."""
    nodes = [node for module in _modules() for node in ast.walk(module)]
    at = {"Change": 3, "_note": 1}
    calls = [node for node in nodes if isinstance(node, ast.Call) and len(node.args) > at.get(_name(node), 99)]
    given = [call.args[at[_name(call)]] for call in calls]
    given += [value for node in nodes if isinstance(node, ast.Dict) for value in _values(node, "action")]
    return {str(node.value) for node in given if isinstance(node, ast.Constant)}


def _values(node: ast.Dict, *names: str) -> list[ast.expr]:
    """The values of a dictionary that is written out, under some names."""
    pairs = zip(node.keys, node.values, strict=True)
    return [value for key, value in pairs if isinstance(key, ast.Constant) and key.value in names]


@cache
def _modules() -> list[ast.Module]:
    found = [ROOT / place for place in SAID_IN]
    files = [file for path in found for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    return [ast.parse(file.read_text()) for file in files if file.name not in NOT_TOLD]


def _calls() -> Iterator[ast.Call]:
    for module in _modules():
        yield from (node for node in ast.walk(module) if isinstance(node, ast.Call) and _name(node) in SAID_BY)


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _arguments(call: ast.Call) -> list[ast.expr]:
    at = SAID_BY[_name(call)]
    return [node for place, node in enumerate(call.args) if place != at]


def _kept() -> Iterator[ast.expr]:
    """What is assigned to a name that says it is a sentence, or returned by a function that does."""
    for module in _modules():
        for node in ast.walk(module):
            if isinstance(node, ast.Assign) and any(getattr(one, "id", "") in KEPT_AS for one in node.targets):
                yield from node.value.values if isinstance(node.value, ast.Dict) else [node.value]
            elif isinstance(node, ast.Dict):
                yield from _values(node, "message", "detail")
            elif isinstance(node, ast.FunctionDef) and node.name in RETURNED_BY:
                yield from (each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value)


def _sentences(node: ast.expr) -> Iterator[str]:
    """The texts of an expression that are sentences: more than a word, and not all of it quoted."""
    if isinstance(node, ast.IfExp):
        yield from (each for part in (node.body, node.orelse) for each in _sentences(part))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        if " " in node.value.strip():
            yield _numbered(node.value)
    elif isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        if " " in text.replace("{}", "").strip(" :"):
            yield _numbered(text)


def _numbered(text: str) -> str:
    """A sentence with its places numbered from 1."""
    count = iter(range(1, 100))
    return re.sub(r"\{[^}]*\}", lambda _: f"{{{next(count)}}}", text)


def catalogue(language: str) -> Catalog:
    """A language's catalogue as it is kept."""
    with (HTTP / "locales" / language / "messages.po").open("rb") as file:
        return read_po(file, locale=language)


def main() -> None:
    """Write each catalogue again: new messages without a translation, and none that is gone."""
    for path in HTTP.glob("locales/*/messages.po"):
        kept, now = catalogue(path.parent.name), messages()
        now.creation_date = kept.creation_date  # else two who add messages meet in it
        kept.update(now, no_fuzzy_matching=True)
        with path.open("wb") as file:
            write_po(file, kept, width=120, omit_header=False, no_location=True, ignore_obsolete=True, sort_output=True)


if __name__ == "__main__":
    main()
