"""The figures for people, the JSON for programs, and the verdicts."""

import json
import os
import platform
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil

from bench.delay import Delay
from bench.recovery import PeakMemory, Recovery
from bench.settlement import SettlementRun
from bench.throughput import Rate

GOAL_RATIO = 2.5
GOAL_P99_MS = 100
GOAL_ACCOUNTS_PER_S = 10_000
GOAL_SETTLING_P99_MS = 250
GOAL_VERIFY_S = 10
#: Completions beside settlement: 86 million a day.
STEADY_PER_S = 1_000
GOAL_RECOVERY_S = 15
GOAL_RECOVERY_IDS = 10_000_000
GIB = 1 << 30
BUSY_MACHINE = 0.1
#: Characters of a line: a terminal's, and a pipe's.
WIDTH = 80
NAME_WIDTH = 18
#: A heading, and figures by name.
Block = tuple[str, list[tuple[str, str]]]
Row = TypeVar("Row")


@dataclass(frozen=True)
class NotRun:
    """A row that has no figures, and why: it cannot be run here, or (`failed`) it did not do its work."""

    name: str
    reason: str
    failed: bool = False

    @property
    def state(self) -> str:
        """In a word."""
        return "failed" if self.failed else "not run"


@dataclass
class Results:
    """What one run found."""

    events: int
    ids: int
    parts: list[str]
    rates: list[Rate | NotRun] = field(default_factory=list)
    delays: list[Delay | NotRun] = field(default_factory=list)
    settlement: list[SettlementRun | NotRun] = field(default_factory=list)
    memory: list[PeakMemory] = field(default_factory=list)
    recovery: list[Recovery | NotRun] = field(default_factory=list)


@dataclass(frozen=True)
class FigureVerdict:
    """One line of the end: `state` is met, missed or not run."""

    kind: str
    what: str
    state: str
    figure: str


def verdicts(results: Results) -> list[FigureVerdict]:
    """The gate first, then the goals."""
    meter, streams = (_figures(results.rates, name) for name in ("meter", "Kafka Streams"))
    ratio = meter.events_per_s / streams.events_per_s if meter and streams else None
    shown = f"{ratio:.2f} x" if ratio else ""
    delay = _figures(results.delays, "meter")
    recovery = next((row for row in results.recovery if isinstance(row, Recovery)), None)
    full = recovery if recovery and recovery.ids >= GOAL_RECOVERY_IDS else None
    back = f"{recovery.seconds:.1f} s with {recovery.ids:,} ids" if recovery else ""
    memory = f"{recovery.peak_rss / GIB:.2f} GiB with {recovery.ids:,} ids" if recovery else ""
    return [
        _verdict("gate", "the meter is faster than Kafka Streams", ratio and ratio > 1, shown),
        _verdict("goal", f"{GOAL_RATIO} times as fast", ratio and ratio >= GOAL_RATIO, shown),
        _verdict(
            "goal",
            f"99 % of events in their total within {GOAL_P99_MS} ms at 5,000 events/s",
            _at_goal_rate(delay) and delay.p99_ms <= GOAL_P99_MS if delay else None,
            f"p99 {delay.p99_ms:.0f} ms at {delay.events_per_s:,.0f} events/s" if delay else "",
        ),
        *_settlement_verdicts([row for row in results.settlement if isinstance(row, SettlementRun)]),
        _verdict(
            "goal",
            f"all partitions commit again within {GOAL_RECOVERY_S} s of a SIGKILL with {GOAL_RECOVERY_IDS:,} ids",
            full.seconds <= GOAL_RECOVERY_S if full else None,
            back,
        ),
        _verdict("goal", "in less than 1 GiB", full.peak_rss < GIB if full else None, memory),
    ]


def _settlement_verdicts(found: Sequence[SettlementRun]) -> list[FigureVerdict]:
    """Accounts a second count beside a steady rate of completions, the delay of completions beside every rate."""
    steady = next((row for row in found if row.beside_per_s == STEADY_PER_S), None)
    longest = max((row.verify_s for row in found), default=None)
    return [
        _verdict(
            "goal",
            f"a worker settles {GOAL_ACCOUNTS_PER_S:,} accounts/s beside {STEADY_PER_S:,} completions/s",
            steady.accounts_per_s >= GOAL_ACCOUNTS_PER_S if steady else None,
            ", ".join(f"{row.accounts_per_s:,.0f} beside {row.beside_per_s:,}/s" for row in found),
        ),
        _verdict(
            "goal",
            f"99 % of completions are in their total within {GOAL_SETTLING_P99_MS} ms meanwhile",
            all(row.p99_ms < GOAL_SETTLING_P99_MS for row in found) if found else None,
            ", ".join(f"p99 {row.p99_ms:.0f} ms at {row.beside_per_s:,}/s" for row in found),
        ),
        _verdict(
            "goal",
            f"a bill is proved within {GOAL_VERIFY_S} s",
            None if longest is None else longest < GOAL_VERIFY_S,
            f"{longest:.1f} s over {found[0].events:,} events" if longest is not None else "",
        ),
    ]


def _at_goal_rate(delay: Delay) -> bool:
    return delay.events_per_s >= 0.99 * 5_000


