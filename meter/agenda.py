"""What falls due on a partition, in order: settlements of periods, and the deadlines of accounts in arrears."""

from collections.abc import Iterator
from enum import StrEnum
from itertools import islice, takewhile
from typing import NamedTuple

from sortedcontainers import SortedList


class Action(StrEnum):
    """What is to be done. Of two at one instant the stop comes first: its bill is the older one."""

    STOP = "1-stop"
    SETTLE = "2-settle"


class Due(NamedTuple):
    """One action: when (ms), what, whose, and of which period (empty for a stop)."""

    at_ms: int
    action: Action
    account_id: str
    period: str = ""


class Agenda:
    """All actions that wait, each once, in the order in which they fall due."""

    def __init__(self) -> None:
        self._actions: SortedList[Due] = SortedList()

    def __len__(self) -> int:
        return len(self._actions)

    def __contains__(self, due: Due) -> bool:
        return due in self._actions

    def add(self, due: Due) -> None:
        """Add an action that is not there yet."""
        self._actions.add(due)

    def drop_first(self, count: int) -> None:
        """Take the first actions away: they are done."""
        del self._actions[:count]

    def remove(self, due: Due) -> None:
        """Take an action away, if it is there."""
        self._actions.discard(due)

    def next_ms(self) -> int | None:
        """When the first action falls due."""
        return self._actions[0].at_ms if self._actions else None

    def due(self, until_ms: int, skipped: int, limit: int) -> list[Due]:
        """The actions that are due by an instant, in order: `limit` at most, after those that are `skipped`."""
        following = self._actions.islice(skipped, skipped + limit)
        return list(takewhile(lambda due: due.at_ms <= until_ms, following))

    def until(self, until_ms: int) -> Iterator[Due]:
        """All the actions that are due by an instant, in order."""
        return takewhile(lambda due: due.at_ms <= until_ms, self._actions)

    def after(self, due: Due | None, limit: int) -> list[Due]:
        """The actions that follow one (None: from the first), in order, `limit` at most."""
        return list(islice(self._actions.irange(due, inclusive=(False, True)), limit))
