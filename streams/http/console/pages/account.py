"""The pages of an account: for operators below its id, for a customer without one. Both see the same figures."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, cast

import msgspec
from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import Connection

from meter.billing_models import LedgerEntry
from meter.regions import ZONE_OF
from streams.http.callers import Role
from streams.http.console import views
from streams.http.console.closed import OpenVisitor
from streams.http.console.forms import CUSTOMERS, FORMS
from streams.http.console.given import asked_form
from streams.http.console.languages import LocaleFormat
from streams.http.console.pages.board import ROWS, choice, link, pager
from streams.http.console.render import ACCOUNT_PAGES, SENT, _, account_base, look_of, page, see
from streams.http.console.views import Scene
from streams.http.forms import FormRoute
from streams.http.paths import one
from streams.http.problems import not_found
from streams.http.sessions import Visitor
from streams.http.words import text
from streams.store.queries import bills, money, usage

router = APIRouter(route_class=FormRoute)

ONE = "/console/accounts" + one("account_id")
OWN = "/console/account"
AccountId = Annotated[str, Path(max_length=128)]
#: The days that usage is shown of: the last so many, or those of the month up to today.
MONTH = "month"
SPANS = ("7", "30", "90", MONTH)
JobSort = Literal["latest", "longest"]
BillSort = Literal["latest", "largest"]


class Tab(NamedTuple):
    """A page of an account."""

    path: str
    name: str
    text: str


class Tabs(NamedTuple):
    """All of them, and what the present one is called."""

    all: list[Tab]
    title: str


def own_account(visitor: Visitor) -> str:
    """The account of a customer. Raises Problem (404): an operator has none."""
    if visitor.caller.account_id is None:
        raise not_found("an operator has no account")
    return visitor.caller.account_id


@router.get(OWN + "/summary")
async def own_summary(request: Request, visitor: OpenVisitor, seen: str = "") -> Response:
    """A customer's figures now, where they are others than those seen."""
    return await _summary(request, visitor, own_account(visitor), seen)


@router.get(ONE + "/summary")
async def summary(request: Request, visitor: OpenVisitor, account_id: AccountId, seen: str = "") -> Response:
    """An account's figures now, where they are others than those seen."""
    visitor.caller.need(Role.OPERATOR)
    return await _summary(request, visitor, account_id, seen)


async def _summary(request: Request, visitor: Visitor, account_id: str, seen: str) -> Response:
    changed = True

    def ask(connection: Connection, here: Scene) -> Mapping[str, Any]:
        nonlocal changed
        found = _known(connection, here, account_id)
        changed = found.mark != seen
        return {"a": found, "base": account_base(visitor, account_id)}

    response = await page(request, visitor, "account_summary.html", ask)
    return response if changed else Response(status_code=204)


def _known(connection: Connection, here: Scene, account_id: str) -> views.AccountSummary:
    found = views.summary(connection, here, account_id)
    if found is None:
        raise not_found(f"there is no account {account_id[:128]!r}")
    return found


@router.get(OWN)
async def own_usage(request: Request, visitor: OpenVisitor) -> Response:
    """A customer's usage and forecast."""
    return await account_page(request, visitor, own_account(visitor), "usage")


@router.get(OWN + "/{tab}")
async def own_tab(request: Request, visitor: OpenVisitor, tab: str) -> Response:
    """A customer's bills, ledger, notices, contract."""
    return await account_page(request, visitor, own_account(visitor), _tab(tab))


@router.get(ONE)
async def account_usage(request: Request, visitor: OpenVisitor, account_id: AccountId) -> Response:
    """An account's usage and forecast."""
    visitor.caller.need(Role.OPERATOR)
    return await account_page(request, visitor, account_id, "usage")


@router.get(ONE + "/{tab}")
async def account_tab(request: Request, visitor: OpenVisitor, account_id: AccountId, tab: str) -> Response:
    """An account's bills, ledger, notices, contract."""
    visitor.caller.need(Role.OPERATOR)
    if tab in FORMS and tab not in TABS:  # the address of a form that was shown again, loaded anew
        values = {name: request.query_params[name] for name in FORMS[tab].checks if name in request.query_params}
        return see(account_base(visitor, account_id), **{"form": tab} | values)
    return await account_page(request, visitor, account_id, _tab(tab))


def _tab(given: str) -> str:
    if given not in TABS or given == "usage":
        raise not_found(f"an account has no page {given[:100]!r}")
    return given


