"""The command `meter`, with the modules of all its commands."""

from typing import cast

import typer

from streams.cli import app
from streams.cli.lazy import LazyGroup


def whole_cli() -> LazyGroup:
    """The group of all commands, each as its own module has it."""
    return _whole(cast(LazyGroup, typer.main.get_command(app)))


def _whole(group: LazyGroup) -> LazyGroup:
    for name in group.listed:
        command = group.load(name)
        group.commands[name] = _whole(command) if isinstance(command, LazyGroup) else command
    return group


def missing() -> list[str]:
    """The commands, and groups, some of which cannot be imported for want of a package."""
    group = cast(LazyGroup, typer.main.get_command(app))
    return [name for name in group.listed if not _is_there(group, name)]


def _is_there(group: LazyGroup, name: str) -> bool:
    try:
        command = group.load(name)
    except ModuleNotFoundError:
        return False
    return not isinstance(command, LazyGroup) or all(_is_there(command, inner) for inner in command.listed)
