"""What is wrong, as RFC 9457 says it: every answer that is no success is one of these, and none is a traceback."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as PlainHTTPException

from streams.http.languages import DEFAULT, TAGS, chosen
from streams.http.words import reason

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:recognition-meter:problem:"
#: The header that makes a command the same one when it is sent again.
KEY_HEADER = "Idempotency-Key"

#: An answer names so many things that are wrong, and no more.
MAX_ERRORS = 100

#: The codes of what the server itself refuses, by status.
STATUS_CODES = {
    400: "bad_request",
    401: "not_signed_in",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    414: "address_too_long",
    415: "unsupported_media_type",
    422: "bad_fields",
    429: "too_many_requests",
    500: "internal_error",
    503: "unavailable",
}
#: The titles by RFC 9110 where Python's own differ from version to version.
TITLES = {413: "Content Too Large", 414: "URI Too Long", 422: "Unprocessable Content"}
#: The statuses that mean "later": they say when, whoever raised them.
RETRIED = frozenset({429, 503})
RETRY_AFTER_S = "5"


class Problem(HTTPException):
    """An answer with a stable code, a sentence for people, and further fields where there is more to say."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        known = dict(headers or {})
        if status in RETRIED:
            known.setdefault("Retry-After", RETRY_AFTER_S)
        super().__init__(status, detail, headers=known)
        self.code = code
        self.text = detail
        self.extra = extra

    def document(self) -> dict[str, Any]:
        """The problem as its JSON says it."""
        return {
            "type": f"{TYPE}{self.code}",
            "title": TITLES.get(self.status_code) or HTTPStatus(self.status_code).phrase,
            "status": self.status_code,
            "code": self.code,
            "detail": self.text,
            **self.extra,
        }

    def response(self, request_id: str | None = None, language: str = DEFAULT) -> Response:
        """The answer of the API: its sentences in a language, its codes as they are."""
        named = {} if request_id is None else {"request_id": request_id}
        document = _told(self.document(), language) | named
        body = json.dumps(document, ensure_ascii=False).encode(errors="replace")
        headers = {**(self.headers or {}), "Content-Language": TAGS[language], "Vary": "Accept-Language"}
        return Response(body, self.status_code, headers, MEDIA_TYPE)


def _told(document: dict[str, Any], language: str) -> dict[str, Any]:
    if language == DEFAULT:
        return document
    told: dict[str, Any] = {"detail": reason(language, document["code"], document["detail"])}
    if "errors" in document:
        told["errors"] = [
            each | {"message": reason(language, each["code"], each["message"])} for each in document["errors"]
        ]
    return document | told


def unavailable(what: str, detail: str, retry_after_s: int = 5) -> Problem:
    """503: `what` (kafka or store) is away; the same request may succeed later."""
    return Problem(503, f"{what}_unavailable", detail, headers={"Retry-After": str(retry_after_s)})


def not_found(detail: str) -> Problem:
    """404 for a thing that is not there, or that is not the caller's to see."""
    return Problem(404, "not_found", detail)


def unknown_account(account_id: str) -> Problem:
    """404 for an account that is not there, or that is not the caller's to see: the meter's own code."""
    return Problem(404, "unknown_account", f"there is no account {account_id[:128]!r}")


def of_error(error: Exception) -> Problem:
    """Any exception as a problem. What was not meant to happen says nothing of the inside."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return of_fields(error.errors())
    if isinstance(error, PlainHTTPException):
        code = STATUS_CODES.get(error.status_code, "refused")
        return Problem(error.status_code, code, str(error.detail), headers=error.headers)
    return Problem(500, "internal_error", "this should not have happened; the server's log says more")


def of_fields(errors: Sequence[Any]) -> Problem:
    """422 with each wrong field, up to `MAX_ERRORS`, as the meter's own codes call it where it has one."""
    found = [_field(error) for error in errors[:MAX_ERRORS]]
    first = found[0]
    return Problem(422, first["code"], f"{first['field']}: {first['message']}", errors=found)


def _field(error: Mapping[str, Any]) -> dict[str, str]:
    where = [str(part) for part in error["loc"]]
    code = error["type"] if error["type"] in {"bad_amount", "unknown_region"} else "bad_fields"
    if where == ["header", KEY_HEADER]:
        code = "bad_key"
    return {
        "code": code,
        "field": ".".join(where[1:] or where)[:200],
        "message": str(error["msg"]).removeprefix("Value error, ")[:400],
    }


def api_problem(request: Request, problem: Problem) -> Response:
    """A problem as the API answers it, with the id of its request, by which the log says more."""
    language = chosen(None, request.headers.get("accept-language", ""))
    return problem.response(request.scope.get("state", {}).get("request_id"), language)


class FieldError(BaseModel):
    """One thing that is wrong: a field of the body, or a completion of a batch by its index."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str
    field: str | None = None
    index: int | None = None


class ProblemDocument(BaseModel):
    """Problem details of RFC 9457. `code` is stable; `detail` is a sentence for people and may change."""

    model_config = ConfigDict(extra="allow", title="Problem")

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str | None = None
    errors: list[FieldError] = Field(default_factory=list)


_SCHEMA = {"schema": {"$ref": "#/components/schemas/Problem"}}


def described(meaning: str, example: Problem) -> dict[str, Any]:
    """A problem as the description of a route has it."""
    return {"description": meaning, "content": {MEDIA_TYPE: {**_SCHEMA, "example": example.document()}}}


#: For the description of every route.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": described("Refused: `code` says why", not_found("there is no bill 'B1'")),
    "5XX": described("Kafka or the store is away, or something broke", unavailable("kafka", "Kafka is away")),
}
