"""The console's routes and static files, on an application."""

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from streams.http.console.pages import account, bill, board, commands, door, rejects, webhooks
from streams.http.console.render import STATIC


class _Static(StaticFiles):
    """Files whose address says their version, so that browsers may keep them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=86400"
        return response


def install(app: FastAPI) -> None:
    """Add all of it below /console; the root leads there."""
    app.mount("/console/static", _Static(directory=STATIC), name="console-static")
    for module in (door, board, account, commands, bill, rejects, webhooks):
        app.include_router(module.router, include_in_schema=False)

    @app.get("/console/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def root(_: Request) -> Response:
        return door.home()
