"""What went wrong, as a page: sign in first, nothing here, the store or Kafka is away, the console is closed."""

from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from streams.http.console.closed import ClosedError, closed_page
from streams.http.console.render import here_of, look_of, plain
from streams.http.problems import Problem
from streams.http.words import reason

#: Pages with words of their own, by code, else by status.
KNOWN = {
    "forbidden",
    "not_found",
    "stale_form",
    "store_unavailable",
    "kafka_unavailable",
    "no_figures",
    "too_many_requests",
}
BY_STATUS = {403: "forbidden", 404: "not_found", 405: "not_found", 429: "too_many_requests"}


async def error_page(request: Request, problem: Problem) -> Response:
    """The page of a problem; a part of a page that asks again by itself makes the browser load the whole one."""
    if request.headers.get("hx-request") and (problem.status_code == 401 or isinstance(problem, ClosedError)):
        return Response(status_code=problem.status_code, headers={"HX-Redirect": "/console"})
    if problem.status_code == 401:
        return RedirectResponse(f"/console/sign-in?{urlencode({'to': here_of(request)})}", 303)
    if isinstance(problem, ClosedError):
        return closed_page(request, problem)
    # An address that cannot be one of ours is not found; of a form that was tampered with it is said what is wrong.
    status = 404 if problem.status_code in {400, 422} and request.method == "GET" else problem.status_code
    code = problem.code if problem.code in KNOWN else BY_STATUS.get(status, "other")
    detail = reason(look_of(request).language, problem.code, problem.text)
    response = plain(request, None, "error.html", status, code=code, number=status, detail=detail)
    response.headers.update(problem.headers or {})
    return response
