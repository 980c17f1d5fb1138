"""What a process shows on its own port: three pages, and nothing else that a framework brings along.

Faust has pages that name the cluster's workers and the tables' keys, and answers what they cannot do with a traceback.
"""

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from streams.process.nearby import asks_this_machine, is_forwarded, is_loopback

log = structlog.get_logger(__name__)

METRICS = "/metrics"
PAGES = frozenset({METRICS, "/healthz", "/readyz"})


def pages_alone(web_host: str) -> Middleware:
    """What is around the pages of a process that serves them at a host (METER_WEB_HOST)."""

    @web.middleware
    async def alone(request: web.Request, handler: Handler) -> web.StreamResponse:
        """404 for whatever is no page, 405 for what is no look at one; of what breaks the log says more than we do."""
        if request.path not in PAGES:
            return web.Response(status=404, text="there is nothing here\n")
        if request.method not in {hdrs.METH_GET, hdrs.METH_HEAD}:
            return web.Response(status=405, text="pages are looked at by GET\n", headers={hdrs.ALLOW: "GET, HEAD"})
        if request.path == METRICS and not _may_read(request, web_host):
            return web.Response(status=403, text="for this machine alone, as 127.0.0.1, [::1] or localhost\n")
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except Exception:
            log.exception("a page failed", path=request.path)
            return web.Response(status=500, text="this page failed; the log says more\n")

    return alone


def _may_read(request: web.Request, web_host: str) -> bool:
    """Metrics tell of money. On loopback no page of another site reads them by a name that leads here, and no proxy."""
    is_ours = asks_this_machine(request.headers.get(hdrs.HOST, ""))
    return not is_loopback(web_host) or (is_ours and not is_forwarded(name.lower() for name in request.headers))
