"""What is away is tried again after longer and longer pauses; what tells nobody is looked at until it is enough."""

import asyncio
import math
import re
from pathlib import Path

import pytest

from streams.errors import BrokerLostError, MeterError
from streams.process import retrying
from streams.process.retrying import Backoff, patiently
from streams.process.waiting import until

STREAMS = Path(retrying.__file__).parents[1]


def test_pauses_double_up_to_the_longest_and_begin_anew_when_it_worked() -> None:
    backoff = Backoff(1.0, 5.0)
    assert [backoff.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.worked()
    assert [backoff.next_s() for _ in range(2)] == [1.0, 2.0]


@pytest.mark.parametrize(("steady_after_s", "pauses"), [(0.0, [1.0, 1.0, 1.0]), (math.inf, [1.0, 2.0, 4.0])])
def test_what_ran_for_a_while_did_work(steady_after_s: float, pauses: list[float]) -> None:
    backoff, found = Backoff(1.0, 5.0, steady_after_s=steady_after_s), list[float]()
    for _ in pauses:
        backoff.began()
        found.append(backoff.next_s())
    assert found == pauses


def test_work_is_done_again_while_something_is_away_and_each_pause_is_said() -> None:
    left: list[int] = [1, 2, 3]
    said: list[tuple[str, float]] = []

    async def work() -> str:
        if left:
            raise BrokerLostError(f"away {left.pop()}")
        return "done"

    def say(error: Exception, delay_s: float) -> None:
        said.append((str(error), delay_s))

    def is_away(error: Exception) -> bool:
        return isinstance(error, BrokerLostError)

    assert asyncio.run(patiently(work, is_away, say, Backoff(0.001, 0.002))) == "done"
    assert said == [("away 3", 0.001), ("away 2", 0.002), ("away 1", 0.002)]


def test_whatever_else_is_wrong_is_raised_at_once() -> None:
    tries: list[int] = []

    async def work() -> None:
        tries.append(1)
        raise MeterError("no")

    def never(error: Exception, delay_s: float) -> None:
        raise AssertionError

    with pytest.raises(MeterError, match="no"):
        asyncio.run(patiently(work, lambda error: isinstance(error, BrokerLostError), never))
    assert len(tries) == 1


@pytest.mark.parametrize(("within_s", "looks"), [(math.inf, 3), (-1.0, 1)])
def test_a_look_is_made_until_it_is_enough_or_the_time_is_over(within_s: float, looks: int) -> None:
    made: list[int] = []

    async def look() -> int:
        made.append(1)
        return len(made)

    assert asyncio.run(until(look, lambda count: count == 3, every_s=0.001, within_s=within_s)) == looks
    assert len(made) == looks


def test_pauses_grow_in_one_place_alone() -> None:
    grows = re.compile(r"min\(.*(delay|pause|wait)\w* \* 2|\b(delay|pause|wait|backoff)\w* \*= ")
    found = [path.relative_to(STREAMS).as_posix() for path in STREAMS.rglob("*.py") if grows.search(path.read_text())]
    assert found == ["process/retrying.py"]


@pytest.mark.parametrize("path", ["kafka/transactional.py", "engine/writer.py", "engine/steps.py", "http/commits.py"])
def test_what_commits_is_never_tried_again(path: str) -> None:
    """The outcome of a request without an answer is unknown: the first such request is a transaction's last."""
    assert "retrying" not in (STREAMS / path).read_text()
