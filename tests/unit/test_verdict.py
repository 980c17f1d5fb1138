"""What the answers to a command come to is told once, for the command line and for the API."""

import json
from typing import Any

import pytest

from meter.models import CommandResult
from meter.rules import Rules
from streams.cli.answers import report
from streams.commands.verdict import AnswersSoFar, Verdict, read_answer
from streams.commands.writing import digest_of, new_command
from streams.errors import Exit

RULES = Rules(meter_id="m", partitions=2)
#: A command that goes to both partitions.
TICK = new_command("tick", RULES, 0, "c")

DONE: dict[str, Any] = {"status": "done"}
AHEAD: dict[str, Any] = {"status": "refused", "code": "clock_ahead", "message": "send it again"}
NO: dict[str, Any] = {"status": "refused", "code": "not_simulated", "message": "it cannot be moved"}


def answer(partition: int = 0, *, digest: str | None = None, command_id: str = "c", **said: Any) -> CommandResult:
    source = {"topic": "meter.commands", "partition": partition, "offset": 0, "timestamp": 0}
    fields = {"command_id": command_id, "partition": partition, "digest": digest or digest_of(TICK), "source": source}
    found = read_answer(json.dumps({"v": 1, **fields, **said}).encode())
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("said", "verdict", "line"),
    [
        ([], Verdict("sent"), "no answer from partitions 0, 1"),
        ([DONE], Verdict("sent"), "no answer from partition 1"),
        ([NO], Verdict("sent"), "no answer from partition 1"),
        ([DONE, DONE], Verdict("done"), ""),
        ([NO, NO], Verdict("refused", "not_simulated", "it cannot be moved"), "refused: not_simulated: it cannot be"),
        ([AHEAD], Verdict("refused", "clock_ahead", "send it again"), "refused: clock_ahead: send it again: --command"),
        ([DONE, AHEAD], Verdict("refused", "clock_ahead", "send it again"), "refused: clock_ahead: send it again: --c"),
        (
            [DONE, NO],
            Verdict("refused", "partitions_disagree", "accounts would not be treated alike"),
            "PARTITIONS DISAGREE",
        ),
    ],
)
def test_the_answers_come_to_one_verdict_at_each_door(
    said: list[dict[str, Any]], verdict: Verdict, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = AnswersSoFar(TICK, RULES)
    for partition, each in enumerate(said):
        answers.take(answer(partition, **each))
    assert answers.are_all == (len(said) == RULES.partitions)
    assert answers.outcome.verdict == verdict
    assert report(answers.outcome, "moved", 1, as_json=False) == (Exit.OK if verdict.outcome == "done" else Exit.FAILED)
    printed = capsys.readouterr()
    assert (printed.out == "moved\n") == (verdict.outcome == "done")
    assert printed.err.removeprefix("meter: ").startswith(line)


def test_only_an_answer_to_this_command_counts_however_it_was_written() -> None:
    first, same, other = (
        new_command("top_up", RULES, 0, "c", account_id="A", amount=amount) for amount in ("5", "5.00", "50")
    )
    answers = AnswersSoFar(first, RULES)
    (home,) = answers.partitions
    answers.take(answer(home, digest=digest_of(other), **DONE))
    answers.take(answer(home, digest=digest_of(same), command_id="another", **DONE))
    assert not answers.are_all
    answers.take(answer(home, digest=digest_of(same), **DONE))
    assert answers.are_all


@pytest.mark.parametrize("value", [None, b"", b"no answer", b"{}", b"\xff"])
def test_a_record_that_is_no_answer_is_none(value: bytes | None) -> None:
    assert read_answer(value) is None
