"""The application: limits and headers around everything, the API below /v1, and the console on the rest."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.http import api
from streams.http.access import Access
from streams.http.bodies import Bounds
from streams.http.compressed import Compressed
from streams.http.description import DESCRIPTION
from streams.http.heads import HeadAsGet
from streams.http.kafka import KafkaConnection
from streams.http.measures import HttpMeasures
from streams.http.parties import PartiesFile
from streams.http.paths import RawPaths
from streams.http.placing import CommandPlacer
from streams.http.problems import Problem, api_problem, of_error
from streams.http.proofs import Proofs
from streams.http.proxies import Proxies
from streams.http.services import Services
from streams.http.sessions import Sessions
from streams.http.shares import InTurn, Shares
from streams.http.store import Store
from streams.http.traces import Traces, note_refusal
from streams.http.turns import Turns
from streams.settings import Settings
from streams.store.database import open_engine

#: For every answer that says nothing else. The console's own policy is for pages of this host alone.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
POOL_SIZE = 20


class _Application(FastAPI):
    """What is around everything, answers to bugs too: true addresses, traces and measures, headers."""

    def build_middleware_stack(self) -> ASGIApp:
        """The framework's own stack, within ours."""
        settings: Settings = self.state.services.settings
        inner = _Headers(super().build_middleware_stack())
        traces = Traces(inner, self.state.measures, settings.http_access_log)
        return Proxies(traces, settings.trusted_proxies)


def create_app(settings: Settings, *, console: bool = False) -> FastAPI:
    """The application of a process; it connects to Kafka when it starts, and goes on trying while there is none.

    With `console`, `streams.http.console` has two functions: `install(app)` adds its routes and static files, and
    `error_page(request, problem)` answers with a page for a Problem. Handlers find `Services` in `app.state.services`.
    """
    store = Store(open_engine(settings, pool_size=POOL_SIZE))
    log = KafkaConnection(settings)
    access = Access(store, settings.http_requests_per_s)
    desk, proofs, parties = CommandPlacer(settings, store, log), Proofs(settings), PartiesFile(settings.parties_file)
    services = Services(settings, store, log, access, Sessions(store, access), desk, Turns(), Shares(), proofs, parties)
    app = _Application(**DESCRIPTION, docs_url=None, redoc_url=None, openapi_url=None, lifespan=_lifespan)
    # Redirects of the framework go to wherever a request says that this host is.
    app.router.redirect_slashes = False
    app.state.services = services
    api.install(app)
    pages = import_module("streams.http.console") if console else None
    if pages is not None:
        pages.install(app)
    _handle_problems(app, pages)
    app.state.measures = HttpMeasures()
    app.add_middleware(InTurn)
    app.add_middleware(RawPaths)
    app.add_middleware(Compressed)
    app.add_middleware(HeadAsGet)
    app.add_middleware(Bounds, limit_bytes=settings.http_body_limit_bytes)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    async with services.log:
        yield
    await services.proofs.close()
    services.store.engine.dispose()


def is_api(path: str) -> bool:
    """Whether a path is the API's, which answers with JSON."""
    return path == "/v1" or path.startswith(("/v1/", "/openapi.json", "/healthz", "/readyz", "/metrics"))


def _wants_page(request: Request) -> bool:
    """Whether what goes wrong is said by a page: in the console, and elsewhere to browsers; programs get JSON."""
    path = request.url.path
    if is_api(path):
        return False
    return path == "/console" or path.startswith("/console/") or "text/html" in request.headers.get("accept", "")


def _handle_problems(app: FastAPI, pages: Any) -> None:
    async def handle(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == 405:
            # Files are no route: they are mounted, and can be read.
            error.headers = {"Allow": ", ".join(_methods_of(app, request) or ("GET", "HEAD"))}
        problem = of_error(error)
        note_refusal(request, problem)
        if pages is None or not _wants_page(request):
            return api_problem(request, problem)
        page: Response | Awaitable[Response] = pages.error_page(request, problem)
        return page if isinstance(page, Response) else await page

    for kind in (Problem, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, handle)


def _methods_of(app: FastAPI, request: Request) -> list[str]:
    """What a path can be asked: it may be several routes, and the framework names the first one's methods alone."""
    methods = [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in app.routes)
    ]
    return sorted([*methods, "HEAD"]) if "GET" in methods else methods


class _Headers:
    """Security headers on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = API_POLICY if is_api(scope["path"]) else PAGE_POLICY
        state = scope.setdefault("state", {})

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                _complete(headers, policy)
                for name, value in state.get("allowance", {}).items():
                    headers.setdefault(name, value)
                for cookie in state.get("cookies", ()):
                    headers.append("Set-Cookie", cookie)
            await send(message)

        await self._app(scope, receive, with_headers)


def _complete(headers: MutableHeaders, policy: str) -> None:
    for name, value in HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("Content-Security-Policy", policy)
    headers.setdefault("Cache-Control", "no-store")
