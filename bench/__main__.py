"""`python -m bench`: one run, its figures, `bench/results/latest.json`.

Exit code 1: the gate was missed, or the meter failed. Else 0.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import delay, recovery, settlement, throughput
from bench.cluster import PARTITIONS, Cluster, run_broker
from bench.completions import Completions, utc_now
from bench.contenders import COMPLETED, STAMPED_BY_BROKER, KafkaStreams, Meter, StockFaust
from bench.load import load
from bench.peers.kafka_streams import PeerMissing
from bench.process import WorkerFailed
from bench.report import NotRun, Results, exit_code, shown, write

PARTS = ("throughput", "delay", "settlement", "recovery", "memory")
DELAY_EVENTS_PER_S = 5_000
SETTLEMENT_EVENTS_PER_S = (1_000, 5_000)
RESULTS_DIR = Path(__file__).parent / "results"


class Bench:
    """The parts of a run on one broker; each adds its rows to `results`."""

    def __init__(self, cluster: Cluster, options: argparse.Namespace, results: Results) -> None:
        self.cluster = cluster
        self.options = options
        self.results = results
        self.source = Completions(options.seed, PARTITIONS, utc_now())

    def measure_throughput(self) -> None:
        """Every program through the same backlog, one after the other."""
        cluster, events, rows = self.cluster, self.options.events, self.results.rates
        meter = Meter(cluster)
        meter.create_topics()
        print(f"loading {events:,} completions", flush=True)
        loaded = load(cluster.bootstrap_servers, COMPLETED, self.source, events)
        self._row(rows, "aiokafka reads, decodes", lambda: throughput.measure_reader(cluster, COMPLETED, events))
        self._row(rows, Meter.name, lambda: throughput.measure(cluster, meter, loaded, events))
        self._row(
            rows,
            KafkaStreams.name,
            lambda: throughput.measure(cluster, KafkaStreams(cluster, COMPLETED), loaded, events),
        )
        part = min(self.options.faust_events, events - 1)
        self._row(
            rows, StockFaust.name, lambda: throughput.measure(cluster, StockFaust(cluster, COMPLETED), loaded, part)
        )

    def measure_delay(self) -> None:
        """The programs that keep up with the rate, each on an input of its own."""
        cluster, rows, seconds = self.cluster, self.results.delays, self.options.delay_seconds
        meter = Meter(cluster, "delay.")
        meter.create_topics()
        self._row(rows, Meter.name, lambda: delay.measure(cluster, meter, self.source, DELAY_EVENTS_PER_S, seconds))
        completed = f"kafka-streams.{COMPLETED}"
        cluster.create_topics({completed: STAMPED_BY_BROKER})
        self._row(
            rows,
            KafkaStreams.name,
            lambda: delay.measure(cluster, KafkaStreams(cluster, completed), self.source, DELAY_EVENTS_PER_S, seconds),
        )

    def measure_settlement(self, rate: int) -> None:
        """Many accounts billed at once while so many completions a second come in."""
        meter = Meter(self.cluster, "settlement.")
        meter.create_topics("--clock", "simulated")
        options = self.options
        self._row(
            self.results.settlement,
            Meter.name,
            lambda: settlement.measure(
                self.cluster,
                meter,
                self.source,
                accounts=options.accounts,
                events=options.events,
                rate=rate,
                seconds=3.0,
            ),
        )

    def measure_recovery(self, *, kill: bool) -> None:
        """Memory on the way to so many remembered ids; then the kill."""
        self._row(self.results.recovery, Meter.name, lambda: self._recovery(kill))

    def _recovery(self, kill: bool) -> recovery.Recovery | NotRun:
        cluster, ids = self.cluster, self.options.ids
        meter = Meter(cluster)
        meter.create_topics()
        worker = meter.start()
        try:
            self.results.memory.extend(recovery.fill(cluster, meter, worker, self.source, ids))
            if not kill:
                return NotRun(Meter.name, "only memory was asked for")
            found, worker = recovery.kill_and_recover(cluster, meter, worker, self.source, ids)
            return found
        finally:
            worker.stop()

    def _row(self, rows: list[Any], name: str, measure: Callable[[], Any]) -> None:
        print(f"measuring: {name}", flush=True)
        try:
            rows.append(measure())
        except PeerMissing as missing:
            rows.append(NotRun(name, str(missing)))
        except WorkerFailed as failed:
            rows.append(NotRun(name, str(failed), failed=True))


def main() -> int:
    """Run the parts that were asked for."""
    options = _options()
    results = Results(options.events, options.ids, options.only)
    RESULTS_DIR.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="work-", dir=RESULTS_DIR, ignore_cleanup_errors=True) as work:
        _run_parts(Path(work), options, results)
    print("\n".join(shown(results)))
    write(results, RESULTS_DIR / "latest.json")
    return exit_code(results)


def _run_parts(work_dir: Path, options: argparse.Namespace, results: Results) -> None:
    only = set(options.only)
    if only & {"throughput", "delay"}:
        with run_broker(work_dir / "rate") as cluster:
            bench = Bench(cluster, options, results)
            if "throughput" in only:
                bench.measure_throughput()
            if "delay" in only:
                bench.measure_delay()
    if "settlement" in only:
        for rate in SETTLEMENT_EVENTS_PER_S:
            with run_broker(work_dir / f"settlement-{rate}") as cluster:
                Bench(cluster, options, results).measure_settlement(rate)
    if only & {"recovery", "memory"}:
        # A broker of its own: empty topics, and nothing in its memory of what the other parts did.
        with run_broker(work_dir / "recovery") as cluster:
            Bench(cluster, options, results).measure_recovery(kill="recovery" in only)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--events", type=int, help="completions of the backlog (default 1,000,000)")
    parser.add_argument("--faust-events", type=int, help="how many of them stock Faust is given (default 60,000)")
    parser.add_argument("--accounts", type=int, help="accounts that are billed at once (default 100,000)")
    parser.add_argument("--ids", type=int, help="ids to remember before the kill (default 10,000,000)")
    parser.add_argument("--delay-seconds", type=float, help="how long the delay is measured (default 20)")
    parser.add_argument("--only", type=_parts, default=list(PARTS), help=f"parts, of {','.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="everything smaller; the figures are worth less")
    parser.add_argument("--seed", type=int, default=1, help="of the completions (default 1)")
    options = parser.parse_args()
    quick = options.quick
    options.events = options.events or (200_000 if quick else 1_000_000)
    options.faust_events = options.faust_events or (15_000 if quick else 60_000)
    options.accounts = options.accounts or (20_000 if quick else 100_000)
    options.ids = options.ids or (500_000 if quick else 10_000_000)
    options.delay_seconds = options.delay_seconds or (5 if quick else 20)
    return options


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return parts


if __name__ == "__main__":
    sys.exit(main())
