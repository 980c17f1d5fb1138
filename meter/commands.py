"""Commands of operators, each with an id: done or refused with a stable code, and the same answer when sent again."""

from typing import NamedTuple

import msgspec
from pydantic import ValidationError

from meter.models import CommandResult, PriceBookCommand, Source
from meter.prices import PriceBook, PriceBooks, PriceRefusal, accept_book
from meter.rules import Rules


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
    try:
        command_id = msgspec.json.decode(value or b"", type=_Envelope).command_id
    except (msgspec.MsgspecError, UnicodeError):
        return None
    return command_id if 1 <= len(command_id) <= 128 else None


def apply_command(
    value: bytes | None, books: PriceBooks, record_time: int, rules: Rules
) -> tuple[Answer, PriceBook | None]:
    """The answer to a command, and the price book that it publishes if it was accepted."""
    try:
        envelope = msgspec.json.decode(value or b"", type=_Envelope)
        if envelope.type != "price_book":
            return Answer("unknown_command", f"there is no command {envelope.type[:128]!r}", record_time), None
        command = PriceBookCommand.model_validate_json(value or b"")
    except (msgspec.MsgspecError, UnicodeError):
        return Answer("bad_fields", "not a JSON object with command_id and type", record_time), None
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in detail["loc"])
        return Answer("bad_fields", f"{where}: {detail['msg']}", record_time), None
    book = accept_book(command, books, record_time, rules)
    if isinstance(book, PriceRefusal):
        return Answer(book.code, book.message, record_time), None
    return Answer(None, None, record_time), book


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
