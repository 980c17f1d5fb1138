"""How figures are answered: pages with a cursor, entity tags, and the time up to which they are surely complete."""

import hashlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from fastapi import Depends, Query, Request, Response
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FieldSerializationInfo,
    PlainSerializer,
    WithJsonSchema,
)
from sqlalchemy import Connection

from meter.billing_models import unknown_region
from meter.periods import BillingDays, instant_us, milliseconds
from meter.regions import REGION_CODES
from streams.http.problems import Problem
from streams.http.services import AllServices, Services
from streams.store.queries import usage
from streams.store.queries.freshness import data_as_of
from streams.store.queries.meter import days_of
from streams.store.queries.pages import MAX_LIMIT
from streams.store.queries.pages import RowPage as Rows

Item = TypeVar("Item")

#: Whoever keeps an answer asks again whether it is still right: a tag makes that cheap.
REVALIDATE = "private, no-cache"
AS_OF = "Meter-As-Of"
AS_OF_KEPT_S = 1.0


class AnswerDocument(BaseModel):
    """What an answer says. Amounts are exact decimal strings in CNY, instants are in the billing time zone."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


def _in_zone(moment: datetime, info: FieldSerializationInfo) -> str:
    """An instant as the topics say it; `info.context["days"]`: the meter's billing days."""
    assert info.context is not None
    days: BillingDays = info.context["days"]
    return days.text(milliseconds(moment))


#: An instant of a document: RFC 3339, to the millisecond, in the billing time zone.
Moment = Annotated[
    datetime,
    PlainSerializer(_in_zone, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


class Page(AnswerDocument, Generic[Item]):
    """Some of a list. `next`: the cursor to give as `after` for those that follow; null: these were the last."""

    items: list[Item]
    next: str | None


def _real(day: str) -> str:
    if not _is_day(day):
        raise ValueError(f"must be a day, YYYY-MM-DD, such as 2026-11-24, got {day!r}")
    return day


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text  # not of a week
    except ValueError:
        return False


def _known(region: str) -> str:
    if region not in REGION_CODES:  # it would find nothing, and look right
        raise unknown_region(region)
    return REGION_CODES[region]


BillingDay = Annotated[
    str,
    AfterValidator(_real),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-11-24"]}),
]


def _period(text: str) -> str:
    if not _is_day(text if len(text) == 10 else f"{text}-01"):
        raise ValueError(f"a period is a day, YYYY-MM-DD, or a month, YYYY-MM, got {text!r}")
    return text


Period = Annotated[
    str,
    AfterValidator(_period),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date"},
                {"type": "string", "pattern": "^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])$"},
            ],
            "description": "a day, or a month with its days",
            "examples": ["2026-11-24", "2026-11"],
        }
    ),
]


def _instant(text: Any) -> datetime:
    microseconds = instant_us(text) if isinstance(text, str) else None
    if microseconds is None:
        raise ValueError("must be an RFC 3339 date-time with an offset")
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:  # the first and the last hours of all, with an offset that leads beyond them
        raise ValueError("there is no such instant in UTC") from None


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Instant = Annotated[datetime, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]

From = Annotated[BillingDay | None, Query(alias="from", description="the first billing day")]
To = Annotated[BillingDay | None, Query(description="the last billing day")]
Region = Annotated[
    str | None,
    AfterValidator(_known),
    Query(
        max_length=128,
        description="a code, name or price zone",
        json_schema_extra={"enum": [*sorted(REGION_CODES), None]},
    ),
]


def _span(start: From = None, to: To = None, region: Region = None) -> usage.Span:
    if start is not None and to is not None and start > to:
        message = f"{start} is after {to}"
        errors = [{"code": "bad_fields", "field": "from", "message": message}]
        raise Problem(422, "bad_fields", f"from: {message}", errors=errors)
    return usage.Span(start, to, region)


#: The billing days and the region that usage is asked of.
AskedSpan = Annotated[usage.Span, Depends(_span)]
After = Annotated[str | None, Query(min_length=1, max_length=1000, description="the `next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="how many at most")]


class AsOf(NamedTuple):
    """The time up to which everything is surely shown (None: no projector has looked at all topics yet), and where."""

    as_of: datetime | None
    days: BillingDays


class Age:
    """How old figures are, and their time zone, asked of the store now and then."""

    def __init__(self) -> None:
        self._seen: AsOf | None = None
        self._asked_s = float("-inf")

    async def look(self, services: Services) -> AsOf:
        """What is known now. Raises Problem (503) where the store is away."""
        now = time.monotonic()
        if self._seen is None or now - self._asked_s > AS_OF_KEPT_S:
            self._seen = await services.store.read(lambda connection: AsOf(data_as_of(connection), days_of(connection)))
            self._asked_s = now
        return self._seen


async def answer(request: Request, document: BaseModel | bytes, *, cache: str = REVALIDATE) -> Response:
    """An answer with its tag, 304 where the client has it already."""
    age: Age = request.app.state.age
    seen = await age.look(request.app.state.services)
    body = document if isinstance(document, bytes) else encoded(document, seen.days)
    headers = {"Cache-Control": cache, "Vary": "Authorization"}
    if seen.as_of is not None:
        headers[AS_OF] = seen.days.text(milliseconds(seen.as_of))
    return tagged(request, body, headers)


def tag_of(body: bytes) -> str:
    """The entity tag of a body."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def tagged(request: Request, body: bytes, headers: Mapping[str, str]) -> Response:
    """JSON with its entity tag; 304 where the client has it already."""
    tag = tag_of(body)
    headers = {"Cache-Control": REVALIDATE, **headers, "ETag": tag}
    if _has(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, "application/json")


class Asking:
    """A request that is answered with what a question finds in the store, in one snapshot."""

    def __init__(self, request: Request, services: AllServices) -> None:
        self._request = request
        self._store = services.store

    async def __call__(
        self, question: Callable[[Connection], BaseModel | bytes], *, cache: str = REVALIDATE
    ) -> Response:
        """The answer, as `answer` makes it. Raises what the question raises, and Problem (503)."""
        return await answer(self._request, await self._store.read(question), cache=cache)

    async def page(self, document: type[BaseModel], question: Callable[[Connection], Rows[Any]]) -> Response:
        """A page of the rows that a question finds, each as a document."""

        return await self(lambda connection: page_of(document, question(connection)))


#: Dependency: how a handler of a read answers.
Ask = Annotated[Asking, Depends()]


def page_of(document: type[Item], rows: Rows[Any]) -> Page[Item]:
    """Rows of a list as documents of a kind."""
    assert issubclass(document, BaseModel)
    return Page(items=[document.model_validate(row) for row in rows.rows], next=rows.next)


def encoded(document: BaseModel, days: BillingDays) -> bytes:
    """A document as JSON, with its instants in the billing time zone."""
    return document.model_dump_json(by_alias=True, context={"days": days}).encode()


def _has(known: str, tag: str) -> bool:
    tags = [each.strip().removeprefix("W/") for each in known.split(",")]
    return "*" in tags or tag in tags
