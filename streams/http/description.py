"""The API's description, as OpenAPI 3.1."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from meter import __version__
from streams.http.problems import ProblemDocument

DESCRIPTION: dict[str, Any] = {
    "title": "Recognition meter",
    "version": __version__,
    "summary": "Completions in, exact figures out.",
}
_TEXT = """Completions come in by `POST /v1/jobs`, and are metered from the log. Figures are read from the read model;
the header `Meter-As-Of` says up to when they are surely complete. Commands go to the log too, and the meter answers.

Ids in paths are percent-encoded, one segment each (a slash is `%2F`). A segment that begins with `~` is the id in
base64url: the form of `.`, `..` and ids that begin with `~`, and of all ids behind a proxy that decodes `%2F`.

Whatever is no success is problem details (RFC 9457) with a stable `code`."""


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the API."""
    document = get_openapi(routes=app.routes, description=_TEXT, **DESCRIPTION)
    parts = document["components"]
    parts["schemas"]["Problem"] = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    parts["schemas"].update(parts["schemas"]["Problem"].pop("$defs"))
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "description": "of `meter token create`"}}
    document["security"] = [{"token": []}, {}]
    return document
