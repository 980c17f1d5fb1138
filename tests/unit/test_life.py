"""Each process that goes on until it is asked to stop goes through one place, which alone hears signals."""

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from streams.errors import Exit, MeterError
from streams.process import life
from streams.process.life import STOP_SIGNALS, live, stop_signals_interrupt
from streams.process.waiting import unless
from streams.settings import Settings

STREAMS = Path(life.__file__).parents[1]


@pytest.mark.parametrize("number", STOP_SIGNALS)
@pytest.mark.parametrize("waits", [False, True])
def test_a_process_that_is_asked_to_stop_ends_in_order(number: signal.Signals, waits: bool) -> None:
    told: list[bool] = []

    async def work(asked: asyncio.Event) -> None:
        os.kill(os.getpid(), number)
        await (unless(asked, asyncio.Event().wait()) if waits else asked.wait())
        told.append(asked.is_set())

    assert live(Settings(), work) == Exit.OK
    assert told == ([] if waits else [True])


def test_what_ends_a_process_is_raised() -> None:
    async def work(asked: asyncio.Event) -> None:
        raise MeterError("no")

    with pytest.raises(MeterError, match="no"):
        live(Settings(), work)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_work_without_a_loop_is_interrupted_once_and_its_end_is_not(number: signal.Signals) -> None:
    before, ended = signal.getsignal(number), False
    with stop_signals_interrupt():
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            for each in STOP_SIGNALS:
                signal.raise_signal(each)
            ended = True
    assert ended
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("what", "where"),
    [
        (r"add_signal_handler\(|signal\.signal\(", ["__main__.py", "process/life.py"]),
        (r"\bgc\.\w+\(", ["process/garbage.py"]),
        (r"announce\(\)", ["engine/worker.py", "process/life.py", "process/readiness.py", "supervise/up.py"]),
        (r"raise_file_limit\(\)", ["http/serve.py", "process/files.py", "process/life.py"]),
    ],
)
def test_no_process_has_its_own_way(what: str, where: list[str]) -> None:
    """But for the command before its program is there, and what is ready only when partitions or all parts are."""
    found = [
        path.relative_to(STREAMS).as_posix() for path in STREAMS.rglob("*.py") if re.search(what, path.read_text())
    ]
    assert sorted(found) == where
