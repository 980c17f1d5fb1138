"""Routes of refused records: the list, one with its original, the way back in. Pages: `console/pages/rejects.py`."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, insert

from meter import topics
from meter.models import Id, Rejected
from meter.rejects import Code
from streams.completions.redrive import Kept, Resend, prepare
from streams.completions.submit import Stamps
from streams.http.access import Operator
from streams.http.answers import After, Ask, Instant, Limit, Page
from streams.http.bodies import JsonRoute
from streams.http.callers import Caller
from streams.http.commits import Outgoing
from streams.http.documents import RedriveDocument, RejectDocument, RejectItem
from streams.http.paths import one
from streams.http.problems import PROBLEMS, Problem, not_found
from streams.http.services import AllServices, Services
from streams.published.read import PartitionOffset
from streams.store.kept_tables import audit_entry
from streams.store.queries import rejects

router = APIRouter(prefix="/v1/rejects", tags=["rejects"], route_class=JsonRoute)
Where = Annotated[
    str, Path(pattern=r"^[0-9]{1,6}:[0-9]{1,18}$", description="partition:offset in usage.rejected", examples=["3:17"])
]
ShortText = Annotated[str, Field(max_length=1000)]


class Corrections(BaseModel):
    """Fields to correct before the record is sent again; the others stay as they came."""

    model_config = ConfigDict(extra="forbid")

    job_id: Id | None = None
    account_id: Id | None = None
    region: ShortText | None = None
    kinds: Annotated[list[ShortText], Field(min_length=1, max_length=100)] | None = None
    duration_s: Annotated[ShortText, Field(description="seconds, a decimal string")] | None = None
    completed_at: ShortText | None = None


class RedriveBody(BaseModel):
    """How to send a refused record again."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"set": {"region": "eu-frankfurt"}}]})

    set: Corrections = Corrections()


@router.get("", response_model=Page[RejectItem], responses=PROBLEMS)
async def list_rejects(
    ask: Ask,
    _: Operator,
    code: Code | None = None,
    account_id: Annotated[str | None, Query(max_length=128)] = None,
    start: Annotated[Instant | None, Query(alias="from", description="of record time")] = None,
    to: Annotated[Instant | None, Query(description="up to this record time, exclusive")] = None,
    state: Annotated[Literal["open", "all"], Query(description="open: not put right yet")] = "all",
    after: After = None,
    limit: Limit = 50,
) -> Response:
    """Refused records, the latest first."""

    def question(connection: Connection) -> Page[RejectItem]:
        found = rejects.rejects(
            connection,
            code=code,
            account_id=account_id,
            start=start,
            end=to,
            open_only=state == "open",
            after=after,
            limit=limit,
        )
        return Page(items=[RejectItem(**_fields(row)) for row in found.rows], next=found.next)

    return await ask(question)


@router.get(one("position"), response_model=RejectDocument, responses=PROBLEMS)
async def show_reject(ask: Ask, _: Operator, position: Where) -> Response:
    """One refused record, with its original."""

    def question(connection: Connection) -> RejectDocument:
        row, published = find_reject(connection, PartitionOffset.read(position))
        return RejectDocument(**_fields(row), published=msgspec.json.decode(published.canonical()))

    return await ask(question)


def find_reject(connection: Connection, position: PartitionOffset) -> tuple[rejects.Reject, Rejected]:
    """A refused record. Raises Problem (404)."""
    found = rejects.reject_at(connection, position.partition, position.offset)
    if found is None:
        raise not_found(f"nothing was refused at {position}")
    return found


def _fields(row: rejects.Reject) -> dict[str, Any]:
    source = {"topic": row.source_topic, "partition": row.source_partition, "offset": row.source_offset}
    return {**row._asdict(), "position": f"{row.partition}:{row.position}", "source": source}


@router.post(one("position") + "/redrive", status_code=202, response_model=RedriveDocument, responses=PROBLEMS)
async def redrive_reject(
    request: Request, services: AllServices, who: Operator, position: Where, body: RedriveBody | None = None
) -> RedriveDocument:
    """Send a refused record again, as it came or corrected. Safe to repeat: a job is charged once.

    409 where it would only be refused again; `detail` says why.
    """
    changes = (body or RedriveBody()).set.model_dump(exclude_none=True)
    return await redrive(services, who, request.client.host if request.client else None, position, changes)


async def redrive(
    services: Services, who: Caller, remote: str | None, position: str, changes: dict[str, Any]
) -> RedriveDocument:
    """Send a refused record again. `changes`: fields of a completion. Raises Problem: 404, 409, 503."""
    rules = await services.log.rules()
    where = PartitionOffset.read(position)
    _, rejected = await services.store.read(lambda connection: find_reject(connection, where))
    encoded = {name: msgspec.json.encode(value) for name, value in changes.items()}
    outcome = prepare(where, rejected, encoded, rules.partitions)
    if isinstance(outcome, Kept):
        raise Problem(409, "not_redriven", outcome.reason, position=position)
    await services.store.write(lambda connection: _write_down(connection, who, remote, outcome, changes))
    at_ms = Stamps(rules).of(outcome.completed_us)
    key = outcome.account_id.encode()
    record = Outgoing(topics.COMPLETED, outcome.partition, key, outcome.value, at_ms, outcome.headers)
    await services.log.commit([record])
    return RedriveDocument(
        position=position, account_id=outcome.account_id, job_id=outcome.job_id, partition=outcome.partition
    )


def _write_down(
    connection: Connection, who: Caller, remote: str | None, outcome: Resend, changes: dict[str, Any]
) -> None:
    detail = {"position": str(outcome.position), "job_id": outcome.job_id, "set": changes}
    values = {
        "at": datetime.now(UTC),
        "token_id": who.token_id,
        "role": who.role.value,
        "remote": remote,
        "action": "redrive",
        "account_id": outcome.account_id,
        "outcome": "sent",
        "detail": json.dumps(detail),
    }
    connection.execute(insert(audit_entry).values(values))