async def account_page(request: Request, visitor: Visitor, account_id: str, tab: str) -> HTMLResponse:
    """One page of an account, with the form that its address asks for."""
    language = look_of(request).language
    every = [Tab(path, name, text(language, title)) for path, _, title, name in ACCOUNT_PAGES]
    known = FORMS if visitor.caller.role is Role.OPERATOR else CUSTOMERS
    form = await asked_form(request, visitor, known, account_id=account_id)
    tabs = Tabs(every, next(each.text for each in every if each.name == tab))

    def ask(connection: Connection, here: Scene) -> Mapping[str, Any]:
        return {
            "a": _known(connection, here, account_id),
            "base": account_base(visitor, account_id),
            "tab": tab,
            "tabs": tabs,
            "form": form,
            "done": text(language, DONE[given]) if (given := request.query_params.get("done", "")) in DONE else None,
            "paid_bills": views.paid_bills(connection, account_id),
            **TABS[tab](request, connection, here, account_id),
            **(form["kept"] if form else {}),
        }

    return await page(request, visitor, "account.html", ask)


def _usage(request: Request, connection: Connection, here: Scene, account_id: str) -> dict[str, Any]:
    asked = request.query_params.get("days", "")
    span = asked if asked in SPANS else "30"
    show = "minutes" if request.query_params.get("show") == "minutes" else "amount"
    language = look_of(request).language
    name, other = LocaleFormat(language, here.days.zone).region, text(language, _("Other regions"))
    days = views.day_range(here.today, int(here.today[8:]) if span == MONTH else int(span))
    return {
        "u": views.usage_page(connection, days, account_id, span, show, name, other),
        "forecast": views.account_forecasts(connection, here, account_id),
        **_jobs(request, connection, account_id, days),
    }


def _jobs(request: Request, connection: Connection, account_id: str, days: Sequence[str]) -> dict[str, Any]:
    """The jobs of the days that are shown, or of one of them, and of one region."""
    given = request.query_params
    day = given["day"] if given.get("day", "") in days else None
    region = given["region"] if given.get("region", "") in ZONE_OF else None
    sort, sorts = choice(request, "sort", ("latest", "longest"), "#jobs")
    found = usage.jobs(
        connection, account_id, day or days[0], day or days[-1], region,
        sort=cast(JobSort, sort), after=given.get("after"), limit=ROWS,
    )  # fmt: skip
    return {
        "jobs": found.rows,
        "jobs_of": {"day": day, "region": region, "all": link(request, "#jobs", day=None, region=None, after=None)},
        "sort": sort,
        "sorts": sorts,
        **pager(request, found, "#jobs"),
    }


def _bills(request: Request, connection: Connection, here: Scene, account_id: str) -> dict[str, Any]:
    after = request.query_params.get("after")
    sort, sorts = choice(request, "sort", ("latest", "largest"))
    found = bills.bills(connection, account_id=account_id, sort=cast(BillSort, sort), after=after, limit=ROWS)
    notes = money.notes(connection, account_id, limit=ROWS).rows
    return {"rows": found.rows, "notes": notes, "sort": sort, "sorts": sorts, **pager(request, found)}


def _ledger(request: Request, connection: Connection, here: Scene, account_id: str) -> dict[str, Any]:
    after = request.query_params.get("after")
    found = money.ledger(connection, account_id, after=after, limit=ROWS)
    rows = [{**entry._asdict(), "postings": _postings(entry)} for entry in found.rows]
    return {"rows": rows, **pager(request, found)}


def _postings(entry: money.StoredEntry) -> list[dict[str, Any]]:
    published = msgspec.json.decode(entry.value)
    postings = LedgerEntry.model_validate(published, extra="ignore").postings
    return [{"book": each.book, "amount": Decimal(each.amount)} for each in postings]


def _notices(request: Request, connection: Connection, here: Scene, account_id: str) -> dict[str, Any]:
    after = request.query_params.get("after")
    found = money.notices(connection, account_id=account_id, after=after, limit=ROWS)
    return {"rows": found.rows, **pager(request, found)}


def _contract(request: Request, connection: Connection, here: Scene, account_id: str) -> dict[str, Any]:
    return {"terms": views.terms(connection, here, account_id)}


TABS = {"usage": _usage, "bills": _bills, "ledger": _ledger, "notices": _notices, "contract": _contract}

#: What is said of a form that was sent; the address names it, so nothing else can be said by a link.
DONE = {
    "open": _("The account is open."),
    "top-up": _("The top-up is booked."),
    "refund": _("The refund is booked."),
    "adjust": _("The adjustment is booked."),
    "charge": _("The charge is booked."),
    "credit-note": _("The credit note is issued."),
    "reversal": _("The payment is reversed."),
    "withdraw-contract": _("The contract is withdrawn."),
    "contract": _("The contract is agreed."),
    "threshold": _("The notice is set."),
    "sent": SENT,
}
