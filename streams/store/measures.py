"""What an operator sees of a projector: metrics, and whether it moves."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streams.observe.process import exposition
from streams.store.positions import Place
from streams.store.project import Batch

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)


class ProjectorMeasures:
    """The metrics of one projector, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self._records = Counter("meter_projected_records", "Records written to the store", ["topic"], registry=r)
        self._batches = Histogram("meter_projector_batch_seconds", "Writing a batch", buckets=_SECONDS, registry=r)
        self._lag = Gauge("meter_projector_lag_records", "Positions that are not projected", ["topic"], registry=r)
        self._away = Gauge("meter_projector_store_away", "1 while the SQL store cannot be reached", registry=r)
        self._age = Gauge("meter_projector_age_seconds", "Since the broker last told of all topics", registry=r)
        self._lags: dict[Place, int] = {}
        self._polled: dict[Place, float] = {}
        self._moved_at = time.monotonic()
        self._is_away = False

    def wrote(self, batch: Batch, took_s: float) -> None:
        """A batch was committed."""
        for topic, records in batch.records.items():
            self._records.labels(topic).inc(len(records))
        for move in batch.moves:
            if move.end_offset is not None:
                self._lags[move.place] = move.end_offset - move.next_offset
            if move.polled_at is not None:
                self._polled[move.place] = move.polled_at.timestamp()
        self._batches.observe(took_s)
        self._moved_at = time.monotonic()

    def store_is_away(self, is_away: bool) -> None:
        """Whether the store cannot be reached."""
        self._is_away = is_away
        self._away.set(int(is_away))

    def age_s(self) -> float:
        """How long ago the broker last told of the partition that it has not told of for longest."""
        return max(0.0, time.time() - min(self._polled.values())) if self._polled else 0.0

    def stalled(self, after_s: float) -> list[str]:
        """Why the projector does not move; nothing: it does."""
        reasons = []
        if self._is_away:
            reasons.append("the store is away")
        if self._polled and self.age_s() > after_s:
            reasons.append(f"Kafka has told nothing for {self.age_s():.0f} s")
        if time.monotonic() - self._moved_at > after_s:
            reasons.append(f"nothing was written for {after_s:g} s")
        return reasons

    def text(self) -> bytes:
        """The exposition that Prometheus scrapes."""
        by_topic: dict[str, int] = {}
        for (topic, _), lag in self._lags.items():
            by_topic[topic] = by_topic.get(topic, 0) + lag
        for topic, lag in by_topic.items():
            self._lag.labels(topic).set(lag)
        self._age.set(self.age_s())
        return exposition(self.registry)
