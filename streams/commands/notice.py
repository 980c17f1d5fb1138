"""The notice of what begins on a day: the same at every door, and before anything is sent.

A price book is judged by each partition; the doors give its margin (see `meter.prices.MARGIN_MS`) to contracts too, so
that who is told a day by one command can use it in another.
"""

from meter.prices import MARGIN_MS, begins_early
from meter.rejects import Refusal
from meter.rules import Rules
from streams.commands.writing import Command


def too_early(command: Command, rules: Rules, at_ms: int) -> Refusal | None:
    """Why a new command that is issued now is not sent: the day that it names begins too soon. None: it may be sent.

    A day that is none, and everything else, is the meter's to judge.
    """
    day = command.get("effective_from")
    early = begins_early(day, at_ms, MARGIN_MS, "", rules) if isinstance(day, str) else None
    return early if early is not None and early.code == "effective_in_past" else None
