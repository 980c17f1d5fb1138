"""A file is there whole or not at all: it is written under another name, put on the disk, and renamed."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from streams.errors import MeterError
from streams.process.private import create, new_folder


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write; it takes its name when the block ends well. Raises MeterError where it cannot be written.

    What a killed process leaves ends in `.partial`; the next export of the same file replaces it.
    """
    unfinished = path.with_name(f".{path.name}.partial")
    try:
        new_folder(path.parent)
        with create(unfinished) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        _keep_name(path.parent)
    except OSError as error:
        raise MeterError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def as_text(file: BinaryIO) -> Iterator[TextIO]:
    """A file of bytes as one of text in UTF-8, with lines as they are written; the file stays open."""
    text = io.TextIOWrapper(file, "utf-8", newline="")
    try:
        yield text
    finally:
        text.detach()  # which flushes it


def _keep_name(folder: Path) -> None:
    """A name is kept by its folder, which has a place on the disk of its own."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
