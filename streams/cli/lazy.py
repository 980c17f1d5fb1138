"""Groups of commands whose modules are imported when they are named: help and completion list them without."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class ListedCommand(NamedTuple):
    """A command: where it is, its line in the help of its group, and the panel there, if there are any.

    `place` is "module:name" of a function, or of a `typer.Typer` that is a command and has others.
    """

    place: str
    summary: str
    panel: str | None = None


class ListedGroup(NamedTuple):
    """A group: its line in the help, its commands, and the panel of the help that has it."""

    summary: str
    commands: Mapping[str, ListedCommand]
    panel: str


Listed = Mapping[str, ListedCommand | ListedGroup]


class LazyGroup(TyperGroup):
    """A subclass says which commands it has, in the order of the help, and whose modules they are in."""

    package: ClassVar[str]
    listed: Listed

    def __init__(self, *, listed: Listed | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.listed = self.listed if listed is None else listed
        self.commands = {name: self._shown(name, each) for name, each in self.listed.items()}

    def _shown(self, name: str, each: ListedCommand | ListedGroup) -> Any:
        """What the help shows; of a group, all but its commands' modules."""
        if isinstance(each, ListedCommand):
            return TyperCommand(name, help=each.summary, rich_help_panel=each.panel)
        return type(self)(
            listed=each.commands, name=name, help=each.summary, rich_help_panel=each.panel, no_args_is_help=True
        )

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is named first, with its module. Raises ModuleNotFoundError where a package is missing."""
        name, shown, rest = super().resolve_command(ctx, args)
        return name, None if name is None or shown is None else self.load(name), rest

    def load(self, name: str) -> Any:
        """A command as its module has it. Raises ModuleNotFoundError where a package is not installed."""
        each = self.listed[name]
        if isinstance(each, ListedGroup):
            return self.commands[name]
        module, _, attribute = each.place.partition(":")
        found = getattr(import_module(f"{self.package}.{module}"), attribute)
        alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
        alone.callback()(_nothing)  # a command beside others has a name
        if isinstance(found, typer.Typer):
            alone.add_typer(found, name=name)
        else:
            alone.command(name)(found)
        return typer.main.get_command(alone).commands[name]  # type: ignore[attr-defined]


def _nothing() -> None: ...
