"""The end of the demo on a terminal: the console on what the demo has made, until a key is pressed."""

import asyncio
import json
import os
import sys
import termios
import tty
from pathlib import Path

from streams.broker.ports import free_port
from streams.errors import MeterError
from streams.process.nearby import open_page
from streams.process.waiting import until
from streams.settings import Settings
from streams.supervise.processes import Ended, console_at, readers, stop_all
from streams.terminal.output import say

PATIENCE_S = 60.0
LOOK_S = 0.1


def on_a_terminal() -> bool:
    """Whether somebody is there to look, and to press a key."""
    return sys.stdin.isatty() and sys.stdout.isatty()


async def show_console(settings: Settings, folder: Path) -> None:
    """Start projector and API, say where the console is, wait for a key. Raises MeterError when they do not start."""
    own = settings.model_copy(
        update={"http_port": free_port(), "web_port": free_port(), "http_host": "127.0.0.1", "database_url": None}
    )
    processes = readers(own, 0, lambda _: None, folder)
    if not processes:
        say("The console needs more packages: pip install 'recognition-meter[http]'")
        return
    exits: list[Ended] = []
    try:
        for process in processes:
            process.start(exits.append)
        await _caught_up(own, exits)
        say("")
        say(f"The console, on this data: {console_at(own)}")
        say("Press any key to end.")
        await asyncio.to_thread(_wait_for_key)
    finally:
        await asyncio.to_thread(stop_all, processes)


async def _caught_up(settings: Settings, exits: list[Ended]) -> None:
    async def look() -> bool:
        return await asyncio.to_thread(is_shown, settings)

    shown = await until(look, lambda is_there: is_there or exits, every_s=LOOK_S, within_s=PATIENCE_S)
    if not shown and exits:
        raise MeterError(f"{exits[0].who.name} ended with exit code {exits[0].code}")
    if not shown:
        raise MeterError(f"the console did not start within {PATIENCE_S:.0f} s")


def is_shown(settings: Settings) -> bool:
    """Whether all that is in the topics is in the read model, by the API's own word."""
    try:
        with open_page(f"http://127.0.0.1:{settings.http_port}/v1/status", 2) as page:
            topics = json.load(page)["topics"]
    except (OSError, ValueError):
        return False
    return bool(topics) and all(topic["as_of"] and not topic["lag"] for topic in topics)


def _wait_for_key() -> None:
    """One key, whichever; Ctrl-C is one too."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        os.read(terminal, 1)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
