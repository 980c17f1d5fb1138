"""A meter and its money from the command line: commands in this process, and what they say."""

import io
import os
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from typing import Any
from unittest.mock import patch

from streams.cli import main
from tests.integration.running import Meter

CHINA = "+08:00"


class InProcess(Meter):
    """Its commands run in this process: starting Python for each would take more time than all that they do."""

    def run(self, *arguments: str, given: str | bytes = "", **settings: object) -> subprocess.CompletedProcess[str]:
        if given:
            return super().run(*arguments, given=given, **settings)
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.environment(**settings), clear=True),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = main(arguments)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def advance(meter: Meter, to: str) -> None:
    done = meter.run("clock", "advance", "--to", f"{to}{CHINA}")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"done: it is {to}{CHINA}\n")


def told(meter: Meter, *arguments: str) -> str:
    """What a command that is done says."""
    done = meter.run("account", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refusal(meter: Meter, *arguments: str) -> str:
    """The code with which a command is refused; it says so in one line."""
    done = meter.run("account", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    start, code, _ = done.stderr.split(": ", 3)[1:]
    assert start == "refused"
    return code


def fields(text: str) -> dict[str, str]:
    """Names and values as a command prints them."""
    return {name.strip(): value.strip() for name, _, value in (row.partition("  ") for row in text.splitlines())}


def cells(text: str, start: str) -> list[list[str]]:
    """The rows of a table that begin with a word."""
    return [row.split() for row in text.splitlines() if row.startswith(start)]


def money_of(meter: Meter) -> list[dict[str, Any]]:
    """All that a command could have changed of anybody."""
    topics = ("billing.bills", "billing.notes", "billing.ledger", "billing.notices", "account.service")
    return [row for topic in topics for row in meter.rows(topic)]