def _verdict(kind: str, what: str, holds: bool | None, figure: str) -> FigureVerdict:
    return FigureVerdict(kind, what, "not run" if holds is None else "met" if holds else "missed", figure)


def _figures(rows: Sequence[Any], name: str) -> Any:
    return next((row for row in rows if row.name == name and not isinstance(row, NotRun)), None)


def shown(results: Results) -> Iterator[str]:
    """The figures one a line, then the notes and the verdicts, in lines of at most `WIDTH` characters; none is cut."""
    yield f"Bench: {results.events:,} completions, {psutil.cpu_count()} cores, broker on the same machine"
    for heading, figures in _blocks(results):
        yield ""
        yield from _wrapped(heading)
        for name, figure in figures:
            yield from _wrapped(f"  {name:<{NAME_WIDTH}}{figure}", " " * (NAME_WIDTH + 2))
    yield ""
    for remark in [*_remarks(results), *map(_verdict_line, verdicts(results))]:
        yield from _wrapped(remark, "  ")


def _wrapped(text: str, indent: str = "  ") -> list[str]:
    """Lines broken between words; a line of the text begins one of its own. A word longer than a line is whole."""
    lines: list[str] = []
    for part in text.splitlines():
        first = indent if lines else ""
        lines += textwrap.wrap(
            part,
            WIDTH,
            initial_indent=first,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _blocks(results: Results) -> Iterator[Block]:
    """What was measured, of whom, and the figures by name."""
    for rate in results.rates:
        yield f"throughput: {rate.name}", _figures_of(rate, _rate_figures)
    for delay in results.delays:
        yield f"delay: {delay.name}", _figures_of(delay, _delay_figures)
    for settled in results.settlement:
        yield "settlement: meter", _figures_of(settled, _settlement_figures)
    for row in results.recovery:
        yield "recovery: meter", _figures_of(row, _recovery_figures)
    if results.memory:
        yield "memory: meter", [(f"{point.ids:,} ids", _mib(point.rss)) for point in results.memory]


def _figures_of(row: Row | NotRun, figures: Callable[[Row], list[tuple[str, str]]]) -> list[tuple[str, str]]:
    return [(row.state, row.reason)] if isinstance(row, NotRun) else figures(row)


def _rate_figures(rate: Rate) -> list[tuple[str, str]]:
    figures = [("rate", f"{rate.events_per_s:,.0f} events/s"), ("CPU", f"{rate.cpu_us:.1f} us per event")]
    if rate.broker_cpu_us is not None:
        figures.append(("broker's CPU", f"{rate.broker_cpu_us:.1f} us per event"))
    if rate.peak_rss is not None:
        figures.append(("most memory", _mib(rate.peak_rss)))
    return [*figures, ("over", f"{rate.events:,} events, {rate.seconds:.1f} s")]


def _delay_figures(delay: Delay) -> list[tuple[str, str]]:
    over = f"{delay.events:,} events at {delay.events_per_s:,.0f}/s"
    return [*_percentiles(delay.p50_ms, delay.p99_ms, delay.max_ms), ("over", over)]


def _settlement_figures(found: SettlementRun) -> list[tuple[str, str]]:
    return [
        ("rate", f"{found.accounts_per_s:,.0f} accounts/s beside {found.beside_per_s:,} completions/s"),
        *_percentiles(found.p50_ms, found.p99_ms, found.max_ms),
        ("proof of a bill", f"{found.verify_s:.1f} s"),
        ("over", f"{found.accounts:,} accounts of {found.events:,} events, {found.seconds:.1f} s"),
    ]


def _recovery_figures(row: Recovery) -> list[tuple[str, str]]:
    return [
        ("all partitions", f"{row.seconds:.1f} s"),
        ("first partition", f"{row.first_partition_s:.1f} s"),
        ("most memory", _mib(row.peak_rss)),
        ("over", f"{row.ids:,} ids"),
    ]


def _percentiles(p50_ms: float, p99_ms: float, max_ms: float) -> list[tuple[str, str]]:
    return [(name, f"{value:.0f} ms") for name, value in (("p50", p50_ms), ("p99", p99_ms), ("max", max_ms))]


def _remarks(results: Results) -> Iterator[str]:
    for rate in results.rates:
        if isinstance(rate, Rate) and rate.others > BUSY_MACHINE:
            yield f"note: other programs used {rate.others:.0%} of the machine beside {rate.name}"


def _verdict_line(verdict: FigureVerdict) -> str:
    figure = f" ({verdict.figure})" if verdict.figure else ""
    return f"{verdict.kind}: {verdict.what}: {verdict.state}{figure}"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"


def exit_code(results: Results) -> int:
    """1 when the gate was missed, or the meter did not do its work."""
    rows = [*results.rates, *results.delays, *results.recovery]
    broken = any(isinstance(row, NotRun) and row.failed and row.name == "meter" for row in rows)
    return int(broken or verdicts(results)[0].state == "missed")


def write(results: Results, path: Path) -> None:
    """All figures, the verdicts and what they were measured on, as JSON."""
    machine = {
        "cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "load_average_at_the_end": os.getloadavg(),
        "system": platform.system(),
        "python": platform.python_version(),
    }
    document = {
        "machine": machine,
        **asdict(results),
        "verdicts": [asdict(verdict) for verdict in verdicts(results)],
    }
    path.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
