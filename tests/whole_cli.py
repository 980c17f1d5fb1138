"""The command `meter`, with the modules of all its commands."""

from typing import Any

import typer

from streams.cli import app


def whole_cli() -> Any:
    """The group of all commands, each as its own module has it."""
    group: Any = typer.main.get_command(app)
    group.commands = {name: group.load(name) for name in group.commands}
    return group
