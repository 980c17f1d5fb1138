"""What became of a command: the answers of the partitions that were asked, and what they come to.

An answer counts only where its digest is that of what was sent: nobody is told done of what another has done.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from meter.models import CommandResult

#: The code of a command that was not judged, and whose id is free.
CLOCK_AHEAD = "clock_ahead"


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
        """What the answers come to."""
        if self.silent:
            return Verdict("sent")
        return together({(answer.status, answer.code, answer.message) for answer in self.answers.values()})


class Verdict(NamedTuple):
    """`done`, `refused` with a code and a sentence, or `sent` while not all have answered."""

    outcome: str
    code: str | None = None
    message: str | None = None


def is_final(outcome: str, code: str | None) -> bool:
    """Whether the meter has judged a command: that is never taken back."""
    return outcome in ("done", "refused") and code != CLOCK_AHEAD


def answers_to(result: CommandResult, command_id: str, digest: str) -> bool:
    """Whether an answer is one to this command, and not to another one with its id."""
    return result.command_id == command_id and result.digest == digest


def together(answers: Collection[tuple[str, str | None, str | None]]) -> Verdict:
    """The verdict of all partitions that were asked: status, code and message of each.

    Where some could not judge it for their clock, it is sent again: the others repeat their answers.
    """
    ahead = [answer for answer in answers if answer[1] == CLOCK_AHEAD]
    if ahead:
        return Verdict(*ahead[0])
    if len({(status, code) for status, code, _ in answers}) > 1:
        return Verdict("refused", "partitions_disagree", "accounts would not be treated alike")
    return Verdict(*min(answers, key=lambda answer: answer[2] or ""))
