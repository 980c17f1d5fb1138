"""Commands of operators, each with an id: done or refused with a stable code, and the same answer when sent again."""

from typing import NamedTuple

import msgspec
from pydantic import ValidationError

from meter.intake import too_deep
from meter.models import CommandResult, PriceBookCommand, Source
from meter.prices import PriceBook, PriceBooks, PriceRefusal, accept_book
from meter.rules import Rules

#: Characters of a refusal's message: it may quote what came in, and must not grow with it.
MAX_MESSAGE_CHARS = 400


class Answer(NamedTuple):
    """What became of a command: `code` and `message` only when it was refused; record time in ms."""

    code: str | None
    message: str | None
    record_time: int


class _Envelope(msgspec.Struct):
    command_id: str
    type: str


def command_id_of(value: bytes | None) -> str | None:
    """The id of a command record, or None where it cannot be read."""
    envelope = _envelope(value)
    return envelope.command_id if envelope is not None and 1 <= len(envelope.command_id) <= 128 else None


def _envelope(value: bytes | None) -> _Envelope | None:
    try:
        text = (value or b"").decode()
        return None if too_deep(text) else msgspec.json.decode(text, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeError):
        return None


def apply_command(
    value: bytes | None, books: PriceBooks, record_time: int, rules: Rules
) -> tuple[Answer, PriceBook | None]:
    """The answer to a command, and the price book that it publishes if it was accepted."""
    envelope = _envelope(value)
    if envelope is None:
        return _refused("bad_fields", "not a JSON object with command_id and type", record_time)
    if envelope.type != "price_book":
        return _refused("unknown_command", f"there is no command {envelope.type[:128]!r}", record_time)
    try:
        command = PriceBookCommand.model_validate_json(value or b"")
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in detail["loc"])
        return _refused("bad_fields", f"{where}: {detail['msg']}", record_time)
    book = accept_book(command, books, record_time, rules)
    if isinstance(book, PriceRefusal):
        return _refused(book.code, book.message, record_time)
    return Answer(None, None, record_time), book


def _refused(code: str, message: str, record_time: int) -> tuple[Answer, None]:
    return Answer(code, message[:MAX_MESSAGE_CHARS], record_time), None


def result_value(command_id: str, partition: int, answer: Answer, source: Source) -> bytes:
    """`meter.command-results`: the answer of one partition."""
    return CommandResult(
        command_id=command_id,
        partition=partition,
        status="done" if answer.code is None else "refused",
        code=answer.code,
        message=answer.message,
        source=source,
    ).canonical()
