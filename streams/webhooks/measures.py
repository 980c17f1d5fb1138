"""What an operator sees of the webhooks' sender: metrics, and whether it moves."""

import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streams.observe.process import exposition

_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 15, 30, 60)
STATES = ("waiting", "dead")


class WebhookMeasures:
    """The metrics of one sender, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self._attempts = Counter(
            "meter_webhook_attempts", "Messages that were sent, by what became of them", ["outcome"], registry=r
        )
        self._took = Histogram("meter_webhook_attempt_seconds", "One attempt", buckets=_SECONDS, registry=r)
        self._messages = Gauge("meter_webhook_messages", "Messages that wait, or are dead", ["state"], registry=r)
        self._endpoints = Gauge("meter_webhook_endpoints", "Endpoints that are told", registry=r)
        self._away: str | None = "it has not looked at the topics yet"
        self._moved_at = time.monotonic()

    def attempted(self, error: str | None, took_s: float) -> None:
        """A message was sent; `error` None: it was taken."""
        self._attempts.labels("delivered" if error is None else "failed").inc()
        self._took.observe(took_s)

    def looked(self, endpoints: int) -> None:
        """The topics and the store were there."""
        self._away, self._moved_at = None, time.monotonic()
        self._endpoints.set(endpoints)

    def away(self, why: str) -> None:
        """Kafka or the store is not there."""
        self._away = why

    def counted(self, messages: Mapping[str, int]) -> None:
        """How many messages are in each of `STATES`."""
        for state in STATES:
            self._messages.labels(state).set(messages.get(state, 0))

    def stalled(self, after_s: float) -> list[str]:
        """Why it does not move; nothing: it does."""
        if self._away is not None:
            return [self._away]
        idle_s = time.monotonic() - self._moved_at
        return [f"the topics were not looked at for {idle_s:.0f} s"] if idle_s > after_s else []

    def text(self) -> bytes:
        """The exposition that Prometheus scrapes."""
        return exposition(self.registry)
