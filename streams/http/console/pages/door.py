"""Coming in and going out, and how pages look: sign-in, sign-out, language and theme."""

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from streams.http.access import need_same_origin
from streams.http.callers import Role
from streams.http.console.closed import OpenVisitor, is_closed
from streams.http.console.render import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, back_to, plain, see
from streams.http.forms import FormRoute
from streams.http.languages import NAMES
from streams.http.services import AllServices
from streams.http.sessions import AnyVisitor, SignInNeededError, check_form

router = APIRouter(route_class=FormRoute)

YEAR_S = 365 * 86_400
Text = Annotated[str, Form()]


def home() -> Response:
    """The way in."""
    return RedirectResponse("/console", 303)


@router.get("/console")
async def console(visitor: OpenVisitor) -> Response:
    """An operator begins with the overview, a customer with its own account."""
    return see("/console/overview" if visitor.caller.role is Role.OPERATOR else "/console/account")


@router.get("/console/reopened")
async def reopened(request: Request, visitor: AnyVisitor) -> Response:
    """What the page of a closed console asks again and again: nothing while it is closed, then the way in."""
    if await is_closed(request, visitor):
        return Response(status_code=204)
    return Response(status_code=200, headers={"HX-Redirect": "/console"})


@router.get("/console/sign-in")
async def sign_in_page(request: Request, to: str = "") -> Response:
    """Asks for a token."""
    return plain(request, None, "sign_in.html", to=back_to(to), refused=False)


@router.post("/console/sign-in")
async def sign_in(request: Request, services: AllServices, token: Text = "", to: Text = "") -> Response:
    """Begins a session. The token is not kept, and a wrong one is not shown again."""
    response = see(back_to(to))
    try:
        await services.sessions.sign_in(request, response, token)
    except SignInNeededError:
        return plain(request, None, "sign_in.html", 401, to=back_to(to), refused=True)
    return response


@router.post("/console/sign-out")
async def sign_out(request: Request, services: AllServices, visitor: AnyVisitor, csrf: Text = "") -> Response:
    """Ends the session, also of a customer whose console is closed."""
    check_form(request, visitor, csrf)
    response = see("/console/sign-in")
    await services.sessions.sign_out(request, response)
    return response


@router.post("/console/look")
async def look(request: Request, language: Text = "", theme: Text = "", back: Text = "") -> Response:
    """Language and colours, kept in cookies; also for whoever is not signed in. Nothing else depends on them."""
    need_same_origin(request)
    response = see(back_to(back))
    kept: dict[str, Any] = {
        "max_age": YEAR_S, "httponly": True, "samesite": "lax", "secure": request.url.scheme == "https",
    }  # fmt: skip
    if language in NAMES:
        response.set_cookie(LANGUAGE_COOKIE, language, **kept)
    if theme in THEMES:
        response.set_cookie(THEME_COOKIE, theme, **kept)
    elif theme == "system":
        response.delete_cookie(THEME_COOKIE)
    return response
