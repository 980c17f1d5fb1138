"""What a file is that is none of JSON lines, and none of a price book: one line, and nothing is sent."""

import gzip
import io
import json
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.cli.inputs import read_document
from streams.commands.books import read_command
from streams.completions.submit import see_beginning
from streams.errors import SettingError
from streams.text import formats
from tests.integration.running import job, lines, value_of

JOBS = lines(job(), job(), job()).encode()
PRETTY = json.dumps(job(), indent=2).encode()
CSV = b"job_id,account_id,region,duration_s\nj1,A,ap-tokyo,60\n"


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("jobs.jsonl", JOBS)
    return file.getvalue()


WRONG = {
    "compressed by gzip: `zcat FILE | meter submit -`": gzip.compress(JOBS),
    "a zip archive": zipped(),
    "UTF-16 and not UTF-8: `iconv -f UTF-16 -t UTF-8 FILE | meter submit -`": JOBS.decode().encode("utf-16"),
    "UTF-16LE and not UTF-8": JOBS.decode().encode("utf-16-le"),
    "UTF-16BE and not UTF-8": JOBS.decode().encode("utf-16-be"),
    "UTF-32 and not UTF-8": JOBS.decode().encode("utf-32"),
    "binary data": bytes(range(128, 256)) + bytes(4) + JOBS,
    "one JSON array: `jq -c '.[]' FILE | meter submit -`": json.dumps([job(), job()]).encode(),
    "one JSON array: ": json.dumps([job(), job()], indent=1).encode(),
    "JSON over several lines: `jq -c . FILE | meter submit -`": PRETTY,
    "JSON over several lines:": PRETTY + b"\n" + PRETTY + b"\n",
    "CSV, or text of some such kind, and not JSON: its first line is 'job_id,account_id,": CSV,
    "CSV,": CSV.replace(b",", b"\t"),
    "XML or HTML": b"<html><body>404 Not Found</body></html>\n",
    "text that is not JSON: its first line is 'no such table'": b"no such table\n",
    "text that is not JSON: its first line is '42'": b"42\n43\n",
    "text whose lines end with CR alone": JOBS.replace(b"\n", b"\r"),
    "not UTF-8: if it is GBK, `iconv -f GBK": JOBS.replace(b'"A"', '"录像"'.encode("gbk")),
    "text that is not JSON: its first line is 'job_id: j1'": b"job_id: j1\naccount_id: A\n",
    "Parquet": b"PAR1" + bytes(100),
    "an SQLite database": b"SQLite format 3\x00" + bytes(100),
}
RIGHT = {
    "lines": JOBS,
    "with a mark": formats.BOM + JOBS,
    "two files with marks": (formats.BOM + JOBS) * 2,
    "line ends of Windows": formats.BOM + JOBS.replace(b"\n", b"\r\n"),
    "without an end": JOBS.rstrip(b"\n"),
    "blank lines first": b"\r\n\n" + JOBS,
    "one bad line first": b"this is not JSON\n" + JOBS,
    "one cut line first": b'{"job_id": "cut\n' + JOBS,
    "one brace first": b"{\n" + JOBS,
    "one line of bad UTF-8 first": b'{"job_id": "\xff"}\n' + JOBS.replace(b'"A"', '"录像"'.encode()),
    "a comment first": b"# jobs, of today, and of yesterday\n" + JOBS,
    "nothing": b"",
    "a mark alone": formats.BOM,
    "blanks": b"\n \r\n",
    "one very long line": b'{"note": "' + b"x" * (2 << 20) + b'"}\n',
}


def seen(tmp_path: Path, content: bytes, *, anyway: bool = False) -> str:
    """What is said of a file with this content, and of a pipe that it comes through; nothing where it is taken."""
    file = tmp_path / "file"
    file.write_bytes(content)
    descriptor = os.open(file, os.O_RDONLY)
    try:
        see_beginning(descriptor, "FILE", anyway)
    except SettingError as error:
        return str(error)
    finally:
        os.close(descriptor)
    return ""


@pytest.mark.parametrize("said", WRONG)
def test_a_file_that_is_no_lines_of_json_is_called_what_it_is(tmp_path: Path, said: str) -> None:
    line = seen(tmp_path, WRONG[said])
    assert line.startswith(f"FILE is {said}")
    assert line.endswith("; nothing was sent")
    assert line.isprintable()
    assert len(line) < 200


@pytest.mark.parametrize("what", RIGHT)
def test_lines_of_json_are_taken_however_they_were_saved(tmp_path: Path, what: str) -> None:
    assert seen(tmp_path, RIGHT[what]) == ""


