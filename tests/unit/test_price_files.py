"""One format of a price book for the command line and for `POST /v1/prices`."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from meter.regions import ZONES
from streams.commands.books import read_command
from streams.errors import SettingError
from streams.http.bodies import read_json
from streams.http.commands import PriceBookBody
from tests.builders import price_book

PRICES = dict.fromkeys(ZONES, "0.25")
BOOK = {"version": "2027", "effective_from": "2027-01-01", "prices": PRICES}
FILES: list[tuple[str, dict[str, Any]]] = [
    ("as the command line's help has it", BOOK),
    ("a command as the contract has it", price_book()),
    ("as GET /v1/prices has it", {**BOOK, "published_at": "2026-11-24T10:20:30Z", "command_id": "book-2027"}),
    ("with its currency", {**BOOK, "currency": "CNY"}),
    ("with a remark", {**BOOK, "remark": "agreed in May", "v": 1}),
    ("in another currency", {**BOOK, "currency": "USD"}),
    ("of another version of the contract", {**BOOK, "v": 2}),
    ("another command", {**BOOK, "type": "top_up"}),
    ("with numbers for prices", {**BOOK, "prices": dict.fromkeys(ZONES, 0.25)}),
    ("without prices", {"version": "2027", "effective_from": "2027-01-01"}),
    ("without a version", {**BOOK, "version": ""}),
    ("with no day", {**BOOK, "effective_from": "soon"}),
    ("the built-in book", {**BOOK, "effective_from": None}),
]


def by_command_line(document: dict[str, Any]) -> dict[str, Any] | None:
    """What the book is, None where the command line refuses it."""
    try:
        command = read_command(document, "book-2027", "2026-11-24T10:20:30Z")
    except SettingError:
        return None
    return command.model_dump(mode="json", exclude={"v", "type", "command_id", "issued_at"})


def by_http(document: dict[str, Any]) -> dict[str, Any] | None:
    """What the book is, None where the API refuses it."""
    try:
        return PriceBookBody.model_validate(document).model_dump(mode="json")
    except ValidationError:
        return None


@pytest.mark.parametrize("document", [row[1] for row in FILES], ids=[row[0] for row in FILES])
def test_a_price_file_is_the_same_book_at_both_doors(document: dict[str, Any]) -> None:
    assert by_http(document) == by_command_line(document)


def test_most_of_these_files_are_taken_and_some_are_not() -> None:
    assert [by_http(document) is not None for _, document in FILES].count(True) == 5


def test_a_file_with_a_byte_order_mark_is_one() -> None:
    assert read_json(b"\xef\xbb\xbf" + json.dumps(BOOK).encode()) == BOOK
