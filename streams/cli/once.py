"""Arguments are text, and an option is given once: of two amounts the last would be taken, and nothing said."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any

from streams.cli.lazy import LazyGroup
from streams.errors import SettingError


def need_text(arguments: Sequence[str]) -> None:
    """Raises SettingError for an argument that is not in UTF-8, and no file's name, which may be in anything."""
    for number, argument in enumerate(arguments, 1):
        shown = argument.encode(errors="replace").decode()
        if shown != argument and not os.path.lexists(argument):
            raise SettingError(f"argument {number} is not in UTF-8, {shown!r}: the terminal must send UTF-8 (see LANG)")


def need_once(commands: Callable[[], Any], arguments: Sequence[str]) -> None:
    """Raises SettingError for an option that takes one value and is given more than once.

    `commands` gives the group of all commands; the options of the one that is named say which may come again. It is
    asked where one does.
    """
    given = Counter(each.partition("=")[0] for each in takewhile(lambda each: each != "--", arguments))
    repeated = {name for name, times in given.items() if times > 1 and name.startswith("--")}
    if not repeated:
        return
    for option in _options(commands(), [each for each in arguments if not each.startswith("-")]):
        if option.multiple or option.is_flag:
            repeated -= set(option.opts)
    if repeated:
        raise SettingError(f"{min(repeated)} is given more than once: which is meant?")


def _options(command: Any, names: Sequence[str]) -> Iterator[Any]:
    """Those of the command that is named, and of the groups on the way to it."""
    yield from (each for each in command.params if each.param_type_name == "option")
    if names and names[0] in getattr(command, "commands", {}):
        child = command.load(names[0]) if isinstance(command, LazyGroup) else command.commands[names[0]]
        yield from _options(child, names[1:])
