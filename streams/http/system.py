"""What is asked about the process itself, by machines: its description, whether it is alive and ready, its metrics."""

import json
from contextlib import suppress

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from streams.http.access import caller, need_local
from streams.http.answers import Age, AsOf, tagged
from streams.http.callers import Role
from streams.http.description import describe
from streams.http.measures import HttpMeasures
from streams.http.problems import Problem
from streams.http.routes import AskedRoute
from streams.http.services import AllServices
from streams.process.nearby import is_loopback

router = APIRouter(route_class=AskedRoute, include_in_schema=False)


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """The description of the API. It changes with the version alone, so that a tag saves fetching it again."""
    app: FastAPI = request.app
    if app.openapi_schema is None:
        app.openapi_schema = describe(app)
        app.state.description = json.dumps(app.openapi_schema, ensure_ascii=False).encode()
    description: bytes = app.state.description
    return tagged(request, description, {})


@router.get("/readyz")
async def readyz(request: Request, services: AllServices) -> JSONResponse:
    """Kafka and the store are there, so that nothing is answered with 503 for want of one."""
    away = [] if services.log.is_up else [f"Kafka: {services.log.why_down}"]
    try:
        await _age(request)
    except Problem as problem:
        away.append(problem.text)
    return JSONResponse({"status": "away" if away else "ok", "away": away}, 503 if away else 200)


@router.get("/metrics")
async def metrics(request: Request, services: AllServices) -> Response:
    """What Prometheus scrapes: for whoever may read a worker's, or shows an operator's token."""
    await _need_reader(request, services)
    as_of = None
    with suppress(Problem):
        as_of = (await _age(request)).as_of
    measures: HttpMeasures = request.app.state.measures
    text = measures.text(kafka=services.log.is_up, as_of=as_of)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _need_reader(request: Request, services: AllServices) -> None:
    """As on a worker's port: METER_WEB_HOST says whether only this machine, else an operator may.

    Raises Problem (401, 403).
    """
    if "authorization" in request.headers:
        (await caller(request)).need(Role.OPERATOR)
    elif is_loopback(services.settings.web_host):
        need_local(request)


async def _age(request: Request) -> AsOf:
    """How old figures are. Raises Problem (503) where the store is away."""
    age: Age = request.app.state.age
    return await age.look(request.app.state.services)


@router.get("/healthz")
async def healthz(services: AllServices) -> JSONResponse:
    """The process is alive."""
    return JSONResponse({"status": "ok", "kafka": services.log.is_up})
