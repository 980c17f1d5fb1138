"""All metrics are as `promtool check metrics` wants them: its rules, applied to what each process shows."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from streams.http import measures as http
from streams.observe.metrics import Metrics
from streams.store.measures import ProjectorMeasures as Projector
from streams.webhooks.measures import WebhookMeasures as Sender

SHOWN = {
    "worker": lambda: Metrics().text(),
    "projector": lambda: Projector().text(),
    "sender": lambda: Sender().text(),
    "api": lambda: http.HttpMeasures().text(kafka=True, as_of=datetime.now(UTC)),
}
TYPES = ("counter", "gauge", "histogram", "summary")
PREFIXES = (
    *("pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi"),
    *("mega", "mibi", "giga", "gibi", "tera", "tebi", "peta", "pebi"),
)
BASE = {"amperes", "bytes", "celsius", "grams", "joules", "kelvin", "meters", "metres", "seconds", "volts"}
OTHER = {
    *("minutes", "hours", "days", "weeks", "kelvins", "fahrenheit", "rankine", "inches", "yards", "miles"),
    *("bits", "calories", "pounds", "ounces"),
}
SHORT = {"s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"}
SNAKE = re.compile("[a-z_][a-z0-9_]*")


def problems(metric: Metric) -> Iterator[str]:
    """What promtool would say of a metric."""
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    labels = {label for sample in metric.samples for label in sample.labels} - {"le", "quantile"}
    words = name.split("_")
    if not metric.documentation:
        yield "no help text"
    if metric.type not in TYPES:
        yield "no type"
    yield from _endings(metric, words[-1])
    yield from _units(words)
    if set(words) & set(TYPES):
        yield "its type is in its name"
    if not all(SNAKE.fullmatch(each) for each in (name, *labels)):
        yield "no snake_case"


def _endings(metric: Metric, last: str) -> Iterator[str]:
    if metric.type == "counter" and not all(sample.name.endswith("_total") for sample in metric.samples):
        yield "a counter ends in _total"
    if metric.type != "counter" and last == "total":
        yield "only a counter ends in _total"
    if metric.type == "gauge" and last in ("count", "sum", "bucket"):
        yield "ends as part of a histogram does"


def _units(words: list[str]) -> Iterator[str]:
    if set(words) & SHORT:
        yield "an abbreviated unit"
    if any(word in OTHER or _prefixed(word) for word in words):
        yield "no base unit"


def _prefixed(word: str) -> bool:
    return any(word.startswith(prefix) and word[len(prefix) :] in BASE | OTHER for prefix in PREFIXES)


@pytest.mark.parametrize("process", SHOWN)
def test_promtool_would_be_content(process: str) -> None:
    metrics = list(text_string_to_metric_families(SHOWN[process]().decode()))
    # A counter's start is no metric of ours: the library shows it beside the counter.
    found = {metric.name: list(problems(metric)) for metric in metrics if not metric.name.endswith("_created")}
    assert len(found) > 10
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("process", SHOWN)
def test_each_process_shows_itself(process: str) -> None:
    names = {metric.name for metric in text_string_to_metric_families(SHOWN[process]().decode())}
    assert names >= {"process_cpu_seconds", "process_open_fds", "process_resident_memory_bytes", "python_info"}


def test_the_rules_find_what_promtool_finds() -> None:
    wrong = """# TYPE meter_minutes_total counter
meter_minutes_total 1
# HELP meter_took_ms Took
# TYPE meter_took_ms gauge
meter_took_ms 1
# HELP meter_gauge_kilobytes Size
# TYPE meter_gauge_kilobytes gauge
meter_gauge_kilobytes{badLabel="x"} 1
"""
    found = {metric.name: list(problems(metric)) for metric in text_string_to_metric_families(wrong)}
    assert found == {
        "meter_minutes": ["no help text", "no base unit"],
        "meter_took_ms": ["an abbreviated unit"],
        "meter_gauge_kilobytes": ["no base unit", "its type is in its name", "no snake_case"],
    }
