"""The worker's pages: /metrics, /healthz, /readyz, served by Faust's web server."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST

from streams.engine.app import MeterApp
from streams.observe.doors import keep_doors


def add_pages(app: MeterApp) -> None:
    """Add the three pages to the app, and whoever keeps their door."""

    @app.task
    async def doors() -> None:
        """Connections are few, and none lasts long."""
        await keep_doors(app.pages_server)

    health, owners, measures = app.engine.health, app.engine.owners, app.engine.metrics

    @app.page("/metrics")
    async def metrics(web: Any, request: Any) -> Any:
        """What Prometheus scrapes."""
        for (topic, partition), records in health.lags().items():
            measures.lag(topic, partition, records)
        measures.held(health.held())
        for partition, owner in owners.open.items():
            measures.reconciled(partition, *owner.unbilled_check.look())
            measures.paused(partition, settlement=owner.settlement.is_paused, intake=owner.intake.is_paused)
        return web.bytes(measures.text(), content_type=CONTENT_TYPE_LATEST.partition(";")[0])

    @app.page("/healthz")
    async def healthz(web: Any, request: Any) -> Any:
        """The process is alive, its loop turns, and no partition is stuck; 503 where a restart is due."""
        stuck = health.stuck()
        return web.json({"status": "stuck" if stuck else "ok", "stuck": stuck}, status=503 if stuck else 200)

    @app.page("/readyz")
    async def readyz(web: Any, request: Any) -> Any:
        """Every partition that it was given is open, and moves where it has lag; 503 where one does not, or may not.

        A worker that was given none, since there are more workers than partitions, is ready.
        """
        stalled, paused, state = health.stalled(), health.paused(), health.state()
        ready = not stalled and not paused and state in {"open", "standby"}
        body = {
            "status": "stalled" if stalled else "paused" if paused else "ok" if state == "open" else state,
            "stalled": stalled,
            "paused": paused,
            "held": sorted(f"{held.topic}[{held.partition}]" for held in health.held()),
            "open": sorted(owners.open),
            "lag": sum(health.lags().values()),
        }
        return web.json(body, status=200 if ready else 503)
