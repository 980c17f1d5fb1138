"""What a process shows on its own port: three pages, and nothing else that a framework brings along.

Faust has pages that name the cluster's workers and the tables' keys, and answers what they cannot do with a traceback.
"""

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

log = structlog.get_logger(__name__)

PAGES = frozenset({"/metrics", "/healthz", "/readyz"})


@web.middleware
async def pages_alone(request: web.Request, handler: Handler) -> web.StreamResponse:
    """404 for whatever is no page, 405 for what is no look at one; of what breaks the log says more than we do."""
    if request.path not in PAGES:
        return web.Response(status=404, text="there is nothing here\n")
    if request.method not in {hdrs.METH_GET, hdrs.METH_HEAD}:
        return web.Response(status=405, text="pages are looked at by GET\n", headers={hdrs.ALLOW: "GET, HEAD"})
    try:
        return await handler(request)
    except web.HTTPException:
        raise
    except Exception:
        log.exception("a page failed", path=request.path)
        return web.Response(status=500, text="this page failed; the log says more\n")
