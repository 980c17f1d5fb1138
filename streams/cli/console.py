"""`meter console`: the way to the console that `meter api` serves."""

import webbrowser
from http.client import HTTPException
from typing import Annotated

import typer

from streams.broker.connect import settings_of_command
from streams.errors import Exit, SettingError
from streams.process.nearby import open_page
from streams.terminal.output import note, say

PATIENCE_S = 3.0


def console(
    show_only: Annotated[bool, typer.Option("--print", help="Print its address, and open no browser.")] = False,
) -> int:
    """Open the console in a browser, and print its address.

    It is served by `meter api`, on METER_HTTP_HOST and METER_HTTP_PORT. On a
    machine without a browser the address is all.

    Example:
      meter console --print

    Exit codes: 0 it answers there; 1 nothing does; 2 wrong setting.
    """
    settings = settings_of_command()
    address = _address(settings.http_host, settings.http_port)
    if not _answers(address):
        note(f"no console at {address}: `meter api` serves it")
        return Exit.FAILED
    say(f"{address}/console")
    if not show_only:
        webbrowser.open(f"{address}/console")
    return Exit.OK


def _address(host: str, port: int) -> str:
    """Where a browser on this machine finds it. Raises SettingError where any port may have been taken."""
    if port == 0:
        raise SettingError("METER_HTTP_PORT=0 is any free port: `meter api` has said which")
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{here}]' if ':' in here else here}:{port}"


def _answers(address: str) -> bool:
    try:
        with open_page(f"{address}/healthz", PATIENCE_S):
            return True
    except (OSError, HTTPException):
        return False
