"""`python -m bench.compare [REVISION]`: this tree beside another revision, in turns on one broker, in two minutes.

To be run after each change of fold or engine, alone on the machine. REVISION is the commit before where nothing is
changed here, else the last commit. Both are told as shares of the read bound, since machines differ; what counts is
their ratio. Two runs of the same code differ by some hundredths: exit code 1 from `SLOWER` or `LATER` on.
"""

import argparse
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from bench import delay, throughput
from bench.cluster import PARTITIONS, Cluster, run_broker
from bench.completions import Completions, utc_now
from bench.contenders import Meter
from bench.load import load
from bench.process import WorkerFailed

ROOT = Path(__file__).parents[1]
EVENTS = 300_000
DELAY_EVENTS_PER_S, DELAY_S = 5_000, 8.0
#: Of the other revision's events/s; and how many times its 99th percentile.
SLOWER, LATER = 0.9, 1.3


class Side(NamedTuple):
    """One of the two: what it is called, and where its code lies (None: what is installed)."""

    name: str
    tree: Path | None


class Figures(NamedTuple):
    """Events per second of each run, and the 99th percentile of the delay in milliseconds."""

    rates: list[float]
    p99_ms: float


def compare(now: Side, before: Side) -> tuple[float, dict[Side, Figures]]:
    """The read bound in events/s, and the figures of both. Raises WorkerFailed."""
    rates: dict[Side, list[float]] = {now: [], before: []}
    late: dict[Side, float] = {}
    bound = 0.0
    with tempfile.TemporaryDirectory(prefix="compare-") as work, run_broker(Path(work)) as cluster:
        # In turns, and back: what else the machine does then falls on both.
        for turn, side in enumerate((before, now, now, before)):
            contender = Meter(cluster, f"turn{turn}.", side.tree)
            rates[side].append(_rate(cluster, contender))
            bound = bound or throughput.measure_reader(cluster, contender.completed, EVENTS).events_per_s
        for side in (before, now):
            late[side] = _p99_ms(cluster, side)
    return bound, {side: Figures(rates[side], late[side]) for side in (before, now)}


def _rate(cluster: Cluster, contender: Meter) -> float:
    contender.create_topics()
    loaded = load(cluster.bootstrap_servers, contender.completed, Completions(1, PARTITIONS, utc_now()), EVENTS)
    return throughput.measure(cluster, contender, loaded, EVENTS).events_per_s


def _p99_ms(cluster: Cluster, side: Side) -> float:
    contender = Meter(cluster, "delay-before." if side.tree else "delay-now.", side.tree)
    contender.create_topics()
    source = Completions(2, PARTITIONS, utc_now())
    return delay.measure(cluster, contender, source, DELAY_EVENTS_PER_S, DELAY_S).p99_ms


def told(bound: float, now: Figures, before: Figures, names: tuple[str, str]) -> list[str]:
    """The figures, a line each, and what they come to."""
    lines = [f"read bound            {bound:,.0f} events/s"]
    for name, found in zip(names, (now, before), strict=True):
        runs = ", ".join(f"{rate:,.0f}" for rate in found.rates)
        lines.append(f"{name:20}  {mean(found.rates) / bound:.3f} of it ({runs} events/s); p99 {found.p99_ms:.0f} ms")
    rate, late = ratios(now, before)
    return [*lines, f"events/s              {rate:.2f} times", f"p99                   {late:.2f} times"]


def ratios(now: Figures, before: Figures) -> tuple[float, float]:
    """Events per second and 99th percentile of this tree, as times of the other's."""
    return mean(now.rates) / mean(before.rates), now.p99_ms / before.p99_ms


def is_worse(now: Figures, before: Figures) -> bool:
    """Whether this tree is slower, or its totals later, by more than two runs of the same code differ."""
    rate, late = ratios(now, before)
    return rate < SLOWER or late > LATER


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkerFailed(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("revision", nargs="?", help="a commit; the last one, or the one before")
    wanted = parser.parse_args().revision
    try:
        revision = _git("rev-parse", "--short", wanted or ("HEAD" if _git("status", "--porcelain") else "HEAD~1"))
        with tempfile.TemporaryDirectory(prefix="compare-tree-") as folder:
            archive = Path(folder) / "tree.tar"
            _git("archive", f"--output={archive}", revision, "meter", "streams")
            with tarfile.open(archive) as files:
                files.extractall(folder, filter="data")
            now, before = Side("now", None), Side(revision, Path(folder))
            bound, found = compare(now, before)
    except WorkerFailed as failed:
        print(f"not compared: {failed}", file=sys.stderr)
        return 1
    print("\n".join(told(bound, found[now], found[before], ("this tree", revision))))
    return int(is_worse(found[now], found[before]))


if __name__ == "__main__":
    sys.exit(main())
