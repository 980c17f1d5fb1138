"""The API's description, as OpenAPI 3.1: what the framework knows of the routes, and what all of them share.

Names of operations are stable: clients are generated from them. So they are written down here, and are no function's.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from meter import __version__
from streams.http import ingest
from streams.http.examples import example_of, named_example
from streams.http.problems import Problem, ProblemDocument, described

Node = dict[str, Any]

DESCRIPTION: Node = {
    "title": "Recognition meter",
    "version": __version__,
    "summary": "Completions in, exact figures out.",
}
_TEXT = """Completions come in by `POST /v1/jobs`, and are metered from the log. Figures are read from the read model;
the header `Meter-As-Of` says up to when they are surely complete. Commands go to the log too, and the meter answers.

Ids in paths are percent-encoded, one segment each (a slash is `%2F`). A segment that begins with `~` is the id in
base64url: the form of `.`, `..` and ids that begin with `~`, and of all ids behind a proxy that decodes `%2F`.

`HEAD` works wherever `GET` does. A query parameter that an operation does not name is refused. Instants are RFC 3339 in
the billing time zone.

Whatever is no success is problem details (RFC 9457) with a stable `code`."""

TAGS = [
    {"name": "ingest", "description": "Finished jobs in."},
    {"name": "accounts", "description": "Accounts, and what belongs to one."},
    {"name": "bills", "description": "Bills, and the proof of one from the log."},
    {"name": "rejects", "description": "Refused records, and the way back in."},
    {"name": "figures", "description": "All accounts together, price books, and how old figures are."},
    {"name": "tokens", "description": "Who may come in."},
    {"name": "webhooks", "description": "Who is told of bills, notices and service changes."},
    {"name": "commands", "description": "What operators ask of the meter, and who asked."},
]


class ApiOperation(NamedTuple):
    """The stable name of an operation, and what it does in a line."""

    operation_id: str
    summary: str


_WEBHOOK = "/v1/webhooks/{webhook_id}"
_ACCOUNT, _BILL, _REJECT = "/v1/accounts/{account_id}", "/v1/bills/{bill_id}", "/v1/rejects/{position}"
OPERATIONS = {
    ("post", "/v1/jobs"): ApiOperation("submit_jobs", "Report finished jobs"),
    ("get", "/v1/accounts"): ApiOperation("list_accounts", "List accounts"),
    ("post", "/v1/accounts"): ApiOperation("open_account", "Open an account"),
    ("get", _ACCOUNT): ApiOperation("get_account", "Show an account"),
    ("get", f"{_ACCOUNT}/service"): ApiOperation("get_service", "Ask whether an account may start jobs"),
    ("get", f"{_ACCOUNT}/usage"): ApiOperation("list_usage", "List an account's usage by day and region"),
    ("get", f"{_ACCOUNT}/jobs"): ApiOperation("list_jobs", "List an account's priced jobs"),
    ("get", f"{_ACCOUNT}/bills"): ApiOperation("list_account_bills", "List an account's bills"),
    ("get", f"{_ACCOUNT}/ledger"): ApiOperation("list_entries", "List an account's entries of the ledger"),
    ("get", f"{_ACCOUNT}/notes"): ApiOperation("list_notes", "List an account's debit and credit notes"),
    ("get", f"{_ACCOUNT}/notices"): ApiOperation("list_notices", "List what a customer was to be told"),
    ("post", f"{_ACCOUNT}/top-ups"): ApiOperation("top_up", "Book a payment"),
    ("post", f"{_ACCOUNT}/refunds"): ApiOperation("refund", "Give back what was paid"),
    ("post", f"{_ACCOUNT}/adjustments"): ApiOperation("adjust_balance", "Correct a balance"),
    ("post", f"{_ACCOUNT}/contracts"): ApiOperation("agree_contract", "Agree a contract"),
    ("get", f"{_ACCOUNT}/contracts"): ApiOperation("list_contracts", "List an account's contracts"),
    ("get", f"{_ACCOUNT}/low-balance"): ApiOperation("get_low_balance", "Show the balance that gives a notice"),
    ("post", f"{_ACCOUNT}/charges"): ApiOperation("charge_account", "Charge what bills do not say"),
    ("post", f"{_ACCOUNT}/credit-notes"): ApiOperation("credit_line", "Credit a line of a bill"),
    ("post", f"{_ACCOUNT}/reversals"): ApiOperation("reverse_payment", "Reverse a payment that bounced"),
    ("post", f"{_ACCOUNT}/withdrawals"): ApiOperation("withdraw_contract", "Withdraw a contract that has not begun"),
    ("put", f"{_ACCOUNT}/low-balance"): ApiOperation("set_low_balance", "Set the balance that gives a notice"),
    ("get", "/v1/bills"): ApiOperation("list_bills", "List all accounts' bills"),
    ("get", _BILL): ApiOperation("get_bill", "Show a bill with its lines"),
    ("get", f"{_BILL}/published"): ApiOperation("get_published_bill", "Show a bill's record"),
    ("post", f"{_BILL}/verify"): ApiOperation("verify_bill", "Recompute a bill from the log"),
    ("get", "/v1/rejects"): ApiOperation("list_rejects", "List refused records"),
    ("get", _REJECT): ApiOperation("get_reject", "Show a refused record"),
    ("post", f"{_REJECT}/redrive"): ApiOperation("redrive_reject", "Send a refused record again"),
    ("get", "/v1/totals"): ApiOperation("list_totals", "List all accounts' usage by day and region"),
    ("get", "/v1/totals/{day}/accounts"): ApiOperation("list_day_accounts", "List a day account by account"),
    ("get", "/v1/prices"): ApiOperation("list_price_books", "List the price books"),
    ("post", "/v1/prices"): ApiOperation("publish_price_book", "Publish a price book"),
    ("post", "/v1/prices/withdrawals"): ApiOperation("withdraw_price_book", "Withdraw a price book that has not begun"),
    ("get", "/v1/status"): ApiOperation("get_status", "Show what is there, and how old figures are"),
    ("get", "/v1/commands/{command_id}"): ApiOperation("get_command", "Ask what became of a command"),
    ("get", "/v1/tokens"): ApiOperation("list_tokens", "List the tokens"),
    ("post", "/v1/tokens"): ApiOperation("create_token", "Make a token"),
    ("get", "/v1/tokens/{token_id}"): ApiOperation("get_token", "Show a token without its secret"),
    ("delete", "/v1/tokens/{token_id}"): ApiOperation("revoke_token", "Revoke a token"),
    ("get", "/v1/webhooks"): ApiOperation("list_webhooks", "List the webhooks"),
    ("post", "/v1/webhooks"): ApiOperation("add_webhook", "Add a webhook"),
    ("get", _WEBHOOK): ApiOperation("get_webhook", "Show a webhook without its secret"),
    ("delete", _WEBHOOK): ApiOperation("remove_webhook", "Remove a webhook"),
    ("get", f"{_WEBHOOK}/dead"): ApiOperation("list_dead_messages", "List messages that were given up"),
    ("post", f"{_WEBHOOK}/retries"): ApiOperation("retry_messages", "Send messages again that were given up"),
    ("get", "/v1/audit"): ApiOperation("list_audit", "List who commanded what"),
}


def _header(description: str, example: str) -> Node:
    return {"description": description, "schema": {"type": "string"}, "example": example}


#: The headers of answers, by the names of their components.
HEADERS = {
    "ETag": _header("the tag of this answer, for `If-None-Match`", '"5f3c8a6f0b7f4a35a4f7a1d8f1a2b3c4"'),
    "Meter-As-Of": _header("up to when figures are surely complete; none: not known", "2026-11-24T10:20:30.123+08:00"),
    "RateLimit-Policy": _header("how much may be asked (`q`) within `w` seconds", '"default";q=400;w=2'),
    "RateLimit": _header("how much is left (`r`), and in how many seconds (`t`) all is back", '"default";r=399;t=1'),
    "Retry-After": _header("in how many seconds to ask again", "1"),
    "Location": _header("where to ask for what was made, or for what became of it", "/v1/commands/payment-4711"),
    "WWW-Authenticate": _header("how to say who asks", 'Bearer realm="meter"'),
    "X-Request-Id": _header("of this request, in the log too", "6f1d0c9e7a554c399a752f0f7f2b1f10"),
    "Allow": _header("what may be asked", "GET, HEAD"),
}
_LIMITS = ("X-Request-Id", "RateLimit-Policy", "RateLimit")

#: What may go wrong with each operation: status, what that means, an example's code and detail, its headers.
_EVERYWHERE = (
    (401, "No token, or none that is valid", "not_signed_in", "this token is not valid", ("WWW-Authenticate",)),
    (403, "Not with this role", "forbidden", "a token of role producer may not do this", _LIMITS),
    (422, "Something of the question is wrong", "unknown_parameter", "there is no parameter 'form' here", _LIMITS),
    (429, "Too many questions", "too_many_requests", "more than 200 requests a second", (*_LIMITS, "Retry-After")),
    (500, "A bug", "internal_error", "this should not have happened; the server's log says more", _LIMITS),
    (503, "Kafka or the store is away", "kafka_unavailable", "Kafka is away", (*_LIMITS, "Retry-After")),
)
_OF_THINGS = ((404, "There is no such thing", "not_found", "there is no bill 'B1'", _LIMITS),)
_OF_BODIES = (
    (400, "It cannot be read", "not_json", "the body is not JSON", _LIMITS),
    (413, "The body is too large", "too_large", "the body is larger than 65536 bytes", _LIMITS),
    (415, "The body is of another type", "unsupported_media_type", "the body must be application/json", _LIMITS),
)
_OF_CONDITIONS = ((412, "It is not what `If-Match` says", "changed", "read them again", (*_LIMITS, "ETag")),)
_OF_CHANGES = ((409, "What the meter knows speaks against it", "over_balance", "the balance is 1.37 CNY", _LIMITS),)


def describe(app: FastAPI) -> Node:
    """The OpenAPI document of the API."""
    document = get_openapi(routes=app.routes, description=_TEXT, tags=TAGS, **DESCRIPTION)
    document["servers"] = [{"url": "/", "description": "where this was fetched"}]
    parts = document["components"]
    parts["schemas"]["Problem"] = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    parts["schemas"].update(parts["schemas"]["Problem"].pop("$defs"))
    parts["schemas"].update(ingest.SCHEMAS)
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "description": "of `meter token create`"}}
    parts["headers"] = HEADERS
    document["security"] = [{"token": []}]
    for method, path, operation in operations(document):
        _complete(operation, method, path, parts["schemas"])
    return document


def operations(document: Node) -> Iterator[tuple[str, str, Node]]:
    """The operations of a description: method, path, and what is said."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _complete(operation: Node, method: str, path: str, schemas: Node) -> None:
    name = OPERATIONS[method, path]
    operation |= {"operationId": name.operation_id, "summary": name.summary, "security": [{"token": []}]}
    for parameter in operation.get("parameters", ()):
        if "example" not in parameter and "examples" not in parameter:
            parameter["example"] = named_example(parameter["name"], parameter["schema"], schemas)
    for body in operation.get("requestBody", {}).get("content", {}).values():
        _exemplify(body, schemas)
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            _complete_success(response, status, method, path, schemas)
    operation["responses"] |= {
        str(status): _problem(status, *rest) for status, *rest in _problems(operation, method, path)
    }


