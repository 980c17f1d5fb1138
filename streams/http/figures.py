"""Reads about the whole: totals, price books, and how old what is shown is."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import Connection

from meter import __version__
from meter.money import decimal_text
from meter.periods import BillingDays
from meter.rules import Rules
from streams.http.access import Operator, need
from streams.http.accounts import usage_document
from streams.http.answers import After, Ask, AskedSpan, BillingDay, Limit, Page, Region, encoded, tagged
from streams.http.bodies import JsonRoute
from streams.http.callers import Role
from streams.http.documents import (
    AccountDayItem,
    BookItem,
    PricesDocument,
    StatusDocument,
    TopicItem,
    UsageDocument,
)
from streams.http.paths import one
from streams.http.problems import PROBLEMS, Problem, unavailable
from streams.http.services import AllServices
from streams.store.queries import usage
from streams.store.queries.commands import PublishedBook, books_of, price_books
from streams.store.queries.freshness import data_as_of, freshness
from streams.store.queries.meter import days_of, rules_of, today

router = APIRouter(prefix="/v1", tags=["figures"], route_class=JsonRoute)
#: While the store is away no instants are known.
NO_DAYS = BillingDays("UTC")


@router.get("/totals", response_model=UsageDocument, responses=PROBLEMS)
async def show_totals(
    ask: Ask,
    _: Operator,
    asked: AskedSpan,
    after: After = None,
    limit: Limit = 50,
) -> Response:
    """The usage of all accounts by billing day and region, and the sum of all of it, whatever page this is."""
    return await ask(lambda connection: usage_document(usage.totals_page(connection, asked, after=after, limit=limit)))


@router.get("/totals" + one("day") + "/accounts", response_model=Page[AccountDayItem], responses=PROBLEMS)
async def list_day(
    ask: Ask,
    _: Operator,
    day: BillingDay,
    region: Region = None,
    after: After = None,
    limit: Limit = 50,
) -> Response:
    """A billing day, account by account."""
    return await ask.page(
        AccountDayItem, lambda connection: usage.day_totals(connection, day, region=region, after=after, limit=limit)
    )


@router.get(
    "/prices",
    response_model=PricesDocument,
    responses=PROBLEMS,
    dependencies=[Depends(need(Role.OPERATOR, Role.ACCOUNT))],
)
async def show_prices(ask: Ask, day: BillingDay | None = None) -> Response:
    """The price books, and which one is in force on a billing day (today)."""

    def question(connection: Connection) -> PricesDocument:
        rules = known_rules(connection)
        published = price_books(connection, rules)
        wanted = day or today(connection, rules, datetime.now(UTC))
        in_force = books_of(published).book_on(wanted).version
        return PricesDocument(day=wanted, in_force=in_force, books=[_book(each) for each in published])

    return await ask(question)


def known_rules(connection: Connection) -> Rules:
    """The rules of the meter. Raises Problem (503) before a projector has run."""
    rules = rules_of(connection)
    if rules is None:
        raise unavailable("store", "the read model is empty: `meter projector` has not run yet")
    return rules


def _book(each: PublishedBook) -> BookItem:
    return BookItem(
        version=each.book.version,
        effective_from=each.book.effective_from or None,
        prices={zone: decimal_text(price) for zone, price in each.book.prices},
        published_at=each.published_at,
        command_id=each.command_id,
    )


@router.get("/status", response_model=StatusDocument, responses=PROBLEMS)
async def show_status(request: Request, services: AllServices, _: Operator) -> Response:
    """Whether Kafka and the store are there, and how old what is shown is. Answers whatever is away."""

    def question(connection: Connection) -> tuple[dict[str, Any], BillingDays]:
        rules = rules_of(connection)
        topics = [TopicItem.model_validate(each) for each in freshness(connection).values()]
        known = {"topics": topics, "as_of": data_as_of(connection), "meter_id": rules and rules.meter_id}
        return known, days_of(connection)

    found: dict[str, Any] = {"topics": [], "as_of": None, "meter_id": None}
    days = NO_DAYS
    is_there = True
    try:
        found, days = await services.store.read(question)
    except Problem:
        is_there = False
    status = StatusDocument(
        version=__version__,
        kafka="up" if services.log.is_up else "down",
        kafka_problem=services.log.why_down,
        store="up" if is_there else "down",
        **found,
    )
    return tagged(request, encoded(status, days), {"Vary": "Authorization"})
