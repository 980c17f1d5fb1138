"""Pages about all of it, for operators: overview, accounts, prices, health, audit."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import Connection

from meter.arrears import Service
from meter.regions import ZONES
from streams.http.console import views
from streams.http.console.closed import OpenVisitor, OperatorVisitor
from streams.http.console.health import audit_page, health_page, metering_lag, reconciled
from streams.http.console.languages import Format
from streams.http.console.render import look_of, page, plain
from streams.http.console.views import Scene
from streams.http.problems import Problem
from streams.http.services import AllServices
from streams.http.sessions import Visitor, check_form
from streams.http.words import text
from streams.proof.reconcile import Reconciliation
from streams.store.queries import accounts as account_queries
from streams.store.queries import commands

router = APIRouter()


def _zones(request: Request, here: Scene) -> list[str]:
    fmt = Format(look_of(request).language, here.days.zone)
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
    form: Mapping[str, Any] | None = None,
    status: int = 200,
) -> HTMLResponse:
    """The list of accounts, with the form that opens one as it was filled in."""
    language = look_of(request).language
    wanted = Service(state) if state in set(Service) else None
    names = [("", "All"), ("good", "Good"), ("in_arrears", "In arrears"), ("stopped", "Stopped")]

    def ask(connection: Connection, here: Scene) -> Mapping[str, Any]:
        found = account_queries.accounts(connection, search=q[:128] or None, state=wanted, after=after)
        return {
            "q": q[:128],
            "state": wanted or "",
            "states": [(code, text(language, name)) for code, name in names],
            "rows": found.rows,
            "total": views.account_total(connection, wanted),
            "form": form,
            **(form["kept"] if form else {}),
            **pager(request, after, found.next),
        }

    return await page(request, visitor, "accounts.html", ask, status)


def pager(request: Request, after: str | None, following: str | None) -> dict[str, str | None]:
    """The links to the first and the next page of a list."""
    url = request.url
    first = url.remove_query_params("after")
    next_page = None if following is None else url.include_query_params(after=following)
    return {
        "first": f"{request.scope['path']}?{first.query}" if after else None,
        "following": None if next_page is None else f"{request.scope['path']}?{next_page.query}",
    }


@router.get("/console/prices")
async def prices(request: Request, visitor: OperatorVisitor) -> Response:
    """The price book that is in force, those to come, and those before."""

    def ask(connection: Connection, here: Scene) -> Mapping[str, Any]:
        published = commands.price_books(connection, here.rules)
        now = commands.books_of(published).book_on(here.today)
        return {"books": list(reversed(published)), "now": now, "today": here.today, "zones": ZONES}

    return await page(request, visitor, "prices.html", ask)


@router.get("/console/health")
async def health(request: Request, visitor: OperatorVisitor, services: AllServices) -> Response:
    """How far the figures are, part by part."""
    lag = await metering_lag(services)
    kafka = {"up": services.log.is_up, "why": services.log.why_down}
    return await page(request, visitor, "health.html", lambda c, here: {"h": health_page(c, lag), "kafka": kafka})


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
        found = audit_page(connection, account or None, after)
        return {"rows": found.rows, "account": account or "", **pager(request, after, found.next)}

    return await page(request, visitor, "audit.html", ask)