def _complete_success(response: Node, status: str, method: str, path: str, schemas: Node) -> None:
    names = list(_LIMITS)
    if method == "get":
        names += ["ETag"] if path == "/v1/status" else ["ETag", "Meter-As-Of"]
    if status == "202" and "RedriveDocument" not in str(response) and path != "/v1/jobs":
        names += ["Location", "Retry-After"]
    if status == "201":
        names += ["Location"]
    response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    for content in response.get("content", {}).values():
        _exemplify(content, schemas)


def _exemplify(content: Node, schemas: Node) -> None:
    if "example" not in content and "examples" not in content:
        content["example"] = example_of(content["schema"], schemas)


def _problems(operation: Node, method: str, path: str) -> Iterator[tuple[Any, ...]]:
    yield from _EVERYWHERE
    if "{" in path:
        yield from _OF_THINGS
    if "requestBody" in operation:
        yield from _OF_BODIES
    if any(each["name"] == "If-Match" for each in operation.get("parameters", ())):
        yield from _OF_CONDITIONS
    if method in ("post", "put"):
        yield from _OF_CHANGES


def _problem(status: int, meaning: str, code: str, detail: str, headers: tuple[str, ...]) -> Node:
    answer = described(meaning, Problem(status, code, detail))
    return {**answer, "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers}}
