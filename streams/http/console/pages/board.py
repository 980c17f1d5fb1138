"""Pages about all of it, for operators: overview, accounts, prices, health, audit."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import Connection

from meter.arrears import Service
from meter.regions import ZONES
from streams.http.answers import BillingDay
from streams.http.console import views
from streams.http.console.closed import OpenVisitor, OperatorVisitor
from streams.http.console.forms import OPEN, WITHDRAW_BOOK
from streams.http.console.given import asked_form
from streams.http.console.health import audit_page, health_page, metering_lag, reconciled, workers
from streams.http.console.languages import LocaleFormat
from streams.http.console.render import SENT, _, look_of, page, plain
from streams.http.console.views import Scene
from streams.http.forms import FormRoute
from streams.http.problems import Problem
from streams.http.services import AllServices
from streams.http.sessions import Visitor, check_form
from streams.http.words import text
from streams.proof.reconcile import Reconciliation
from streams.store.queries import accounts as account_queries
from streams.store.queries import commands, usage
from streams.store.queries.pages import RowPage

router = APIRouter(route_class=FormRoute)

#: Rows of a list on a page.
ROWS = 20
AccountSort = Literal["account", "owed", "balance"]


def _zones(request: Request, here: Scene) -> list[str]:
    fmt = LocaleFormat(look_of(request).language, here.days.zone)
    return [fmt.region(zone) for zone in ZONES]


@router.get("/console/overview")
async def overview(request: Request, visitor: OperatorVisitor) -> Response:
    """Today's figures, as they happen."""
    return await page(request, visitor, "overview.html", lambda c, here: {"o": _overview(request, c, here)})


@router.get("/console/overview/live")
async def overview_live(request: Request, visitor: OperatorVisitor, seen: str = "") -> Response:
    """The figures again, where they are others than those that were seen."""
    changed = True

    def ask(connection: Connection, here: Scene) -> Mapping[str, Any]:
        nonlocal changed
        found = _overview(request, connection, here)
        changed = found.mark != seen
        return {"o": found}

    response = await page(request, visitor, "overview_live.html", ask)
    return response if changed else Response(status_code=204)


def _overview(request: Request, connection: Connection, here: Scene) -> views.OverviewPage:
    return views.overview_page(connection, here, _zones(request, here))


@router.get("/console/freshness")
async def freshness(request: Request, visitor: OpenVisitor) -> Response:
    """How old the figures are."""
    return await page(request, visitor, "freshness.html", lambda *_: {})


@router.get("/console/accounts")
async def accounts(
    request: Request, visitor: OperatorVisitor, q: str = "", state: str = "", after: str | None = None
) -> Response:
    """All accounts, searched and filtered."""
    return await accounts_page(request, visitor, q=q, state=state, after=after)


async def accounts_page(
    request: Request,
    visitor: Visitor,
    *,
    q: str = "",
    state: str = "",
    after: str | None = None,
) -> HTMLResponse:
    """The list of accounts, with the form that opens one as it was filled in."""
    form = await asked_form(request, visitor, {"open": OPEN})
    language = look_of(request).language
    wanted = Service(state) if state in set(Service) else None
    names = [("", "All"), ("good", "Good"), ("in_arrears", "In arrears"), ("stopped", "Stopped")]

    def ask(connection: Connection, here: Scene) -> Mapping[str, Any]:
        sort, sorts = choice(request, "sort", ("account", "owed", "balance"))
        found = account_queries.accounts(
            connection, search=q[:128] or None, state=wanted, sort=cast(AccountSort, sort), after=after, limit=ROWS
        )
        return {
            "q": q[:128],
            "state": wanted or "",
            "states": [(code, text(language, name)) for code, name in names],
            "rows": views.account_rows(connection, here, found.rows),
            "month": here.today[:7],
            "sort": sort,
            "sorts": sorts,
            "total": views.account_total(connection, wanted),
            "form": form,
            **(form["kept"] if form else {}),
            **pager(request, found),
        }

    return await page(request, visitor, "accounts.html", ask)


