"""What commands read: files and standard input, opened, waited for, and known for what they are where that is wrong."""

import errno
import json
import os
import select
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from meter.intake import too_deep
from meter.keys import OnceEach
from streams.errors import SettingError
from streams.terminal.output import note
from streams.text.formats import BOM, no_text, plain_text

#: Whoever waits for input that does not come is told after this long that we wait for it.
SILENT_S = 3.0
STDIN = "standard input"
MAX_DOCUMENT_BYTES = 1 << 20


@contextmanager
def opened(name: str) -> Iterator[int]:
    """The descriptor of a file, or of standard input for `-`. Raises SettingError."""
    if name == "-" and sys.stdin is None:
        raise SettingError(f"{STDIN} is closed: there is nothing to read")
    file = sys.stdin.fileno() if name == "-" else _open(name)
    try:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise SettingError(f"{called(name)}: {os.strerror(errno.EISDIR)}")
        yield file
    finally:
        if name != "-":
            os.close(file)


def called(name: str) -> str:
    """What a file is called in what is said of it."""
    return STDIN if name == "-" else name


def _open(name: str) -> int:
    try:
        if stat.S_ISFIFO(os.stat(name).st_mode):  # noqa: PTH116 - a name as it was given
            return _open_fifo(name)
        return os.open(name, os.O_RDONLY)
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingError(f"{name}: {what}") from error


def _open_fifo(name: str) -> int:
    """Open a named pipe, which takes as long as nobody writes to it; Ctrl-C ends the wait."""
    found: list[Any] = []
    is_open = threading.Event()

    def open_it() -> None:
        try:
            found.append(os.open(name, os.O_RDONLY))
        except OSError as error:
            found.append(error)
        is_open.set()

    threading.Thread(target=open_it, daemon=True).start()
    if not is_open.wait(SILENT_S):
        note(f"{name} is a named pipe: waiting until somebody writes to it; Ctrl-C ends that")
        is_open.wait()
    if isinstance(found[0], OSError):
        raise found[0]
    return int(found[0])


@contextmanager
def telling_of_silence(file: int, name: str) -> Iterator[None]:
    """Within the block somebody reads: who sits before a terminal is told, and after a while of nothing anybody."""
    if os.isatty(file):
        note("reading from the terminal; Ctrl-D ends the input")
    if stat.S_ISREG(os.fstat(file).st_mode) or os.isatty(file):
        yield
        return
    timer = threading.Timer(SILENT_S, _tell_if_silent, (file, name))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _tell_if_silent(file: int, name: str) -> None:
    if not select.select([file], [], [], 0)[0]:
        note(f"waiting for {called(name)}; Ctrl-C ends that")


def read_document(name: str, what: str, command: str) -> Any:
    """The JSON of a file. Raises SettingError, which says what the file is: `what` is what it should be, as "a book".

    `command` is the command that reads standard input.
    """
    with opened(name) as file, telling_of_silence(file, name):
        text = _read(file, name, what)
    if (wrong := no_text(text, name, command)) is not None:
        raise SettingError(f"{called(name)} is {wrong}")
    text = text.removeprefix(BOM)
    if not text.strip():
        raise SettingError(f"{called(name)} is empty, and not {what}")
    return _parsed(text, name, what)


def _read(file: int, name: str, what: str) -> bytes:
    parts, size = [], 0
    try:
        while part := os.read(file, MAX_DOCUMENT_BYTES):
            parts.append(part)
            size += len(part)
            if size > MAX_DOCUMENT_BYTES:
                raise SettingError(f"{called(name)} is longer than {MAX_DOCUMENT_BYTES:,} bytes, and not {what}")
    except OSError as error:
        raise SettingError(f"{called(name)}: {error.strerror}") from error
    return b"".join(parts)


def _parsed(text: bytes, name: str, what: str) -> Any:
    keys = OnceEach()
    try:
        decoded = text.decode()
        if too_deep(decoded):
            raise SettingError(f"{called(name)} nests too deep, and is not {what}")
        document = json.loads(decoded, object_pairs_hook=keys)
    except json.JSONDecodeError as error:
        first = decoded.lstrip()
        if not first.startswith(("{", "[", '"')):
            raise SettingError(f"{called(name)} is {plain_text(first.splitlines()[0])}") from error
        if error.msg == "Extra data":
            raise SettingError(f"{called(name)} is more than one JSON value, and not {what}") from error
        raise SettingError(f"{called(name)}: not JSON: {error}") from error
    except ValueError as error:  # not UTF-8, or a number of thousands of digits
        raise SettingError(f"{called(name)}: not JSON: {error}") from error
    if keys.repeated is not None:
        raise SettingError(f"{called(name)}: {keys.reason}")
    return document
