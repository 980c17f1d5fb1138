"""How commands print: answers on standard output, all else on standard error; plain text where nobody looks."""

import errno
import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from streams.errors import Exit, MeterError
from streams.terminal.layout import TextTable, aligned, laid_out, wrapped
from streams.text.visible import visible, visible_json

#: What a terminal is taken for that does not say how wide it is.
USUAL_COLUMNS = 80
LEAST_COLUMNS = 20


class OutputLostError(MeterError):
    """Standard output takes no more, for a reason other than a reader that has gone."""

    def __init__(self, error: OSError) -> None:
        what = "it is closed" if error.errno == errno.EBADF else os.strerror(error.errno or errno.EIO)
        super().__init__(f"the answer cannot be written to standard output: {what}")
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            self.code = Exit.NO_ROOM


class Figure(NamedTuple):
    """A number among fields, and its unit if any: those of one list have their decimal points below each other."""

    number: str
    unit: str = ""


def complain(line: str) -> None:
    """One line about what is wrong."""
    note(f"meter: {line}")


def note(line: str) -> None:
    """One line about what goes on. Where nobody listens to it, it is lost."""
    try:
        print(visible(line), file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


def say(line: str) -> None:
    """One line of the answer. Raises BrokenPipeError where its reader has gone, OutputLostError for any other loss."""
    write(f"{visible(line)}\n")


def say_json(value: Any) -> None:
    """One line of JSON."""
    write(f"{visible_json(json.dumps(value, ensure_ascii=False))}\n")


def write(text: str) -> None:
    """Text to standard output, at once. After a failure it goes nowhere: whoever cleans up may go on talking."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        raise _lost(error) from error


def flush() -> None:
    """See that all that was printed is out. Raises as `write` does."""
    write("")


def lost_output(error: Exception) -> Exception | None:
    """What became of standard output, where that is what an error of whoever printed (such as rich) comes from."""
    try:
        flush()  # what could not be written still is to be
    except (BrokenPipeError, OutputLostError) as lost:
        return lost if isinstance(error, OSError) else None
    return None


def _lost(error: OSError) -> Exception:
    _silence(sys.stdout)
    return error if isinstance(error, BrokenPipeError) else OutputLostError(error)


def open_streams() -> None:
    """Give a name to each standard stream that is closed: else files that are opened next would take their places."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free, so this one
    if sys.stderr is None:  # print would take standard output instead
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - it lives as long as the process
    if sys.stdout is None:
        sys.stdout = _Closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not of UTF-8 shows the rest


class _Closed(io.TextIOBase):
    """Standard output that was closed before we began."""

    def __init__(self) -> None:
        self._is_silent = False

    def write(self, text: str) -> int:
        if text and not self._is_silent:
            self._is_silent = True
            raise OutputLostError(OSError(errno.EBADF, ""))
        return len(text)

    def fileno(self) -> int:
        return 1


def _silence(stream: Any) -> None:
    """What is still written to it goes nowhere: also what its buffer holds, when the process ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


def counted(number: int, noun: str) -> str:
    """So many of something whose plural ends with s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def display_width() -> int | None:
    """How wide the terminal is; None where the output goes elsewhere: its lines are as long as they need to be."""
    if not sys.stdout.isatty():
        return None
    return max(LEAST_COLUMNS, shutil.get_terminal_size((USUAL_COLUMNS, 24)).columns)


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, last: Sequence[str] = ()) -> None:
    """A table; `last` is a sum line."""
    table = TextTable(columns, [[*map(visible, row)] for row in rows], last)
    rule = "─" if "utf" in (getattr(sys.stdout, "encoding", None) or "utf").lower() else "-"
    write("".join(f"{line}\n" for line in laid_out(table, display_width(), rule)))


def say_fields(fields: Mapping[str, str | Figure]) -> None:
    """Names and values, one a line; on a terminal a long value goes on below where it began."""
    figures = [value for value in fields.values() if isinstance(value, Figure)]
    numbers = iter(aligned([figure.number for figure in figures]))
    width, room = max(map(len, fields)), display_width()
    for name, value in fields.items():
        text = f"{next(numbers)} {value.unit}".rstrip() if isinstance(value, Figure) else visible(value)
        lines = [text] if room is None else wrapped(text, max(20, room - width - 2))
        for number, line in enumerate(lines):
            write(f"{('' if number else name).ljust(width)}  {line}".rstrip() + "\n")
