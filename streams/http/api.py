"""The API below /v1: its routes, and its description as OpenAPI 3.1."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from meter import __version__
from streams.http.services import AllServices

DESCRIPTION: dict[str, Any] = {
    "title": "Recognition meter",
    "version": __version__,
    "summary": "Completions in, exact figures out.",
}


def install(app: FastAPI) -> None:
    """Add the API's routes."""

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi(request: Request) -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/healthz", include_in_schema=False)
    async def healthz(services: AllServices) -> JSONResponse:
        return JSONResponse({"status": "ok", "kafka": services.log.is_up})
