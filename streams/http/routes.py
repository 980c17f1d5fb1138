"""Routes that answer what they were asked, or say what they were not: an unknown question is never left aside.

A misspelt `from` that is ignored returns everything, and looks right.
"""

import difflib
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from itertools import islice
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.routing import APIRoute

from streams.http.access import caller
from streams.http.problems import KEY_HEADER, Problem

MAX_SHOWN_CHARS = 100
MAX_ERRORS = 10
#: Headers of which one is taken, and another would be left aside.
ONE_THING = ("Content-Type", KEY_HEADER, "If-Match")

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class AskedRoute(APIRoute):
    """A route that takes the query parameters that it names, each once, and refuses all others."""

    def get_route_handler(self) -> Handler:
        """The handler, behind a look at the parameters."""
        handler = super().get_route_handler()
        known = [each.alias for each in get_flat_params(self.dependant) if isinstance(each.field_info, Query)]

        async def asked(request: Request) -> Response:
            need_once(request)
            need_known(request, known)
            return await handler(request)

        return asked


class CallerRoute(AskedRoute):
    """The same for a route that is not for everybody: who asks is found out before what."""

    def get_route_handler(self) -> Handler:
        """The handler, behind a look at who asks."""
        handler = super().get_route_handler()

        async def admitted(request: Request) -> Response:
            await caller(request)
            return await handler(request)

        return admitted


def need_once(request: Request) -> None:
    """Raises Problem (400) for a header that says one thing and is there more than once."""
    for name in ONE_THING:
        if len(request.headers.getlist(name)) > 1:
            raise Problem(400, "bad_request", f"the header {name} is there more than once: which is meant?")


def need_known(request: Request, known: Sequence[str]) -> None:
    """Raises Problem (422) for a query parameter that is none of these, or that is given more than once."""
    given = Counter(name for name, _ in request.query_params.multi_items())
    wrong = (error for name, times in given.items() if (error := _wrong(name, times, known)) is not None)
    errors = list(islice(wrong, MAX_ERRORS))  # no more are made: each is looked for among the names
    if errors:
        first = errors[0]
        raise Problem(422, first["code"], first["message"], errors=errors)


def _wrong(name: str, times: int, known: Sequence[str]) -> dict[str, str] | None:
    if name not in known:
        message = f"there is no parameter {name[:MAX_SHOWN_CHARS]!r} here{_instead(name, known)}"
        return {"code": "unknown_parameter", "field": name[:MAX_SHOWN_CHARS], "message": message}
    if times > 1:
        return {"code": "repeated_parameter", "field": name, "message": f"{name} is given {times} times: give it once"}
    return None


def _instead(name: str, known: Sequence[str]) -> str:
    if not known:
        return ": it takes none"
    near = difflib.get_close_matches(name[:MAX_SHOWN_CHARS].lower(), known, n=1)
    return f": did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