def pager(request: Request, found: RowPage[Any], anchor: str = "") -> dict[str, Any]:
    """The links to the first page of a list, the one before and the next."""
    after = request.query_params.get("after")
    return {
        "pages": {
            "first": link(request, anchor, after=None) if after else None,
            "previous": None if found.previous is None else link(request, anchor, after=found.previous),
            "next": None if found.next is None else link(request, anchor, after=found.next),
        }
    }


def link(request: Request, anchor: str = "", **changes: str | None) -> str:
    """This page with other query parameters; None takes one away."""
    query = {**request.query_params, **changes}
    text = urlencode({name: value for name, value in query.items() if value is not None})
    path = quote(request.scope["path"], safe="/")
    return f"{path}?{text}{anchor}" if text else f"{path}{anchor}"


def choice(request: Request, name: str, given: tuple[str, ...], anchor: str = "") -> tuple[str, dict[str, str]]:
    """Which of some ways to sort is asked for, the first unless another, and the link of each."""
    asked = request.query_params.get(name, "")
    links = {each: link(request, anchor, **{name: each, "after": None}) for each in given}
    return asked if asked in given else given[0], links


@router.get("/console/days")
async def of_day(
    request: Request, visitor: OperatorVisitor, day: BillingDay, region: str = "", after: str | None = None
) -> Response:
    """Who used what on a billing day: what is behind a bar of the overview."""

    def ask(connection: Connection, here: Scene) -> Mapping[str, Any]:
        regions = views.of_zone(region) if region in ZONES else None
        found = usage.day_totals(connection, day, regions=regions, after=after, limit=ROWS)
        return {"day": day, "region": region if regions else "", "rows": found.rows, **pager(request, found)}

    return await page(request, visitor, "day.html", ask)


@router.get("/console/prices")
async def prices(request: Request, visitor: OperatorVisitor) -> Response:
    """The price book that is in force, those to come, and those before, with the form that withdraws one."""
    form = await asked_form(request, visitor, {"withdraw-book": WITHDRAW_BOOK})
    said = {"withdraw-book": _("The price book is withdrawn."), "sent": SENT}.get(request.query_params.get("done", ""))
    language = look_of(request).language

    def ask(connection: Connection, here: Scene) -> Mapping[str, Any]:
        published = commands.price_books(connection, here.rules)
        now = commands.books_of(published).book_on(here.today)
        return {
            "books": list(reversed(published)),
            "now": now,
            "today": here.today,
            "zones": ZONES,
            "form": form,
            "done": said and text(language, said),
            **(form["kept"] if form else {}),
        }

    return await page(request, visitor, "prices.html", ask)


@router.get("/console/health")
async def health(request: Request, visitor: OperatorVisitor, services: AllServices) -> Response:
    """How far the figures are, part by part."""
    lag, found = await asyncio.gather(metering_lag(services), workers(services))
    kafka = {"up": services.log.is_up, "why": services.log.why_down}

    def ask(connection: Connection, here: Scene) -> Mapping[str, Any]:
        return {"h": health_page(connection, here, lag, found), "kafka": kafka}

    return await page(request, visitor, "health.html", ask)


@router.post("/console/health/reconcile")
async def reconcile_now(
    request: Request, visitor: OperatorVisitor, services: AllServices, csrf: Annotated[str, Form()] = ""
) -> Response:
    """Add up what came in, was priced, billed and paid, from the log alone."""
    check_form(request, visitor, csrf)
    found: Reconciliation | None = None
    problem: Problem | None = None
    try:
        found = await reconciled(services)
    except Problem as error:
        problem = error
    return plain(request, visitor, "reconciled.html", r=found, problem=problem)


@router.get("/console/audit")
async def audit(
    request: Request, visitor: OperatorVisitor, account: str | None = None, after: str | None = None
) -> Response:
    """Who commanded what, when, and what came of it."""

    def ask(connection: Connection, _: Scene) -> Mapping[str, Any]:
        found = audit_page(connection, account or None, after, ROWS)
        return {"rows": found.rows, "account": account or "", **pager(request, found)}

    return await page(request, visitor, "audit.html", ask)
