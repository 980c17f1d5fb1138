"""What documents of the API have in common: how they say instants, and how a wrong day or period is refused."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from pydantic import PlainSerializer, TypeAdapter, ValidationError

import streams.http.documents
from streams.http.answers import AnswerDocument, BillingDay, Period
from streams.http.words import reason

DAY = "must be a day, YYYY-MM-DD, such as 2026-11-24, got"
PERIOD = "a period is a day, YYYY-MM-DD, or a month, YYYY-MM, got"


def documents(of: type[AnswerDocument] = AnswerDocument) -> Iterator[type[AnswerDocument]]:
    for each in of.__subclasses__():
        yield each
        yield from documents(each)


def test_every_instant_is_said_in_the_billing_time_zone() -> None:
    assert streams.http.documents.VerifyDocument in set(documents())
    instants = [(each, name, field) for each in documents() for name, field in each.model_fields.items()
                if "datetime" in str(field.annotation)]  # fmt: skip
    assert instants
    for document, name, field in instants:
        kinds: list[Any] = [*field.metadata] if field.annotation is datetime else [str(field.annotation)]
        is_moment = any(isinstance(kind, PlainSerializer) or "PlainSerializer" in str(kind) for kind in kinds)
        assert is_moment, (document.__name__, name)


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        *((BillingDay, text, DAY) for text in ("2019-13-01", "2019-02-30", "01/01/2019", "2019-1-1", "2019-W01-1")),
        *((Period, text, PERIOD) for text in ("2019-1", "2019-13", "2019-02-30", "2019-W01-1", "last month", "")),
    ],
)  # fmt: skip
def test_a_wrong_day_is_told_how_one_is_written(kind: Any, given: str, said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(kind).validate_python(given)
    message = raised.value.errors()[0]["msg"].removeprefix("Value error, ")
    assert message == f"{said} {given!r}"
    assert "2026-11-24" in reason("zh", "bad_fields", message)
    assert reason("zh", "bad_fields", message) != message


@pytest.mark.parametrize(("kind", "given"), [(BillingDay, "2019-02-28"), (Period, "2019-02"), (Period, "2019-02-28")])
def test_a_right_one_is_taken_as_it_is(kind: Any, given: str) -> None:
    assert TypeAdapter(kind).validate_python(given) == given
