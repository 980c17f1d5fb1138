"""The worker's pages: /metrics, /healthz, /readyz, served by Faust's web server."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

from streams.app import MeterApp


def add_pages(app: MeterApp) -> None:
    """Add the three pages to the app."""

    @app.page("/metrics")
    async def metrics(web: Any, request: Any) -> Any:
        """What Prometheus scrapes."""
        for (topic, partition), records in app.owners.lags().items():
            app.metrics.lag(topic, partition, records)
        for partition in app.owners.opened():
            owner = app.owners.by_partition[partition]
            app.metrics.reconciled(partition, *owner.sums.look())
            app.metrics.paused(partition, owner.settlement_is_paused)
        return web.bytes(app.metrics.text(), content_type=CONTENT_TYPE_LATEST.partition(";")[0])

    @app.page("/healthz")
    async def healthz(web: Any, request: Any) -> Any:
        """The process is alive and its loop turns."""
        return web.json({"status": "ok"})

    @app.page("/readyz")
    async def readyz(web: Any, request: Any) -> Any:
        """Every partition that has lag moves; 503 when one has not for longer than it may."""
        stalled = app.owners.stalled()
        body = {
            "status": "stalled" if stalled else "ok",
            "stalled": stalled,
            "open": sorted(app.owners.opened()),
            "lag": sum(app.owners.lags().values()),
        }
        return web.json(body, status=503 if stalled else 200)