@pytest.mark.parametrize("said", WRONG)
def test_text_of_any_kind_is_sent_where_that_is_asked_for_but_nothing_else(tmp_path: Path, said: str) -> None:
    is_text = "\0" not in (text := WRONG[said].decode("latin-1")) and not text.startswith(("\x1f", "PK", "\xff"))
    assert (seen(tmp_path, WRONG[said], anyway=True) == "") is is_text


@pytest.mark.parametrize("name", [*WRONG, *RIGHT])
def test_what_comes_slowly_is_called_the_same(name: str, tmp_path: Path) -> None:
    """Of a pipe that gives a few bytes at a time, the verdict does not depend on how many."""
    content = {**WRONG, **RIGHT}[name]
    whole = seen(tmp_path, content[: 64 << 10]).removeprefix("FILE is ").removesuffix("; nothing was sent")
    verdict: str | None = ""
    for end in range(formats.LEAST_BYTES, min(len(content), 4 << 10) + 100, 7):
        is_all = end >= len(content)
        try:
            verdict = formats.no_text(content[:end], "FILE", "meter submit -") or formats.no_lines(
                content[:end], "FILE", "meter submit -", ended=is_all
            )
        except formats.Undecided:
            continue
        break
    assert (verdict or "") == whole


BOOK = {
    "version": "2027",
    "effective_from": "2027-01-01",
    "prices": {
        "Mainland China": "0.25",
        "Silicon Valley, Virginia": "0.30",
        "Mumbai, Seoul, Bangkok, Hong Kong, Tokyo, Frankfurt, Singapore": "0.31",
    },
}
BOOK_TEXT = json.dumps(BOOK, indent=2).encode()


@pytest.mark.parametrize(
    "content",
    [BOOK_TEXT, formats.BOM + BOOK_TEXT, BOOK_TEXT.replace(b"\n", b"\r\n"), json.dumps(BOOK).encode()],
    ids=["as it is", "with a mark", "line ends of Windows", "one line"],
)
def test_a_price_book_is_read_however_it_was_saved(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "book").write_bytes(content)
    assert read_document(str(tmp_path / "book"), "a price book", "meter prices publish -") == BOOK


NO_BOOK = {
    "compressed by gzip: `zcat FILE | meter prices publish -`": gzip.compress(BOOK_TEXT),
    "UTF-16 and not UTF-8": BOOK_TEXT.decode().encode("utf-16"),
    "empty, and not a price book": b"",
    "empty": formats.BOM + b"\n",
    "CSV,": b"zone,price,currency\nMainland China,0.25,CNY\n",
    "more than one JSON value, and not a price book": BOOK_TEXT + BOOK_TEXT,
    "longer than 1,048,576 bytes": b"{" + b" " * (1 << 20),
    "text that is not JSON: its first line is 'version: 2027'": b"version: 2027\n",
    "binary data": b"\x00\x01\x02",
}


@pytest.mark.parametrize("said", NO_BOOK)
def test_a_file_that_is_no_price_book_is_called_what_it_is(tmp_path: Path, said: str) -> None:
    file = tmp_path / "book"
    file.write_bytes(NO_BOOK[said])
    with pytest.raises(SettingError) as raised:
        read_document(str(file), "a price book", "meter prices publish -")
    line = str(raised.value).replace(str(file), "FILE")
    assert line.startswith(f"FILE is {said}")
    assert line.isprintable()


@pytest.mark.parametrize(
    "content", ["9" * 5000, '{"version": ' + "9" * 5000 + "}", "[" * 5000, '{"a": "\\ud800"}', "{"]
)
def test_what_no_reader_can_read_is_one_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "book"
    file.write_text(content)
    with pytest.raises(SettingError) as raised:
        read_command(read_document(str(file), "a price book", "meter prices publish -"), "c", "2026-01-01T00:00:00Z")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_an_array_is_no_price_book() -> None:
    with pytest.raises(SettingError, match="one JSON object with version, effective_from and prices, not an array"):
        read_command([BOOK], "c", "2026-01-01T00:00:00Z")


@pytest.fixture
def no_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)


@pytest.mark.usefixtures("no_standard_input")
def test_closed_standard_input_is_one_line() -> None:
    with pytest.raises(SettingError, match="standard input is closed"):
        read_document("-", "a price book", "meter prices publish -")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Path.mkdir, "Is a directory"),
        (lambda path: None, "No such file or directory"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
)
def test_what_cannot_be_opened_is_one_line(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    make(tmp_path / "book")
    with pytest.raises(SettingError, match=f"book: {said}"):
        read_document(str(tmp_path / "book"), "a price book", "meter prices publish -")


def test_a_job_is_lines_of_json() -> None:
    assert formats.no_lines(value_of(), "-", "meter submit -", ended=True) is None
