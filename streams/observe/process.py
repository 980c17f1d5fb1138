"""Metrics of the process itself, shown beside those of its work: CPU, memory, open files, Python, its garbage."""

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest

PROCESS = CollectorRegistry()
ProcessCollector(registry=PROCESS)
PlatformCollector(registry=PROCESS)
GCCollector(registry=PROCESS)


def exposition(work: CollectorRegistry) -> bytes:
    """What Prometheus scrapes: the metrics of some work, and those of the process."""
    return generate_latest(work) + generate_latest(PROCESS)
