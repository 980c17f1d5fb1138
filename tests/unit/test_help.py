"""Help at 80 columns, and completion by a real shell."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from streams.cli import app
from streams.cli.commands import Commands
from streams.cli.lazy import Listed, ListedCommand, ListedGroup
from tests.integration.running import METER, clean_environment
from tests.whole_cli import whole_cli


def commands(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(command, "commands", {})
    return [path, *(found for name, child in inner.items() for found in commands(child, (*path, name)))]


@pytest.mark.parametrize("path", commands(whole_cli()), ids=" ".join)
def test_help_is_whole_at_80_columns(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    app([*path, "--help"], prog_name="meter", standalone_mode=False)
    text = capsys.readouterr().out
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "…" not in text
    command: Any = whole_cli()
    for name in path:
        command = command.commands[name]
    words = "".join(text.replace("│", " ").split())
    for line in (command.help or "").splitlines():
        assert "".join(line.replace("\\[", "[").split()) in words, line
    for option in command.params:
        assert all(name in text for name in option.opts if name.startswith("--"))


def listed(entries: Listed, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], ListedCommand]]:
    """All commands that are listed, and by which names."""
    for name, each in entries.items():
        if isinstance(each, ListedGroup):
            yield from listed(each.commands, (*path, name))
        else:
            yield (*path, name), each


@pytest.mark.parametrize(
    ("path", "entry"), [pytest.param(*each, id=" ".join(each[0])) for each in listed(Commands.listed)]
)
def test_a_command_is_listed_with_the_first_line_of_its_own_help(path: tuple[str, ...], entry: ListedCommand) -> None:
    own: Any = whole_cli()
    for name in path:
        own = own.commands[name]
    assert entry.summary == own.help.split("\n\n")[0].replace("\n", " ")


#: What takes longer to import than all of `meter --help`, and what a command of another module needs.
HEAVY = {"faust", "aiokafka", "pydantic_settings", "sqlalchemy", "fastapi", "uvicorn", "alembic", "httpx", "numpy"}


@pytest.mark.parametrize(
    ("arguments", "completing", "needed"),
    [
        (["--help"], None, set()),
        (["--version"], None, set()),
        ([], "meter acc", set()),
        (["account", "--help"], None, set()),
        ([], "meter account top", set()),
        (["status"], None, {"aiokafka", "pydantic_settings"}),
        ([], "meter status --", {"aiokafka", "pydantic_settings"}),
    ],
)
def test_a_command_imports_no_other(
    arguments: list[str], completing: str | None, needed: set[str], tmp_path: Path
) -> None:
    """So that help, completion and what scripts ask often are quick."""
    script = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=open('loaded', 'w'))); "
    script += "from streams.cli import main; sys.argv[0] = 'meter'; main()"
    completion = {
        "_METER_COMPLETE": "complete_bash", "COMP_WORDS": completing, "COMP_CWORD": str(completing.count(" ")),
    } if completing else {}  # fmt: skip
    subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=tmp_path, env=clean_environment() | completion,
        stdout=-1, check=False, timeout=60,
    )  # fmt: skip
    loaded = set((tmp_path / "loaded").read_text().split())
    assert HEAVY & loaded <= needed
    modules = {f"streams.cli.{each.place.partition(':')[0]}" for _, each in listed(Commands.listed)}
    assert modules & loaded == ({"streams.cli.status"} if needed else set())


class Bash:
    """An interactive bash, as somebody types into it."""

    def __init__(self, folder: Path) -> None:
        self._ours, theirs = pty.openpty()
        environment = clean_environment() | {
            "PATH": f"{METER.parent}:{os.environ['PATH']}",
            "PS1": "> ",
            "TERM": "dumb",
        }
        environment |= {"HOME": str(folder), "INPUTRC": "/dev/null"}
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.seen = ""

    def type(self, text: str) -> None:
        self.seen = ""
        os.write(self._ours, text.encode())

    def until(self, text: str) -> str:
        """What it shows, once that holds a text."""
        deadline = time.monotonic() + 60
        while text not in self.seen:
            assert select.select([self._ours], [], [], deadline - time.monotonic())[0], self.seen
            self.seen += os.read(self._ours, 4096).decode()
        return self.seen

    def end(self) -> None:
        self._bash.kill()
        self._bash.wait()
        os.close(self._ours)


def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    (tmp_path / "jobs.jsonl").write_text("")
    bash = Bash(tmp_path)
    try:
        bash.type('eval "$(meter --show-completion)"; echo is"there"\n')
        assert "Traceback" not in bash.until("isthere\r\n")
        bash.type("meter acc\t")
        bash.until("meter account ")
        bash.type("top\t")
        bash.until("topup ")
        bash.type("--am\t")
        bash.until("--amount ")
        bash.type("\x15meter submit jo\t")
        bash.until("meter submit jobs.jsonl ")
    finally:
        bash.end()
