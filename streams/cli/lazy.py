"""A group whose commands' modules are imported when they are named: help and completion list them without."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class ListedCommand(NamedTuple):
    """A command or a group: the panel of the help that has it, where it is, and its line in the help.

    `place` is "module:name" of a function, or of a `typer.Typer` for a group.
    """

    panel: str
    place: str
    summary: str


class LazyGroup(TyperGroup):
    """A subclass says which commands it has, in the order of the help, and whose modules they are in."""

    package: ClassVar[str]
    listed: ClassVar[Mapping[str, ListedCommand]]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {
            name: TyperCommand(name, help=each.summary, rich_help_panel=each.panel)
            for name, each in self.listed.items()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is named first, with its module. Raises ModuleNotFoundError where a package is missing."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, None if name is None or listed is None else self.load(name), rest

    def load(self, name: str) -> Any:
        """A command as its module has it. Raises ModuleNotFoundError where a package is not installed."""
        module, _, attribute = self.listed[name].place.partition(":")
        found = getattr(import_module(f"{self.package}.{module}"), attribute)
        alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
        alone.callback()(_nothing)  # a command beside others has a name
        if isinstance(found, typer.Typer):
            alone.add_typer(found, name=name)
        else:
            alone.command(name)(found)
        return typer.main.get_command(alone).commands[name]  # type: ignore[attr-defined]


def _nothing() -> None: ...
