"""Pages of refused records: why, the money at risk, the original, and the way back in."""

import base64
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from meter.keys import once_each
from meter.models import KINDS, Rejected
from meter.rejects import FINAL_CODES
from streams.completions.redrive import FIELDS, Kept, members, prepare
from streams.http.console.closed import OperatorVisitor
from streams.http.console.given import MAX_CHARS
from streams.http.console.pages.board import ROWS, pager
from streams.http.console.render import look_of, page, see
from streams.http.console.views import Risk, Scene
from streams.http.forms import FormRoute
from streams.http.problems import Problem
from streams.http.rejects import find_reject, redrive
from streams.http.services import AllServices
from streams.http.sessions import check_form
from streams.http.words import WORDS, reason, word
from streams.published.read import PartitionOffset
from streams.store.queries import rejects as queries
from streams.text.visible import visible

router = APIRouter(route_class=FormRoute)

At = Annotated[str, Path(pattern=r"^[0-9]{1,6}:[0-9]{1,18}$")]
ONE = "/console/rejects/{at}"
SHOWN_BYTES = 64_000
#: Of a record that would only be refused again.
NOT_REDRIVEN = "not_redriven"


@router.get("/console/rejects")
async def rejects(
    request: Request,
    visitor: OperatorVisitor,
    code: str | None = None,
    account: str | None = None,
    show: str = "open",
    after: str | None = None,
) -> Response:
    """Refused records, the latest first; those that were put right are left out unless asked for."""

    def ask(connection: Connection, _: Scene) -> Mapping[str, Any]:
        found = queries.rejects(
            connection, code=code or None, account_id=account or None, open_only=show != "all", after=after, limit=ROWS
        )
        risks = queries.at_risk(connection)
        return {
            "rows": found.rows,
            "risks": risks,
            "risk": Risk.of(risks),
            "code": code or "",
            "account": account or "",
            "show": show,
            "final": FINAL_CODES,
            **pager(request, found),
        }

    return await page(request, visitor, "rejects.html", ask)


@router.get(ONE)
async def reject(request: Request, visitor: OperatorVisitor, at: At) -> Response:
    """One refused record, with its original and the form that sends it again, as its address fills it in."""
    given = {name: request.query_params[name][:MAX_CHARS] for name in FIELDS if name in request.query_params}

    def ask(connection: Connection, here: Scene) -> Mapping[str, Any]:
        row, published = find_reject(connection, PartitionOffset.read(at))
        value = _original(published)
        fields = _fields(value)
        return {
            "r": row,
            "at": at,
            "source": published.source,
            "headers": [(h.key, _text(base64.b64decode(h.value or ""))) for h in published.headers],
            "original": _shown(value),
            "is_null": published.record is None,
            "truncated": published.truncated,
            "fields": fields,
            "values": fields | given,
            "refused": _refused(request, at, published, _changes(fields, given), here.rules.partitions),
            "final": row.code in FINAL_CODES,
            "kinds": KINDS,
            "sent": request.query_params.get("done") == "sent",
        }

    return await page(request, visitor, "reject.html", ask)


def _refused(request: Request, at: str, published: Rejected, changes: Mapping[str, Any], partitions: int) -> str | None:
    """Why it was not sent again, as its address says: found anew, else by a code of the contract."""
    code, language = request.query_params.get("refused", ""), look_of(request).language
    if code == NOT_REDRIVEN:
        encoded = {name: msgspec.json.encode(value) for name, value in changes.items()}
        outcome = prepare(PartitionOffset.read(at), published, encoded, partitions)
        return reason(language, code, outcome.reason) if isinstance(outcome, Kept) else None
    return word(language, "refusal", code) if code in WORDS["refusal"] else None


@router.post(ONE + "/redrive")
async def redrive_now(request: Request, services: AllServices, visitor: OperatorVisitor, at: At) -> Response:
    """Send it again with the fields that were changed in the form. A job is charged once, however often it is sent."""
    async with request.form() as given:
        values = {name: str(value).strip() for name, value in given.items()}
    check_form(request, visitor, values.pop("csrf", ""))
    _, published = await services.store.read(lambda connection: find_reject(connection, PartitionOffset.read(at)))
    remote = request.client.host if request.client else None
    try:
        await redrive(services, visitor.caller, remote, at, _changes(_fields(_original(published)), values))
    except Problem as problem:
        if problem.status_code not in {409, 422, 503}:
            raise
        filled_in = {name: values[name] for name in FIELDS if values.get(name)}
        return see(f"/console/rejects/{at}", **{"refused": problem.code} | filled_in)
    return see(f"/console/rejects/{at}", done="sent")


def _changes(before: Mapping[str, str], values: Mapping[str, str]) -> dict[str, Any]:
    """The fields that were filled in with something else."""
    changed = {name: values[name] for name in FIELDS if values.get(name, "") not in {"", before.get(name, "")}}
    return {name: _typed(name, value) for name, value in changed.items()}


def _typed(name: str, value: str) -> Any:
    return [kind.strip() for kind in value.split(",") if kind.strip()] if name == "kinds" else value


def _original(published: Rejected) -> bytes:
    return base64.b64decode(published.record or "")


def _fields(value: bytes) -> dict[str, str]:
    """The fields of a completion as far as they can be read, each as text; also those in a CloudEvent."""
    document = _object(value)
    if "specversion" in document and "job_id" not in document:
        document = _object(document.get("data", b"{}"))
    return {name: _field(document[name]) for name in FIELDS if name in document}


def _object(value: bytes) -> dict[str, bytes]:
    """The fields of an object, as they are written; none of those that stand in it twice."""
    try:
        fields, clear = members(value)
    except (ValueError, RecursionError):
        return {}
    return {name: field for name, field in fields.items() if name in clear}


def _field(written: bytes) -> str:
    """A string as it is, a list of strings with commas, a number as it was written."""
    found, _ = once_each(written)
    texts = [found] if isinstance(found, str) else found
    if isinstance(texts, list) and all(isinstance(each, str) for each in texts):
        return ", ".join(texts).encode(errors="backslashreplace").decode()
    return written.decode()


def _shown(value: bytes) -> str:
    """The original to look at: JSON set out on lines, with its numbers as they came; else as it is."""
    if len(value) <= SHOWN_BYTES and _object(value):
        with suppress(msgspec.MsgspecError):
            return _text(msgspec.json.format(value, indent=2))
    return _text(value[:SHOWN_BYTES])


def _text(value: bytes) -> str:
    """Bytes as text, with what cannot be printed escaped."""
    text = value.decode(errors="backslashreplace")
    return "\n".join("\t".join(map(visible, line.split("\t"))) for line in text.split("\n"))
