"""What a document asks its reader to type: its fenced `console` and `sh` blocks, in order."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^```(\w*)\s*$")
PROMPT, CONTINUED = "$ ", "> "
EXIT_CODE = re.compile(r"\(exit code (\d+)\)")
LATER = "a moment later"
RUN_AS_SCRIPT, RUN_AND_COMPARE = "sh", "console"

DATE, TIME = re.compile(r"\d{4}-\d\d-\d\d"), re.compile(r"\d\d:\d\d:\d\d(?:\.\d{3})?")


class Block(NamedTuple):
    """One fenced block: its language, its text, and the number of its first line in the document."""

    language: str
    text: str
    line: int


class DocumentStep(NamedTuple):
    """Something to run. `expected` is what it must print, None where the document shows none of it."""

    script: str
    line: int
    exit_code: int = 0
    expected: str | None = None
    later: bool = False


def blocks(text: str) -> Iterator[Block]:
    """All fenced blocks of a document."""
    fence: tuple[str, int] | None = None
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        found = FENCE.match(line)
        if found is None:
            lines.append(line)
        elif fence is None:
            fence, lines = (found[1], number + 1), []
        else:
            yield Block(fence[0], "\n".join(lines) + "\n", fence[1])
            fence = None
    if fence is not None:
        raise ValueError(f"the block at line {fence[1]} has no end")


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next one that is not deeper."""
    start = re.search(rf"^(#+) .*{re.escape(heading)}.*$", text, re.MULTILINE)
    assert start is not None, f"no heading with {heading}"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", rest, re.MULTILINE)
    return rest if end is None else rest[: end.start()]


def rows(text: str) -> list[list[str]]:
    """The cells of all table rows, without backquotes."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|--")]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in lines]


class Exchange(NamedTuple):
    """A request and its answer, of an `http` block. `body` empty: there is none."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    answer: str


def exchanges(text: str) -> list[Exchange]:
    """The requests of a document's `http` blocks, in order."""
    return [_exchange(block.text) for block in blocks(text) if block.language == "http"]


def _exchange(text: str) -> Exchange:
    head, *body, answer = text.strip().split("\n\n")
    request, *headers = head.splitlines()
    method, path = request.split()
    status, _, document = answer.partition("\n")
    return Exchange(method, path, dict(line.split(": ", 1) for line in headers), "".join(body), int(status), document)


def steps(path: Path) -> list[DocumentStep]:
    """What a reader of this document runs."""
    found: list[DocumentStep] = []
    for block in blocks(path.read_text("utf-8")):
        if block.language == RUN_AS_SCRIPT:
            found.append(DocumentStep(f"set -e\n{block.text}set +e\n", block.line))
        elif block.language == RUN_AND_COMPARE:
            found += _commands(block)
    return found


def _commands(block: Block) -> Iterator[DocumentStep]:
    """The commands of a console block, each with the lines that it must print: they go up to the next prompt."""
    command: list[str] = []
    output: list[str] = []
    start = block.line
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith(PROMPT):
            if command:
                yield _command(command, output, start)
            command, output, start = [line.removeprefix(PROMPT)], [], number
        elif line.startswith(CONTINUED) and command and not output:
            command.append(line.removeprefix(CONTINUED))
        elif command:
            output.append(line)
        elif line.strip():
            raise ValueError(f"line {number}: a console block begins with a command after {PROMPT!r}")
    if command:
        yield _command(command, output, start)


def _command(command: list[str], output: list[str], line: int) -> DocumentStep:
    script = "\n".join(command)
    code = EXIT_CODE.search(script)
    return DocumentStep(f"{script}\n", line, int(code[1]) if code else 0, "\n".join(output), LATER in script)


def matches(expected: str, actual: str) -> bool:
    """Whether output is as the document says: `...` is anything, and any date and time stands for any other."""
    pattern = ".*".join(re.escape(part) for part in _plain(expected).split("..."))
    return re.fullmatch(pattern, _plain(actual), re.DOTALL) is not None


def _plain(text: str) -> str:
    """Without blank lines at the ends and blanks at the lines' ends, with one date and one time for all."""
    lines = "\n".join(line.rstrip() for line in text.strip("\n").splitlines()).strip("\n")
    return TIME.sub("00:00:00", DATE.sub("2000-01-01", lines))
