"""What became of a command: the answers of the partitions that were asked, and what they come to.

An answer counts only where its digest is that of what was sent: nobody is told done of what another has done.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from pydantic import ValidationError

from meter.models import CommandResult
from meter.rules import Rules
from streams.commands.writing import Command, asked, digest_of

#: The code of a command that was not judged, and whose id is free.
CLOCK_AHEAD = "clock_ahead"
#: The code where partitions did not answer alike.
DISAGREE = "partitions_disagree"


class Outcome(NamedTuple):
    """The partitions that were asked, and the answers of those that gave one in time."""

    command_id: str
    asked: tuple[int, ...]
    answers: Mapping[int, CommandResult]

    @property
    def silent(self) -> list[int]:
        """The partitions that did not answer."""
        return [partition for partition in self.asked if partition not in self.answers]

    @property
    def verdict(self) -> "Verdict":
        """What the answers come to. Whatever the silent ones will say, some that disagree or could not judge decide."""
        if not self.answers:
            return Verdict("sent")
        known = together({(answer.status, answer.code, answer.message) for answer in self.answers.values()})
        return Verdict("sent") if self.silent and known.code not in (CLOCK_AHEAD, DISAGREE) else known


class AnswersSoFar:
    """The answers to a command of the partitions that it goes to, as they come in."""

    def __init__(self, command: Command, rules: Rules) -> None:
        self.partitions = asked(command, rules)
        self._command_id = command["command_id"]
        self._digest = digest_of(command)
        self._answers: dict[int, CommandResult] = {}

    def take(self, result: CommandResult) -> None:
        """Keep an answer, if it is one to this command and not to another one with its id."""
        if result.command_id == self._command_id and result.digest == self._digest:
            self._answers[result.partition] = result

    @property
    def are_all(self) -> bool:
        """Whether every partition that was asked has answered."""
        return len(self._answers) == len(self.partitions)

    @property
    def outcome(self) -> Outcome:
        """What has come in by now."""
        return Outcome(self._command_id, self.partitions, self._answers)


class Verdict(NamedTuple):
    """`done`, `refused` with a code and a sentence, or `sent` while not all have answered."""

    outcome: str
    code: str | None = None
    message: str | None = None


def is_final(outcome: str, code: str | None) -> bool:
    """Whether the meter has judged a command: that is never taken back."""
    return outcome in ("done", "refused") and code != CLOCK_AHEAD


def read_answer(value: bytes | None) -> CommandResult | None:
    """The answer that a record holds; None where it holds none: others may have written to the topic."""
    try:
        return CommandResult.read(value or b"")
    except ValidationError:
        return None


def together(answers: Collection[tuple[str, str | None, str | None]]) -> Verdict:
    """The verdict of all partitions that were asked: status, code and message of each.

    Where some could not judge it for their clock, it is sent again: the others repeat their answers.
    """
    ahead = [answer for answer in answers if answer[1] == CLOCK_AHEAD]
    if ahead:
        return Verdict(*ahead[0])
    if len({(status, code) for status, code, _ in answers}) > 1:
        return Verdict("refused", DISAGREE, "accounts would not be treated alike")
    return Verdict(*min(answers, key=lambda answer: answer[2] or ""))
