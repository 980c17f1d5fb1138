"""The run on three brokers and three workers: wave after wave of faults, while clients send and a reader looks on."""

import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from confluent_kafka import KafkaException

from streams.broker import BrokerError
from tests.chaos.blows import QUICK_LEADERS, Blow, BrokerBlows, Missed, WorkerBlows, until
from tests.chaos.clients import ChaosClients
from tests.chaos.cluster_plan import WORKERS, ClusterPlan, Wave
from tests.chaos.days import FIRST_DAY
from tests.chaos.reader import CommittedReader
from tests.chaos.runner import Say
from tests.chaos.verdict import HONEST_EXITS
from tests.chaos.workers import METER, STOP_PATIENCE_S, Worker, environment
from tests.open_kafka import OpenCluster
from tests.wire import Wire, extras

PARTITIONS = 6
SETTLE_PATIENCE_S = 180
#: How long after their last day the customers' month, and whatever arrears are left, are settled.
AFTER = timedelta(days=45)


@dataclass
class Fault:
    """What one kind of fault has come to."""

    runs: int = 0
    violations: int = 0
    #: The longest that a partition stood still around one, and after the end of one, in seconds.
    longest_s: float = 0.0
    after_s: float = 0.0


@dataclass
class ClusterRun:
    """What happened."""

    plan: ClusterPlan
    faults: defaultdict[str, Fault] = field(default_factory=lambda: defaultdict(Fault))
    exits: Counter[int] = field(default_factory=Counter)
    last_exits: list[int] = field(default_factory=list)
    last_words: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


class ClusterChaos:
    """One run on a cluster of its own. Each worker has a wire of its own; clients and reader are beside them."""

    def __init__(self, plan: ClusterPlan, root: Path, say: Say) -> None:
        self.run = ClusterRun(plan)
        self.plan = plan
        self.root = root
        self._say = say
        self.wires = [Wire(f"WORKER{number}") for number in range(WORKERS)]
        nodes = {n: replace(extra, settings=QUICK_LEADERS) for n, extra in extras(*self.wires).items()}
        self.cluster = OpenCluster(root / "kafka", extras=nodes).start()
        self.bootstrap = self.cluster.bootstrap_servers
        say(f"three brokers are up at {self.bootstrap}")
        self.workers: list[Worker] = []

    def meter(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `meter` command against this cluster."""
        env = environment(self.bootstrap, self.root / "operator", "operator")
        return subprocess.run([METER, *arguments], env=env, capture_output=True, text=True, check=False)

    def go(self) -> ClusterRun:
        """Everything but the verdict."""
        create = ("topics", "create", "--partitions", str(PARTITIONS), "--replication", "3", "--clock", "simulated")
        created = self.meter(*create)
        if created.returncode:
            raise RuntimeError(f"meter topics create: {created.stderr}")
        servers = [wire.bootstrap_servers for wire in self.wires]
        self.workers = [Worker(n, servers[n], self.root, self.plan.fault) for n in range(WORKERS)]
        self.reader = CommittedReader(self.bootstrap, PARTITIONS)
        self.clients = ChaosClients(self.bootstrap, self.plan.seed, PARTITIONS, self.plan.rate_per_s)
        try:
            self._strike_all()
            if self._is_red():
                self.clients.stop()
            else:
                self._end()
        except (TimeoutError, BrokerError, KafkaException) as error:
            self.run.findings.append(f"the run did not get to its end: {error}")
        finally:
            self.stop_workers()
        self.reader.stop()
        self._say("everything is read")
        return self.run

    def _strike_all(self) -> None:
        until(lambda: all(worker.healthy() for worker in self.workers), "the workers to be up")
        self.clients.start()
        until(lambda: self.reader.moved_since(0.0), "each partition to have moved")
        waves = self.plan.waves()
        with ThreadPoolExecutor(WORKERS + 1) as pool:
            for number, wave in enumerate(waves, start=1):
                self._strike(pool, wave, f"{number}/{len(waves)}")
                if self._is_red():
                    return

    def _is_red(self) -> bool:
        """Whether it is decided already, so that nothing more need be struck."""
        ended = {code for worker in self.workers for code in worker.exits}
        return bool(self.run.findings or self.reader.wrong or self.clients.error or ended - HONEST_EXITS)

    def _strike(self, pool: ThreadPoolExecutor, wave: Wave, name: str) -> None:
        """All blows of a wave at once; then each partition must move within the stated time."""
        wrong, began = len(self.reader.wrong), time.monotonic()
        strikes = [
            pool.submit(self._one, WorkerBlows(worker, wire).strike, blow)
            for worker, wire, blow in zip(self.workers, self.wires, wave.workers, strict=True)
            if blow is not None
        ]
        if wave.broker is not None:
            strikes.append(pool.submit(self._one, BrokerBlows(self.cluster).strike, wave.broker))
        struck = [kind for strike in strikes if (kind := strike.result()) is not None]
        ended = time.monotonic()
        moved = self._moves_again(ended)
        stalls = self.reader.stalls(began, ended)
        self._note(struck, stalls, len(self.reader.wrong) - wrong + (not moved))
        self._say(
            f"wave {name}: {', '.join(struck)}: {stalls[0]:.1f} s without a step, {stalls[1]:.1f} s after the end"
        )
        if not moved:
            self.run.findings.append(
                f"a partition has not moved for {self.plan.moves_within_s:g} s after the end of {', '.join(struck)}"
            )

    def _one(self, strike: Callable[[Blow], None], blow: Blow) -> str | None:
        for _ in range(3):
            try:
                strike(blow)
            except Missed:
                continue
            return blow.kind
        return None

    def _moves_again(self, since: float) -> bool:
        deadline = since + self.plan.moves_within_s
        while time.monotonic() < deadline:
            if self.reader.moved_since(since):
                return True
            time.sleep(0.05)
        return False

    def _note(self, struck: list[str], stalls: tuple[float, float], violations: int) -> None:
        for kind in struck:
            self.run.faults[kind].runs += 1
        for kind in set(struck):
            fault = self.run.faults[kind]
            fault.violations += violations
            fault.longest_s = max(fault.longest_s, stalls[0])
            fault.after_s = max(fault.after_s, stalls[1])

    def _end(self) -> None:
        """No more faults: all is sent, folded and settled."""
        self.clients.stop()
        self._say(f"{self.clients.days_sent} days of customers are sent")
        until(lambda: all(worker.healthy() for worker in self.workers), "the workers to be up")
        to = FIRST_DAY + timedelta(days=self.clients.days_sent) + AFTER
        done = self.meter("clock", "advance", "--to", to.isoformat(), "--timeout", str(SETTLE_PATIENCE_S))
        if done.returncode:
            raise TimeoutError(f"meter clock advance: {done.stdout}{done.stderr}")
        self._say("all is settled")

    def stop_workers(self) -> None:
        """Ask them to stop, and note how they have ended."""
        for worker in self.workers:
            worker.ask_to_stop()
        deadline = time.monotonic() + STOP_PATIENCE_S
        for worker in self.workers:
            self.run.last_exits.append(worker.stopped(deadline))
            self.run.exits += worker.exits
            self.run.last_words += worker.last_words()
        self.workers = []

    def close(self) -> None:
        """End what is left of it."""
        self.stop_workers()
        self.cluster.kill()  # nobody reads its data again
        for wire in self.wires:
            wire.close()
