"""What a file is that is not what was asked for, in one phrase that says what to do about it."""

import json
import re
from typing import Final

BOM: Final = b"\xef\xbb\xbf"
#: What is looked at of a file, at most: its beginning, and so many lines of it.
HEAD_BYTES: Final = 1 << 20
HEAD_LINES: Final = 10
SHOWN_CHARS: Final = 60
LEAST_BYTES: Final = 8

#: First bytes -> what it is, and how to make text of it.
_MAGIC: Final = {
    b"\x1f\x8b": ("compressed by gzip", "zcat"),
    b"BZh": ("compressed by bzip2", "bzcat"),
    b"\xfd7zXZ\x00": ("compressed by xz", "xzcat"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "zstdcat"),
    b"\x04\x22\x4d\x18": ("compressed by lz4", "lz4cat"),
    b"PK\x03\x04": ("a zip archive (or a spreadsheet, which is one)", "unzip -p"),
    b"PAR1": ("Parquet", None),
    b"ORC": ("ORC", None),
    b"Obj\x01": ("Avro", None),
    b"%PDF": ("PDF", None),
    b"SQLite format 3\x00": ("an SQLite database", None),
    b"\x7fELF": ("a program", None),
}
_UTF: Final = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_ARRAY = re.compile(r"\[\s*(\{|\]|$)")
_FIELDS = re.compile(r"[,;\t|]")


def no_text(head: bytes, name: str, command: str) -> str | None:
    """What the first bytes say: compressed, of another encoding, or binary. None: text, as far as can be seen.

    `name` is the file's, `-` for standard input; `command` is what would read it as text, as `meter submit -`.
    """
    file = "" if name == "-" else f" {name}"
    for magic, (what, tool) in _MAGIC.items():
        if head.startswith(magic):
            return what if tool is None else f"{what}: `{tool}{file} | {command}`"
    encoding = next((utf for bom, utf in _UTF.items() if head.startswith(bom)), None) or _utf_16(head)
    if encoding is not None:
        return f"{encoding} and not UTF-8: `iconv -f {encoding} -t UTF-8{file} | {command}`"
    return "binary data and no text" if b"\0" in head[:4096] else None


def _utf_16(head: bytes) -> str | None:
    """UTF-16 without a mark, by the zeros of its ASCII: a JSON text begins with two ASCII characters."""
    if len(head) < LEAST_BYTES:
        return None
    zeros = [byte == 0 for byte in head[:LEAST_BYTES]]
    return {(False, True): "UTF-16LE", (True, False): "UTF-16BE"}.get((zeros[0], zeros[1])) if any(zeros) else None


class Undecided(Exception):  # noqa: N818 - it is none
    """More has to be read before it can be said what a file is."""


def no_lines(head: bytes, name: str, command: str, *, ended: bool) -> str | None:
    """Why the text that begins so is not JSON objects, one a line; None where it may be. Raises Undecided.

    One line that is an object, among the first ones, makes it lines of JSON: those that are not are bad lines.
    """
    text = head.removeprefix(BOM).decode(errors="backslashreplace")
    body = text.lstrip()
    if not body:
        return _undecided(ended, head)
    *whole, rest = body.split("\n")
    lines = [line.strip() for line in [*whole, *([rest] if ended else [])] if line.strip()]
    if body[0] == "{":
        return _no_objects(body, lines, head, name, command, ended=ended)
    if _ARRAY.match(body):
        return f"one JSON array: `jq -c '.[]'{'' if name == '-' else f' {name}'} | {command}`"
    if any(line.startswith("{") for line in lines):
        return None
    if len(lines) < HEAD_LINES and not ended and len(head) < HEAD_BYTES:
        raise Undecided
    return plain_text(lines[0] if lines else body[:SHOWN_CHARS])


def _no_objects(body: str, lines: list[str], head: bytes, name: str, command: str, *, ended: bool) -> str | None:
    file = "" if name == "-" else f" {name}"
    if not lines:
        return _undecided(ended, head)
    if "\r" in lines[0]:
        return f"text whose lines end with CR alone: `tr '\\r' '\\n'{file and f' <{file}'} | {command}`"
    if not head.isascii() and all(_is_not_utf_8(line) for line in head.split(b"\n")[:HEAD_LINES] if line.strip()):
        return f"not UTF-8: if it is GBK, `iconv -f GBK -t UTF-8{file} | {command}`"
    if _is_json(lines[0]):
        return None
    # No string goes over the end of a line: up to there nothing is cut in its midst.
    body = body if ended else body[: body.rindex("\n")]
    try:
        _, end = json.JSONDecoder().raw_decode(body)
    except ValueError as error:
        at_its_end = isinstance(error, json.JSONDecodeError) and not body[error.pos :].strip()
        return _undecided(ended, head) if at_its_end else None
    return f"JSON over several lines: `jq -c .{file} | {command}`" if "\n" in body[:end].strip() else None


def _undecided(ended: bool, head: bytes) -> str | None:
    """Nothing, where no more comes or is looked at. Raises Undecided."""
    if not ended and len(head) < HEAD_BYTES:
        raise Undecided
    return None


def _is_not_utf_8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return True
    return False


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def plain_text(line: str) -> str:
    """What text is that is no JSON, by its first line."""
    begins = repr(line if len(line) <= SHOWN_CHARS else f"{line[:SHOWN_CHARS]}...")
    if line.startswith("<"):
        return f"XML or HTML and not JSON: it begins with {begins}"
    if len(_FIELDS.findall(line)) > 1 and not line.startswith(("{", "[")):
        return f"CSV, or text of some such kind, and not JSON: its first line is {begins}"
    return f"text that is not JSON: its first line is {begins}"
