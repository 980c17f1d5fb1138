"""From what a page shows to the page: templates in each language, and what all pages have around them."""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Connection

from meter.money import decimal_text
from streams.http.callers import Role
from streams.http.console.languages import NAMES, Format, chosen, translations
from streams.http.console.views import Scene, scene
from streams.http.paths import segment
from streams.http.problems import Problem
from streams.http.services import Services
from streams.http.sessions import Visitor

HERE = Path(__file__).parent
STATIC = HERE / "static"
LANGUAGE_COOKIE, THEME_COOKIE = "meter_language", "meter_theme"
THEMES = ("light", "dark")
#: The tag of a language in a page's markup.
TAGS = {"en": "en", "zh": "zh-Hans"}

#: What a page asks of the store, in one snapshot.
Question = Callable[[Connection, Scene], Mapping[str, Any]]


class Look(NamedTuple):
    """How a reader wants pages: language, and theme (None: as the system has it)."""

    language: str
    theme: str | None


class Link(NamedTuple):
    """An entry of the navigation."""

    href: str
    icon: str
    text: str
    current: bool


def look_of(request: Request) -> Look:
    """By the reader's cookies, else by what the browser asks for."""
    theme = request.cookies.get(THEME_COOKIE)
    language = chosen(request.cookies.get(LANGUAGE_COOKIE), request.headers.get("accept-language", ""))
    return Look(language, theme if theme in THEMES else None)


@cache
def environment(language: str) -> Environment:
    """The templates in one language. What a template does not know is an error, and everything is escaped."""
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    found.filters |= {
        "segment": segment,
        "state_link": _state_link,
        "places": _places,
        "kinds": lambda kinds: ", ".join(word(language, "kind", kind) for kind in kinds),
        **{what: _words(language, what) for what in ("cause", "book", "code", "action", "outcome", "refusal")},
    }
    return found


def _places(amounts: Iterable[Decimal]) -> int:
    """The digits after the point that a column of amounts needs, so that all stand under each other."""
    return max([2, *[len(decimal_text(amount).partition(".")[2]) for amount in amounts]])


def _words(language: str, what: str) -> Callable[[str], str]:
    return lambda name: word(language, what, name)


def word(language: str, what: str, name: str) -> str:
    """A name of the contract in a reader's words; as it is where there are none."""
    text = WORDS[what].get(name)
    return name if text is None else translations(language).gettext(text)


def text(language: str, message: str) -> str:
    """A message in a language."""
    return translations(language).gettext(message)


@cache
def static_version() -> str:
    """Another one whenever a static file is another, so that browsers may keep them."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


async def page(
    request: Request, visitor: Visitor, template: str, question: Question, status: int = 200
) -> HTMLResponse:
    """A page of the store's figures. Raises Problem where there are none, or the store is away."""
    services: Services = request.app.state.services
    look = look_of(request)

    def ask(connection: Connection) -> str:
        here = scene(connection)
        if here is None:
            raise Problem(503, "no_figures", "no projector has run yet")
        own = around(request, look, visitor, ZoneInfo(here.rules.time_zone))
        own |= {"freshness": here.fresh, "scene": here, "kafka_up": services.log.is_up}
        return environment(look.language).get_template(template).render(own | dict(question(connection, here)))

    return _html(await services.store.read(ask), status)


