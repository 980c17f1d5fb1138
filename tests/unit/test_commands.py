"""Commands: each is answered, with a stable code where it is refused, and the same when it comes again."""

import json
from typing import Any

import pytest

from meter import topics
from meter.answers import Answer
from meter.commands import MAX_MESSAGE_CHARS, command_digest, result_value
from meter.models import CommandResult, Source
from streams.http.conditions import _is_about
from tests.builders import HOUR_MS, NOON_MS, Partition, encode, price_book, results_of


def answer_to(value: Any, partition: Partition | None = None) -> tuple[bytes, CommandResult]:
    step = (partition or Partition()).fold(value, topic=topics.COMMANDS)
    assert (step.counts.read, step.counts.commands) == (1, 1)
    return step.outputs.results[0][0], results_of(step)[0]


@pytest.mark.parametrize(
    ("value", "code", "command_id"),
    [
        (None, "bad_fields", ""),
        (b"", "bad_fields", ""),
        (b"{", "bad_fields", ""),
        (b"[]", "bad_fields", ""),
        (b"\xff", "bad_fields", ""),
        (b"[" * 100_000, "bad_fields", ""),
        (b'{"command_id":"c","type":"price_book","x":' + b"[" * 5000 + b"]" * 5000 + b"}", "bad_fields", ""),
        (b'{"command_id":"c","type":"price_book","x":"\xff"}', "bad_fields", ""),
        (b'{"command_id":"\\ud800","type":"price_book"}', "bad_fields", ""),
        ({"type": "price_book"}, "bad_fields", ""),
        ({"command_id": 7, "type": "price_book"}, "bad_fields", ""),
        ({"command_id": "c"}, "bad_fields", ""),
        (price_book(command_id=""), "bad_fields", ""),
        (price_book(command_id="c" * 129), "bad_fields", ""),
        ({"command_id": "c", "type": "price_book"}, "bad_fields", "c"),
        ({"command_id": "c", "type": "dance"}, "unknown_command", "c"),
        ({"command_id": "c", "type": "\ud7ff" * 200_000}, "unknown_command", "c"),
        (price_book(command_id="c", prices={"x" * 500_000: 1}), "bad_fields", "c"),
        (price_book(command_id="c", prices=price_book()["prices"] | {"\x01" * 200_000: "1"}), "unknown_zone", "c"),
        (price_book(command_id="c" * 128), None, "c" * 128),
    ],
)
def test_every_command_is_answered(value: Any, code: str | None, command_id: str) -> None:
    key, result = answer_to(value)
    assert (result.status, result.code) == ("done" if code is None else "refused", code)
    assert (key, result.command_id) == (command_id.encode(), command_id)
    assert len(result.message or "") <= MAX_MESSAGE_CHARS


def test_the_first_wrong_field_is_named() -> None:
    _, result = answer_to(price_book(prices={"Mainland China": 0.28}))
    assert result.message is not None
    assert result.message.startswith("prices.Mainland China: ")


def test_unknown_fields_of_a_command_do_no_harm() -> None:
    assert answer_to(price_book(note="from the new console"))[1].status == "done"


def test_a_command_is_its_id_and_its_content() -> None:
    partition = Partition()
    first = answer_to(price_book(), partition)[1]
    books = partition.state.terms.books
    for again in (price_book(), price_book(issued_at="2026-01-01T11:00:00+08:00", note="sent again")):
        result = answer_to(again, partition)[1]
        assert result.model_copy(update={"source": first.source}) == first
    for other in (price_book(version="other"), {"command_id": "command-1", "type": "dance"}):
        result = answer_to(other, partition)[1]
        assert (result.status, result.code) == ("refused", "id_reused")
        assert result.digest == command_digest(encode(other)) != first.digest
    assert partition.state.terms.books.published == books.published


