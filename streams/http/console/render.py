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
from streams.http.console.labels import labelled
from streams.http.console.languages import LocaleFormat
from streams.http.console.views import Scene, scene
from streams.http.console.visible import all_visible, held
from streams.http.languages import NAMES, TAGS, chosen, translations
from streams.http.paths import segment
from streams.http.problems import Problem
from streams.http.services import Services
from streams.http.sessions import Visitor
from streams.http.words import WORDS, reason, text, word

HERE = Path(__file__).parent
STATIC = HERE / "static"
LANGUAGE_COOKIE, THEME_COOKIE = "meter_language", "meter_theme"
THEMES = ("light", "dark")

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
        finalize=held,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.install_gettext_translations(translations(language), newstyle=True)  # type: ignore[attr-defined]
    found.filters |= {
        "segment": segment,
        "state_link": _state_link,
        "to_change": _to_change,
        "places": _places,
        "exact": Decimal,
        "kinds": lambda kinds: text(language, ", ").join(word(language, "kind", kind) for kind in kinds),
        "said": lambda message, code: reason(language, code, message),
        **{what: _words(language, what) for what in WORDS},
    }
    return found


def _places(amounts: Iterable[Decimal]) -> int:
    """The digits after the point that a column of amounts needs, so that all stand under each other."""
    return max([2, *[len(decimal_text(amount).partition(".")[2]) for amount in amounts]])


def _words(language: str, what: str) -> Callable[[str], str]:
    return lambda name: word(language, what, name)


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
    return HTMLResponse(all_visible(labelled(markup)), status, {"Referrer-Policy": "same-origin"})


def around(request: Request, look: Look, visitor: Visitor | None, zone: ZoneInfo) -> dict[str, Any]:
    """What the frame of every page needs, and a key that makes its forms one command each."""
    return {
        "lang": look.language,
        "lang_tag": TAGS[look.language],
        "languages": [(code, name) for code, (name, _) in NAMES.items()],
        "theme": look.theme,
        "fmt": LocaleFormat(look.language, zone),
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


def _to_change(form: Mapping[str, Any]) -> str:
    """Where a form is as it was filled in, to be changed."""
    return "?" + urlencode({"form": form["kind"], **{name: value for name, value in form["values"].items() if value}})


def _(message: str) -> str:
    """Marks a message for the catalogues."""
    return message


#: Of a command whose answer takes its time.
SENT = _("The command was sent; the meter has not answered yet. The page shows it once it has.")

OPERATOR_PAGES = (
    ("/console/overview", "layout-dashboard", _("Overview"), ("/console/overview", "/console/days")),
    ("/console/accounts", "users", _("Accounts"), ("/console/accounts", "/console/bills")),
    ("/console/rejects", "circle-alert", _("Refused records"), "/console/rejects"),
    ("/console/prices", "tags", _("Prices"), "/console/prices"),
    ("/console/health", "activity", _("Health"), "/console/health"),
    ("/console/webhooks", "plug-zap", _("Webhooks"), "/console/webhooks"),
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
