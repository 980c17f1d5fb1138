"""What an operator sees of the API's process: metrics of its requests, and of what it depends on.

Labels are few, whatever is asked: a route by its pattern, a method that is none of HTTP's as `other`.
"""

from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streams.observe.process import exposition

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class HttpMeasures:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self._requests = Counter("meter_http_requests", "Requests answered", ["method", "route", "status"], registry=r)
        self._took = Histogram(
            "meter_http_request_seconds", "Answering a request", ["route"], buckets=_SECONDS, registry=r
        )
        self._open = Gauge("meter_http_requests_open", "Requests that are being answered", registry=r)
        self._kafka = Gauge("meter_http_kafka_up", "1 while Kafka answers", registry=r)
        self._age = Gauge("meter_http_figures_age_seconds", "Since figures were surely complete", registry=r)

    def began(self) -> None:
        """A request came in."""
        self._open.inc()

    def answered(self, method: str, route: str | None, status: int, took_s: float) -> None:
        """A request was answered, by the route with this pattern, or before there was one."""
        route = route or "none"
        self._open.dec()
        self._requests.labels(method if method in METHODS else "other", route, status).inc()
        self._took.labels(route).observe(took_s)

    def text(self, *, kafka: bool, as_of: datetime | None) -> bytes:
        """The exposition that Prometheus scrapes. Without `as_of` how old figures are is not known: it stays."""
        self._kafka.set(int(kafka))
        if as_of is not None:
            self._age.set(max(0.0, (datetime.now(UTC) - as_of).total_seconds()))
        return exposition(self.registry)
