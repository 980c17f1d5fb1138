"""Webhooks: who is told of what, what was given up, and the way to have it tried again."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response
from sqlalchemy import Connection, insert

from streams.http.console.closed import OperatorVisitor
from streams.http.console.pages.board import ROWS, pager
from streams.http.console.render import page, see
from streams.http.console.views import Scene
from streams.http.forms import FormRoute
from streams.http.services import AllServices
from streams.http.sessions import Visitor, check_form
from streams.store.kept_tables import audit_entry
from streams.webhooks.endpoints import listed
from streams.webhooks.queue import dead, dead_page, retry

router = APIRouter(route_class=FormRoute)

Text = Annotated[str, Form(max_length=200)]


@router.get("/console/webhooks")
async def webhooks(request: Request, visitor: OperatorVisitor, after: str | None = None) -> Response:
    """The endpoints, and the messages that were given up, the latest first."""

    def ask(connection: Connection, _: Scene) -> Mapping[str, Any]:
        found = dead_page(connection, after=after, limit=ROWS)
        told = listed(connection)
        urls = {each.endpoint.endpoint_id: each.endpoint.url for each in told}
        again = request.query_params.get("again", "")
        return {
            "endpoints": told,
            "rows": found.rows,
            "urls": urls,
            "again": int(again) if again.isdecimal() and len(again) < 10 else None,
            **pager(request, found),
        }

    return await page(request, visitor, "webhooks.html", ask)


@router.post("/console/webhooks/retry")
async def retry_now(
    request: Request,
    services: AllServices,
    visitor: OperatorVisitor,
    endpoint_id: Text = "",
    event_id: Text = "",
    csrf: Text = "",
) -> Response:
    """Let one message be tried again, or all of an endpoint. Twice is no harm: what waits is not dead any more."""
    check_form(request, visitor, csrf)
    remote = request.client.host if request.client else None

    def again(connection: Connection) -> int:
        chosen = [each for each in dead(connection, endpoint_id) if event_id in ("", each.event_id)]
        now = datetime.now(UTC)
        count = retry(connection, chosen, now)
        if count:
            detail = {"endpoint_id": endpoint_id, "event_id": event_id or None, "messages": count}
            connection.execute(insert(audit_entry).values(_audit_row(visitor, remote, now, detail)))
        return count

    return see("/console/webhooks", again=str(await services.store.write(again)))


def _audit_row(visitor: Visitor, remote: str | None, now: datetime, detail: dict[str, Any]) -> dict[str, Any]:
    caller = visitor.caller
    return {
        "at": now,
        "token_id": caller.token_id,
        "role": caller.role.value,
        "remote": remote,
        "action": "retry_webhook",
        "outcome": "done",
        "detail": json.dumps(detail),
    }
