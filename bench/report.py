"""The table for people, the JSON for programs, and the verdicts."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

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


@dataclass(frozen=True)
class NotRun:
    """A row that has no figures, and why: it cannot be run here, or (`failed`) it did not do its work."""

    name: str
    reason: str
    failed: bool = False

    @property
    def state(self) -> str:
        """For the table."""
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


def show(results: Results, console: Console) -> None:
    """Print the table and the verdicts."""
    console.print(_table(results))
    for row in [*results.rates, *results.delays, *results.settlement, *results.recovery]:
        if isinstance(row, NotRun):
            console.print(f"{row.state}: {row.name}: {row.reason}", highlight=False, markup=False)
        elif isinstance(row, Rate) and row.others > BUSY_MACHINE:
            console.print(
                f"note: other programs used {row.others:.0%} of the machine beside {row.name}", highlight=False
            )
    for verdict in verdicts(results):
        figure = f" ({verdict.figure})" if verdict.figure else ""
        console.print(f"{verdict.kind}: {verdict.what}: {verdict.state}{figure}", highlight=False)


def _table(results: Results) -> Table:
    table = Table(
        title=f"Bench: {results.events:,} completions, {psutil.cpu_count()} cores, broker on the same machine"
    )
    for column in ("what", "who", "figure", "CPU per event", "broker's", "most memory", "over"):
        table.add_column(column, justify="left" if column in ("what", "who") else "right")
    for rate in results.rates:
        table.add_row("throughput", rate.name, *_rate_cells(rate))
    for delay in results.delays:
        table.add_row("delay", delay.name, *_delay_cells(delay))
    for settled in results.settlement:
        table.add_row("settlement", "meter", *_settlement_cells(settled))
    for row in results.recovery:
        table.add_row("recovery", "meter", *_recovery_cells(row))
    for point in results.memory:
        table.add_row("memory", "meter", _mib(point.rss), "", "", "", f"{point.ids:,} ids")
    return table


def _settlement_cells(found: SettlementRun | NotRun) -> tuple[str, ...]:
    if isinstance(found, NotRun):
        return (found.state, "", "", "", "")
    figure = f"{found.accounts_per_s:,.0f} accounts/s, p99 {found.p99_ms:.0f} ms of {found.beside_per_s:,}/s beside"
    return (figure, "", "", "", f"{found.accounts:,} accounts, {found.seconds:.1f} s")


def _rate_cells(rate: Rate | NotRun) -> tuple[str, ...]:
    if isinstance(rate, NotRun):
        return (rate.state, "", "", "", "")
    return (
        f"{rate.events_per_s:,.0f} events/s",
        f"{rate.cpu_us:.1f} us",
        "" if rate.broker_cpu_us is None else f"{rate.broker_cpu_us:.1f} us",
        "" if rate.peak_rss is None else _mib(rate.peak_rss),
        f"{rate.events:,} events, {rate.seconds:.1f} s",
    )


def _delay_cells(delay: Delay | NotRun) -> tuple[str, ...]:
    if isinstance(delay, NotRun):
        return (delay.state, "", "", "", "")
    figure = f"p50 {delay.p50_ms:.0f}, p99 {delay.p99_ms:.0f}, max {delay.max_ms:.0f} ms"
    return (figure, "", "", "", f"{delay.events:,} events at {delay.events_per_s:,.0f}/s")


def _recovery_cells(row: Recovery | NotRun) -> tuple[str, ...]:
    if isinstance(row, NotRun):
        return (row.state, "", "", "", "")
    return (f"{row.seconds:.1f} s", "", "", _mib(row.peak_rss), f"{row.ids:,} ids")


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