def plain(request: Request, visitor: Visitor | None, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """A page that needs nothing of the store."""
    look = look_of(request)
    own = around(request, look, visitor, ZoneInfo("UTC")) | context
    return _html(environment(look.language).get_template(template).render(own), status)


def _html(markup: str, status: int) -> HTMLResponse:
    """A page. Its forms say which site they come from, which browsers hide under `no-referrer`."""
    return HTMLResponse(markup, status, {"Referrer-Policy": "same-origin"})


def around(request: Request, look: Look, visitor: Visitor | None, zone: ZoneInfo) -> dict[str, Any]:
    """What the frame of every page needs, and a key that makes its forms one command each."""
    return {
        "lang": look.language,
        "lang_tag": TAGS[look.language],
        "languages": [(code, name) for code, (name, _) in NAMES.items()],
        "theme": look.theme,
        "fmt": Format(look.language, zone),
        "static_version": static_version(),
        "here": here_of(request),
        "csrf": visitor.csrf if visitor else "",
        "key": f"console-{secrets.token_hex(12)}",
        "viewer": _Viewer.of(visitor),
        "operator": visitor is not None and visitor.caller.role is Role.OPERATOR,
        "navigation": navigation(request, look.language, visitor) if visitor else [],
    }


class _Viewer(NamedTuple):
    account_id: str | None
    label: str | None
    signed_in: bool

    @classmethod
    def of(cls, visitor: Visitor | None) -> "_Viewer":
        if visitor is None:
            return cls(None, None, False)
        caller = visitor.caller
        label = (caller.label or caller.token_id) if visitor.signed_in else None
        return cls(caller.account_id, label, visitor.signed_in)


def here_of(request: Request) -> str:
    """The address of this page within this host, also of a page that was sent in answer to a form."""
    path = request.scope["path"]
    if request.method != "GET" or request.headers.get("hx-request"):
        return "/console"
    return f"{path}?{request.url.query}" if request.url.query else path


def back_to(given: str | None) -> str:
    """Where a form leads back to: within the console, whatever it says."""
    if given and given.startswith("/console") and "\\" not in given and given.isprintable():
        return quote(given, safe="/?&=%~!$'()*+,;:@-._")
    return "/console"


def see(path: str, **query: str) -> Response:
    """Go on with another page, so that a reload sends nothing again."""
    return RedirectResponse(f"{path}?{urlencode(query)}" if query else path, 303)


def navigation(request: Request, language: str, visitor: Visitor) -> list[Link]:
    """What there is to look at, for an operator or a customer."""
    path = request.scope["path"]
    if visitor.caller.role is Role.OPERATOR:
        return [
            Link(href, icon, text(language, name), path.startswith(also)) for href, icon, name, also in OPERATOR_PAGES
        ]
    base = account_base(visitor, visitor.caller.account_id or "")
    return [Link(base + tail, icon, text(language, name), path == base + tail) for tail, icon, name, _ in ACCOUNT_PAGES]


def account_base(visitor: Visitor, account_id: str) -> str:
    """Where the pages of an account begin: a customer's are its own, and need no id."""
    return f"/console/accounts/{segment(account_id)}" if visitor.caller.role is Role.OPERATOR else "/console/account"


def _state_link(state: str, q: str) -> str:
    query = {name: value for name, value in (("q", q), ("state", state)) if value}
    return "/console/accounts" + (f"?{urlencode(query)}" if query else "")


def _(message: str) -> str:
    """Marks a message for the catalogues."""
    return message


OPERATOR_PAGES = (
    ("/console/overview", "layout-dashboard", _("Overview"), "/console/overview"),
    ("/console/accounts", "users", _("Accounts"), ("/console/accounts", "/console/bills")),
    ("/console/rejects", "circle-alert", _("Refused records"), "/console/rejects"),
    ("/console/prices", "tags", _("Prices"), "/console/prices"),
    ("/console/health", "activity", _("Health"), "/console/health"),
    ("/console/audit", "scroll-text", _("Audit"), "/console/audit"),
)
#: Path after the account's own, icon, title, tab.
ACCOUNT_PAGES = (
    ("", "chart-column", _("Usage"), "usage"),
    ("/bills", "receipt-text", _("Bills"), "bills"),
    ("/ledger", "wallet", _("Ledger"), "ledger"),
    ("/notices", "bell", _("Notices"), "notices"),
    ("/contract", "file-text", _("Contract and prices"), "contract"),
)

WORDS: dict[str, dict[str, str]] = {
    "kind": {
        "face": _("face"),
        "text": _("text"),
        "speech": _("speech"),
        "opening_ending": _("opening and ending"),
        "frame_tag": _("frame tags"),
    },
    "cause": {
        "top_up": _("Top-up"),
        "bill": _("Bill"),
        "payment": _("Payment"),
        "refund": _("Refund"),
        "adjustment": _("Adjustment"),
        "charge": _("Charge"),
        "payment_reversed": _("Reversed payment"),
        "credit_note": _("Credit note"),
    },
    "book": {
        "cash": _("cash"),
        "balance": _("balance"),
        "receivable": _("receivable"),
        "revenue": _("revenue"),
        "rounding": _("rounding"),
        "refunds": _("refunds"),
        "adjustments": _("adjustments"),
        "charges": _("charges"),
        "credits": _("credits"),
    },
    "code": {
        "not_json": _("Not JSON"),
        "duplicate_key": _("A key stands there twice"),
        "bad_fields": _("Fields missing or wrong"),
        "unknown_kind": _("Unknown kind"),
        "unknown_region": _("Unknown region"),
        "bad_duration": _("Wrong duration"),
        "no_offset": _("Time without an offset"),
        "misplaced": _("On a wrong partition"),
        "too_large": _("Too large"),
        "in_future": _("In the future"),
        "too_old": _("Too old"),
        "clock_ahead": _("Stamped by a clock that was ahead"),
        "conflict": _("Conflict with another report"),
    },
    "action": {
        "open_account": _("Open account"),
        "top_up": _("Top-up"),
        "adjustment": _("Adjustment"),
        "refund": _("Refund"),
        "low_balance": _("Low-balance notice"),
        "contract": _("Contract"),
        "charge": _("Charge"),
        "payment_reversed": _("Reversed payment"),
        "credit_note": _("Credit note"),
        "withdraw_contract": _("Contract withdrawn"),
        "withdraw_price_book": _("Price book withdrawn"),
        "price_book": _("Price book"),
        "redrive": _("Send again"),
    },
    "outcome": {
        "done": _("Done"),
        "refused": _("Refused"),
        "sent": _("Sent, not answered yet"),
        "new": _("Taken in"),
    },
    "refusal": {
        "bad_amount": _("The amount is a number with at most 2 places, and more than 0."),
        "bad_fields": _("A field is missing or wrong."),
        "bad_price": _("A price is a number with at most 8 places."),
        "unknown_account": _("There is no such account."),
        "account_exists": _("This account is open already."),
        "over_balance": _("That would take more than the balance."),
        "not_paid": _("Nothing was paid on this bill, or not lately."),
        "over_paid": _("That is more than was paid on this bill and not given back."),
        "ticket_conflict": _("This ticket refunded another amount or bill."),
        "effective_in_past": _("This day is over or begins too soon, or jobs of it were metered already."),
        "clock_ahead": _("The broker's clock was ahead. Send this form again as it is."),
        "overlapping": _("The account has a contract from this day on, or from a later one."),
        "mode_mid_month": _("Another settlement begins on the 1st of a month."),
        "unknown_region": _("There is no such region."),
        "key_reused": _("This form was sent before with other content. Load the page again."),
        "kafka_unavailable": _("Kafka is away, or did not confirm. Send this form again as it is: it counts once."),
    },
}
