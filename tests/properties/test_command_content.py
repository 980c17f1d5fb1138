"""Two commands are the same where the meter reads the same, however they are written; the recount has its own rule."""

import json
import random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from meter.commands import HANDLERS, command_digest, read_command
from meter.regions import ZONES
from tests.recount.commands import Answer
from tests.recount.count import PartitionCount, Record
from tests.recount.fields import content
from tests.recount.rules import parse_object

#: Spellings of each field: the first ones can be read, and some of them say the same; the others mostly cannot.
MONEY: list[Any] = [
    "5",
    "5.0",
    "5.00",
    "05",
    "5.01",
    "999999999999.99",
    "-5.00",
    "0",
    "1.234",
    "5e0",
    "\u0665",
    5,
    None,
]
COUNTS: list[Any] = [1, 72, 72.0, 73, 8784, 1.0, 72.5, "72", True, None, 0, 10**30]
NAMES: list[Any] = ["A", "a", "é", "e\u0301", "😀", "a\0b", "", "x" * 128, "x" * 129, 7, None]
BOOKS: list[Any] = [dict.fromkeys(ZONES, "0.3"), dict.fromkeys(reversed(ZONES), "0.300"), dict.fromkeys(ZONES, "0.4")]
OWN: list[Any] = [{"*": "0.3", "ap-tokyo": "1"}, {"ap-tokyo": "1.0", "*": "00.3"}, {"*": "0.3"}]
ODD: list[Any] = [{"*": ".3"}, {"*": "0.300000001"}, {"*": 0.3}, {"Tokyo": "0.3"}, {"Mars": "1"}, [], None]
ISSUED: list[Any] = ["2019-01-02T13:00:00+08:00", "2019-01-02T05:00:00Z", "2020-01-01T00:00:00Z", "2019-01-02", None]
SPELLINGS: dict[str, list[Any]] = {
    "v": [1, 1.0, 1, 1, 1, 1, 2, "1"],
    "issued_at": ISSUED,
    "amount": MONEY,
    "threshold": MONEY,
    "grace_hours": COUNTS,
    "line": COUNTS,
    "mode": ["daily", "monthly", "weekly", None],
    "currency": ["CNY", "EUR"],
    "effective_from": ["2019-02-01", "2019-03-01", "2019-02-30", "2019-02-01 ", "2019-2-1", None],
    "prices": [*BOOKS, *OWN, *ODD],
    "note": [None, "unknown", {"deep": [1]}],
}
READABLE = {"mode": 2, "currency": 1, "effective_from": 2, "issued_at": 3, "note": 3}
FIELDS = {
    kind: sorted({*handler.model.model_fields, "note"} - {"type", "command_id"}) for kind, handler in HANDLERS.items()
}


def spelling(name: str, *, odd: bool) -> st.SearchStrategy[Any]:
    """One of a field's; an odd one can be anything."""
    known = SPELLINGS.get(name, NAMES)
    return st.sampled_from(known if odd else known[: READABLE.get(name, 6)])


@st.composite
def commands(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A command, and one that says some of it in another way, or something else."""
    kind = draw(st.sampled_from([*FIELDS, "dance"]))
    names = FIELDS.get(kind, ["amount", "note"])
    one = {name: draw(spelling(name, odd=False)) for name in names}
    two = dict(one)
    for name in draw(st.lists(st.sampled_from(names), max_size=3)):
        two[name] = draw(spelling(name, odd=draw(st.integers(0, 3)) == 0))
    for name in draw(st.lists(st.sampled_from(names), max_size=1)):
        if draw(st.integers(0, 3)) == 0:
            two.pop(name, None)
    other_kind = draw(st.sampled_from([kind] * 19 + ["dance"]))
    return {"command_id": "c", "type": kind, **one}, {"command_id": "c", "type": other_kind, **two}


def written(command: dict[str, Any], seed: int) -> bytes:
    """In some order, with or without escapes."""
    pairs = list(command.items())
    random.Random(seed).shuffle(pairs)
    return json.dumps(dict(pairs), ensure_ascii=bool(seed % 2), indent=seed % 3 or None).encode()


@settings(max_examples=1500, deadline=None)
@given(commands(), st.integers(0, 99), st.integers(0, 99))
def test_digests_are_equal_where_the_same_is_asked_for_and_only_there(
    pair: tuple[dict[str, Any], dict[str, Any]], one_seed: int, two_seed: int
) -> None:
    one, two = written(pair[0], one_seed), written(pair[1], two_seed)
    same = content(parse_object(one)) == content(parse_object(two))
    assert (command_digest(one) == command_digest(two)) is same


@settings(max_examples=500, deadline=None)
@given(commands(), st.integers(0, 99))
def test_meter_and_recount_can_read_the_same_commands(pair: tuple[dict[str, Any], dict[str, Any]], seed: int) -> None:
    value = written(pair[1], seed)
    assert (read_command(value).command is not None) is (content(parse_object(value))[0] == "read")


LITERALS = ["1", "72.0", "7.2e1", "1.0000000000000000000000001", "1e9999999999999999999", "1e-999999999", "9" * 5000]
PARTS = ['"A"', '"\\ud800"', '"\\u0000"', '{"\\ud800":"1"}', '{"*":"\\udc00"}', '[{"a":1,"a":2}]', "null", *LITERALS]
KEYS = ["note", "command_id", "type", "v", "account_id", "amount", "line", "grace_hours", "prices", "\\ud800", "a"]


WRONG_TWICE = {
    "command_id": "c", "type": "contract", "issued_at": ISSUED[0], "account_id": "A", "effective_from": "2019-02-01",
    "prices": {"Mars": "1"}, "grace_hours": "x",
}  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(commands(), st.integers(0, 99), st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(PARTS)), max_size=2))
@example(({}, {"command_id": "c", "type": "tick"}), 0, [("\\ud800", "1")])
@example(({}, {"command_id": "c", "type": "tick", "issued_at": ISSUED[0]}), 0, [("note", "9" * 5000)])
@example(({}, WRONG_TWICE), 0, [])
@example(({}, {"type": "tick"}), 0, [("command_id", "72"), ("v", "1"), ("v", "1")])
def test_meter_and_recount_read_what_no_client_sends_alike(
    pair: tuple[dict[str, Any], dict[str, Any]], seed: int, more: list[tuple[str, str]]
) -> None:
    kept = {name: value for name, value in pair[1].items() if seed % 3 or name not in dict(more)}
    whole = written(kept | {"end": 1}, seed).rstrip()[:-1]
    value = whole + "".join(f',"{name}":{part}' for name, part in more).encode() + b"}"
    found = read_command(value)
    (_, recounted, answer), *none = answers(value)
    assert not none
    assert ((found.command_id or ""), found.account_id) == (recounted, answer.account_id)
    if found.refusal is not None:
        assert answer.code == found.refusal.code
        assert found.refusal.message.encode()


def answers(value: bytes) -> list[tuple[int, str, Answer]]:
    """The recount's, where an account may not be known, and more."""
    count = PartitionCount(0, 1)
    count.fold([Record("meter.commands", 0, 0, 1_546_405_200_000, value)])
    return count.commands.answers