@pytest.mark.parametrize("crash", [False, True])
def test_a_refused_command_uses_its_id_up_too(crash: bool) -> None:
    partition = Partition()
    refused = price_book(command_id="c", version="late", effective_from="2026-01-01")
    assert answer_to(refused, partition)[1].code == "effective_in_past"
    for other in ({"command_id": "d", "type": "dance"}, {"command_id": "d", "type": "dance"}):
        assert answer_to(other, partition)[1].code == "unknown_command"
    if crash:
        partition.reopen()
    assert answer_to(refused, partition)[1].code == "effective_in_past"
    for command_id in ("c", "d"):
        assert answer_to(price_book(command_id=command_id), partition)[1].code == "id_reused"
    assert answer_to(price_book(command_id="e"), partition)[1].status == "done"


def test_an_id_that_is_no_longer_remembered_may_be_of_another_command() -> None:
    partition = Partition()
    answer_to(price_book(), partition)
    later_ms = NOON_MS + 36 * 24 * HOUR_MS
    other = price_book(version="other", issued_at="2026-02-06T12:00:00+08:00", effective_from="2026-02-09")
    assert results_of(partition.fold(other, topic=topics.COMMANDS, at=later_ms))[0].status == "done"


def test_the_answer_is_remembered_within_a_step_and_across_a_restart() -> None:
    partition = Partition()
    step = partition.fold(price_book(), price_book(), topic=topics.COMMANDS)
    assert [(r.status, r.source.offset) for r in results_of(step)] == [("done", 0), ("done", 1)]
    partition.reopen()
    late = partition.fold(price_book(), topic=topics.COMMANDS, at=NOON_MS + 35 * 24 * HOUR_MS)
    assert results_of(late)[0].status == "done"
    assert len(partition.state.terms.books.published) == 1


def test_a_command_older_than_the_horizon_is_refused_and_its_id_is_let_go() -> None:
    partition = Partition()
    partition.fold(price_book(), topic=topics.COMMANDS)
    later = NOON_MS + 36 * 24 * HOUR_MS
    assert results_of(partition.fold(price_book(), topic=topics.COMMANDS, at=later))[0].code == "too_old"
    for number in range(3):
        partition.fold({"command_id": f"{number}", "type": "none"}, topic=topics.COMMANDS, at=2 * later - NOON_MS)
    assert "command-1" not in partition.state.commands
    partition.reopen()
    assert set(partition.state.commands) == {"0", "1", "2"}


def test_a_command_from_the_future_is_refused() -> None:
    partition = Partition()
    issued = price_book(issued_at="2026-01-01T12:05:01+08:00")
    assert results_of(partition.fold(issued, topic=topics.COMMANDS))[0].code == "in_future"


def test_commands_without_a_readable_id_are_not_taken_for_one_another() -> None:
    partition = Partition()
    assert answer_to(b"{", partition)[1].code == "bad_fields"
    assert answer_to({"type": "price_book"}, partition)[1].code == "bad_fields"
    assert partition.state.commands == {}


def test_a_commands_result_says_where_it_was_read() -> None:
    source = Source(topic=topics.COMMANDS, partition=2, offset=5, timestamp=NOON_MS)
    done = json.loads(result_value("c", 2, Answer(None, None, NOON_MS, None, "d"), source))
    place = {"source": source.model_dump(), "digest": "d"}
    assert done == {"v": 1, "command_id": "c", "partition": 2, "status": "done", **place}
    refused = json.loads(result_value("c", 2, Answer("bad_price", "why", NOON_MS, None, "d"), source))
    assert refused == {**done, "status": "refused", "code": "bad_price", "message": "why"}


@pytest.mark.parametrize("more", ['"x":' + "9" * 5000, '"x":' + "[" * 90 + "]" * 90, '"\\ud800":1', '"x":1'])
def test_what_a_command_is_about_is_known_whatever_else_it_holds(more: str) -> None:
    value = ('{"command_id":"c","type":"contract","account_id":"A",' + more + "}").encode()
    assert _is_about(value, "A", ("contract",))
    assert not _is_about(value, "B", ("contract",))
    assert not _is_about(value, "A", ("low_balance",))
    assert not _is_about(b"[" * 100_000, "A", ("contract",))
