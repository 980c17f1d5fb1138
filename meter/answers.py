"""What became of commands, and how far back their ids are remembered."""

from typing import NamedTuple

from meter.rules import Rules


class Answer(NamedTuple):
    """What became of a command: `code` and `message` only when it was refused; record time in ms."""

    code: str | None
    message: str | None
    record_time: int
    account_id: str | None = None
    digest: str | None = None  # of the command's content


class Memory(NamedTuple):
    """How far back command ids are remembered, as record times in ms.

    An id answered at `r` was issued before `r` and the tolerance. It is forgotten once `r` is before `forgotten`, and
    from then on every command issued before `forgotten` and the tolerance is refused. So none is done twice, whatever
    the clocks say; and since `forgotten` never passes the last answer, one stamp that is months ahead costs commands
    issued before that answer, and none that are issued later. Of two that were believed, and so far ahead, the second
    forgets what was answered until a horizon before it: commands issued until then are refused.
    """

    forgotten: int = 0
    answered: int = 0

    def at(self, record_time: int, rules: Rules) -> "Memory":
        """As a command of this record time finds it."""
        forgotten = min(record_time - rules.remember_ms, self.answered + 1)
        return self if forgotten <= self.forgotten else self._replace(forgotten=forgotten)

    def with_answer(self, record_time: int) -> "Memory":
        """With an id that was answered at this record time."""
        return self if record_time <= self.answered else self._replace(answered=record_time)
