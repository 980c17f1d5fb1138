"""What is asked about the process itself, by machines: its description, and whether it is alive."""

import json

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from streams.http.answers import tagged
from streams.http.description import describe
from streams.http.routes import AskedRoute
from streams.http.services import AllServices

router = APIRouter(route_class=AskedRoute, include_in_schema=False)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The description of the API. It changes with the version alone, so that a tag saves fetching it again."""
    app: FastAPI = request.app
    if app.openapi_schema is None:
        app.openapi_schema = describe(app)
    return tagged(request, json.dumps(app.openapi_schema, ensure_ascii=False).encode(), {})


@router.get("/healthz")
async def healthz(services: AllServices) -> JSONResponse:
    """The process is alive."""
    return JSONResponse({"status": "ok", "kafka": services.log.is_up})
