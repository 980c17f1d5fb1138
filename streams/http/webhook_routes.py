"""Webhooks by the API, for operators: added, listed, removed; messages that were given up, and sent again."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

from aiokafka.errors import KafkaError
from fastapi import APIRouter, Path, Request, Response
from pydantic import Field, WithJsonSchema
from sqlalchemy import Connection

from meter.models import Id
from streams.errors import MeterError, SettingError
from streams.http.access import Operator
from streams.http.answers import After, Ask, AsOf, Limit, Page, encoded, page_of
from streams.http.bodies import JsonRoute
from streams.http.commands import Body, Key
from streams.http.documents import DeadItem, Event, NewWebhookDocument, RetriedDocument, WebhookItem, webhook_item
from streams.http.kafka import PATIENCE_S
from streams.http.once import Change, once, write_down
from streams.http.paths import one, segment
from streams.http.problems import PROBLEMS, Problem, not_found, unavailable
from streams.http.services import AllServices, Services
from streams.http.traces import remote_of
from streams.webhooks import endpoints, queue
from streams.webhooks.addresses import MAX_URL_CHARS, NAME, AddressError, UnresolvedError, find_target, read_url
from streams.webhooks.events import EVENTS
from streams.webhooks.reading import committed_ends

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], route_class=JsonRoute)
ONE = one("webhook_id")
NAME_PATIENCE_S = 3.0
WebhookId = Annotated[str, Path(min_length=1, max_length=128)]


#: What `read_url` takes, but for addresses of version 6, as a pattern.
URL_PATTERN = rf"^https?://{NAME}(\.{NAME}){{0,20}}(:[1-9][0-9]{{0,3}})?(/[!-~]*)?$"
Url = Annotated[
    str,
    WithJsonSchema({"type": "string", "format": "uri", "pattern": URL_PATTERN, "maxLength": MAX_URL_CHARS}),
]


class WebhookBody(Body):
    """Where to post, and what of."""

    url: Url = Field(examples=["https://sms.example.com/meter"])
    events: Annotated[list[Event], Field(min_length=1, max_length=len(EVENTS))] = Field(
        default=["bill", "notice", "service"], examples=[["notice"]]
    )
    account_id: Id | None = Field(None, description="null: of all accounts", examples=[None])


class RetryBody(Body):
    """Which messages to send again; null: all dead ones."""

    messages: Annotated[list[Annotated[str, Field(max_length=128)]], Field(min_length=1, max_length=200)] | None = (
        Field(None, examples=[None])
    )


@router.get("", response_model=Page[WebhookItem], responses=PROBLEMS)
async def list_webhooks(ask: Ask, _: Operator, after: After = None, limit: Limit = 50) -> Response:
    """The webhooks, the oldest first, with how many messages wait or are dead."""

    def question(connection: Connection) -> Page[WebhookItem]:
        found = endpoints.listed_page(connection, after=after, limit=limit)
        return Page(items=[webhook_item(each) for each in found.rows], next=found.next)

    return await ask(question)


@router.get(ONE, response_model=WebhookItem, responses=PROBLEMS)
async def show_webhook(ask: Ask, _: Operator, webhook_id: WebhookId) -> Response:
    """One webhook, without its secret."""
    return await ask(lambda connection: _item(connection, webhook_id))


def _item(connection: Connection, webhook_id: str) -> WebhookItem:
    found = endpoints.listed_one(connection, webhook_id)
    if found is None:
        raise not_found(f"there is no webhook {webhook_id!r}")
    return webhook_item(found)


@router.post("", status_code=201, response_model=NewWebhookDocument, responses=PROBLEMS)
async def add_webhook(request: Request, services: AllServices, who: Operator, key: Key, body: WebhookBody) -> Response:
    """Add a webhook: it is told what comes from now on. `secret` signs all that is sent, and is shown this once."""
    try:
        read_url(body.url)
    except SettingError as error:
        raise Problem(422, "bad_fields", str(error)) from error
    positions, ids = await _ends(services)
    events = tuple(dict.fromkeys(body.events))
    change = Change(who, remote_of(request), key, "add_webhook", body.model_dump(mode="json"), body.account_id)

    def work(connection: Connection) -> NewWebhookDocument:
        secret: list[str] = []

        def make() -> str:
            made = endpoints.add(connection, body.url, events, body.account_id, positions, ids)
            secret.append(made.secret)
            return made.endpoint_id

        webhook_id, _ = once(connection, change, make)
        item = _item(connection, webhook_id)
        return NewWebhookDocument(**item.model_dump(), secret=secret[0] if secret else None, warning=None)

    document = await services.store.write(work)
    warning = await _warning(body.url, services.settings.webhook_private_addresses)
    seen: AsOf = await request.app.state.age.look(services)
    headers = {"Location": f"/v1/webhooks/{segment(document.webhook_id)}", "Cache-Control": "no-store"}
    shown = encoded(document.model_copy(update={"warning": warning}), seen.days)
    return Response(shown, 201, headers, "application/json")


async def _ends(services: Services) -> tuple[dict[tuple[str, int], int], Any]:
    """Where the topics end now. Raises Problem (503) where Kafka does not say."""
    await services.log.need()
    rules = await services.log.rules()
    try:
        return await asyncio.wait_for(committed_ends(services.settings, rules.partitions), PATIENCE_S)
    except (MeterError, KafkaError, OSError, TimeoutError) as error:
        raise unavailable("kafka", f"Kafka does not say where the topics end: {error!r}") from error


async def _warning(url: str, private: bool) -> str | None:
    """What each attempt would say, at once. A name may lead elsewhere later, so that the webhook is there."""
    try:
        await asyncio.wait_for(find_target(url, private), NAME_PATIENCE_S)
    except (UnresolvedError, TimeoutError):
        return None  # it may be known to the sender's machine alone
    except AddressError as error:
        return f"nothing will be sent there: {error}"
    return None


@router.delete(ONE, status_code=204, responses=PROBLEMS)
async def remove_webhook(request: Request, services: AllServices, who: Operator, webhook_id: WebhookId) -> Response:
    """Remove a webhook: it is sent nothing more, also of what waits."""

    def work(connection: Connection) -> None:
        _item(connection, webhook_id)
        endpoints.remove(connection, webhook_id)
        write_down(connection, Change(who, remote_of(request), "", "remove_webhook", {"webhook_id": webhook_id}))

    await services.store.write(work)
    return Response(status_code=204)


@router.get(ONE + "/dead", response_model=Page[DeadItem], responses=PROBLEMS)
async def list_dead(ask: Ask, _: Operator, webhook_id: WebhookId, after: After = None, limit: Limit = 50) -> Response:
    """The messages that were given up, the latest first."""

    def question(connection: Connection) -> Page[DeadItem]:
        _item(connection, webhook_id)
        return page_of(DeadItem, queue.dead_page(connection, webhook_id, after=after, limit=limit))

    return await ask(question)


@router.post(ONE + "/retries", response_model=RetriedDocument, responses=PROBLEMS)
async def retry_messages(
    request: Request, services: AllServices, who: Operator, webhook_id: WebhookId, body: RetryBody | None = None
) -> RetriedDocument:
    """Send dead messages again, with as many attempts as a new one. What is not dead is left as it is."""
    wanted = body.messages if body is not None else None

    def work(connection: Connection) -> int:
        _item(connection, webhook_id)
        found = [each for each in queue.dead(connection, webhook_id) if wanted is None or each.event_id in wanted]
        count = queue.retry(connection, found, datetime.now(UTC))
        asked = {"webhook_id": webhook_id, "messages": wanted, "retried": count}
        write_down(connection, Change(who, remote_of(request), "", "retry_webhook", asked))
        return count

    return RetriedDocument(retried=await services.store.write(work))
