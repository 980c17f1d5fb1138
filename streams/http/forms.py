"""Forms of the console: small, counted before they are read, and read once it is known who sends them."""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData, UploadFile

from streams.http.access import SAFE_METHODS
from streams.http.bodies import OPEN_FORMS
from streams.http.codings import media_type
from streams.http.problems import Problem
from streams.http.sessions import visitor

URLENCODED = "application/x-www-form-urlencoded"
MAX_FIELDS = 32
MAX_FIELD_CHARS = 5_000


def read_form(body: bytes) -> FormData:
    """The fields of a form. Raises Problem (400) where they are too many or too long, come twice, or are no UTF-8."""
    if body.count(b"&") >= MAX_FIELDS:
        raise Problem(400, "bad_request", f"a form has at most {MAX_FIELDS} fields")
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError as error:  # also UnicodeDecodeError
        raise Problem(400, "bad_request", "a form is percent-encoded UTF-8") from error
    known: set[str] = set()
    for name, value in fields:
        if name in known:
            raise Problem(400, "bad_request", f"{name[:100]}: a field of a form is sent once: which is meant?")
        known.add(name)
        if len(value) > MAX_FIELD_CHARS:
            raise Problem(400, "bad_request", f"{name[:100]}: a field has at most {MAX_FIELD_CHARS} characters")
    return FormData(list[tuple[str, str | UploadFile]](fields))


class _FormRequest(Request):
    async def _get_form(self, **_: Any) -> FormData:
        if self._form is None:
            body = await self.body()
            kind = media_type(self.headers.get("content-type", ""))
            if body and kind != URLENCODED:
                raise Problem(415, "unsupported_media_type", f"a form must be {URLENCODED}, got {kind[:100]!r}")
            self._form = read_form(body)
        return self._form


class FormRoute(APIRoute):
    """A route of the console. The framework by itself reads a form first, and asks who sent it then."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, on a request that reads its form by these rules."""
        handler = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            if request.method not in SAFE_METHODS and request.scope["path"] not in OPEN_FORMS:
                await visitor(request)
            return await handler(_FormRequest(request.scope, request.receive))

        return bounded
