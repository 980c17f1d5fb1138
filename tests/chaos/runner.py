"""The run: traffic, and one blow after another while it comes in; then everything is folded to its end."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

from streams.broker.config import Files
from tests.chaos.plan import BROKER, FREEZE, KILL, Plan, Run
from tests.chaos.watch import OutputWatch
from tests.chaos.workers import METER, SESSION_TIMEOUT_S, STOP_PATIENCE_S, Worker, environment
from tests.open_kafka import OpenBroker
from tests.recount.count import COMPLETED

PARTITIONS = 8
WORKERS = 3
LONGEST_STEP_S = 0.3
Say = Callable[[str], None]


class Stalled(Exception):  # noqa: N818  (a finding, not an error of this program)
    """Nothing moved for too long: the argument says what was waited for."""


class Chaos:
    """One run on a broker of its own."""

    def __init__(self, plan: Plan, root: Path, say: Say) -> None:
        self.plan = plan
        self.root = root
        self.say = say
        self.rng = Random(plan.seed)
        self.run = Run(plan)
        # Transactions of earlier victims, which stay open until somebody takes their partitions over.
        self.orphans: set[tuple[tuple[str, int], int]] = set()
        self.broker = OpenBroker(root / "kafka")
        self.bootstrap = self.broker.start().bootstrap_servers
        say("Kafka is up")
        self.workers: list[Worker] = []

    def meter(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `meter` command against this broker."""
        env = environment(self.bootstrap, self.root / "operator", "operator")
        return subprocess.run([METER, *arguments], env=env, capture_output=True, text=True, check=False)

    def go(self) -> Run:
        created = self.meter("topics", "create", "--partitions", str(PARTITIONS))
        if created.returncode:
            raise RuntimeError(f"meter topics create: {created.stderr}")
        self.workers = [Worker(number, self.bootstrap, self.root, self.plan.fault) for number in range(WORKERS)]
        self.watch = OutputWatch(self.bootstrap)
        try:
            with self._traffic() as traffic:
                self._blows(traffic)
                self.run.sent = Counter(finish(traffic))
            self.say("all is sent")
            self._wait("the inputs to be folded to their end", self.watch.all_folded)
            self.say("all is folded")
        except Stalled as stalled:
            self.run.faults.append(str(stalled))
        finally:
            self.watch.close()
            self.stop_workers()
        self.run.forgotten_ends = self._forgotten_ends()
        return self.run

    def _forgotten_ends(self) -> int:
        """How often the broker has taken a transaction's partitions for deleted, and left out their markers."""
        logs = Files.of(self.root / "kafka").log.parent.glob("kafka*.log")
        return sum(
            log.read_text(errors="replace").count("Couldn't find leader endpoint for partitions") for log in logs
        )

    def close(self) -> None:
        self.stop_workers()
        self.broker.kill()  # nobody reads its data again

    def stop_workers(self) -> None:
        for worker in self.workers:
            worker.ask_to_stop()
        deadline = time.monotonic() + STOP_PATIENCE_S
        for worker in self.workers:
            self.run.last_exits.append(worker.stopped(deadline))
            self.run.exits += worker.exits
            self.run.last_words += worker.last_words()
            self.run.taken_over += worker.taken_over()
        self.workers = []

    @contextmanager
    def _traffic(self) -> Iterator[subprocess.Popen[str]]:
        base = datetime.now(UTC).isoformat()
        plan = [str(part) for part in (PARTITIONS, self.plan.seed, self.plan.records, base, self.plan.rate_per_s)]
        command = [sys.executable, "-m", "tests.chaos.produce", self.bootstrap, COMPLETED, *plan]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def _blows(self, traffic: subprocess.Popen[str]) -> None:
        strike = {KILL: self._kill, FREEZE: self._freeze, BROKER: self._restart_broker}
        blows = self.plan.blows()
        for number, blow in enumerate(blows, start=1):
            victim = self._victim()
            # Each blow falls into a stretch of traffic of its own, so that the workers are never idle under it.
            allow(traffic, self.plan.records * number // (len(blows) + 1))
            before = self.watch.progress()
            self._wait(f"a step before blow {number}", partial(self._is_beyond, before))
            strike[blow](victim)
        self._wait("all workers to be up", lambda: all(worker.healthy() for worker in self.workers))
        allow(traffic, self.plan.records)

    def _is_beyond(self, progress: int) -> bool:
        return self.watch.progress() > progress

    def _wait(self, what: str, met: Callable[[], bool]) -> None:
        """Wait for a condition; the patience begins anew with every step that the workers take."""
        progress, deadline = -1, 0.0
        while not met():
            before, progress = progress, self.watch.progress()
            if progress != before:
                deadline = time.monotonic() + self.plan.stall_s
            elif time.monotonic() > deadline:
                raise Stalled(f"nothing moved for {self.plan.stall_s:.0f} s, waiting for {what}")

    def _victim(self) -> Worker:
        """One of those that are up: a blow must not fall on the dead."""
        self._wait("a worker to be up", lambda: any(worker.healthy() for worker in self.workers))
        return self.rng.choice([worker for worker in self.workers if worker.healthy()] or self.workers)

    def _kill(self, worker: Worker) -> None:
        caught = self.rng.random() < 0.75 and self._freeze_in_transaction(worker)
        wipe = self.run.kills % 4 == 2  # its dedupe index must be rebuilt
        # Back before its session ends, mostly; or later, when the others have taken its partitions.
        back_s = self.rng.choice((0, 0, 0, 2, SESSION_TIMEOUT_S + 2))
        worker.kill(back_s, wipe=wipe)
        self.run.kills += 1
        self.run.kills_in_transaction += caught
        self.run.wipes += wipe
        self.say(f"killed worker {worker.number}{' in a transaction' * caught}{', wiped' * wipe}")

    def _freeze(self, worker: Worker) -> None:
        caught = self._freeze_in_transaction(worker)
        if not caught:
            worker.freeze()
        time.sleep(SESSION_TIMEOUT_S + 3)  # the point is that time passes
        worker.thaw()
        self.run.freezes += 1
        self.run.freezes_in_transaction += caught
        self.say(f"froze worker {worker.number}{' in a transaction' * caught} past its session")

    def _freeze_in_transaction(self, worker: Worker) -> bool:
        """Stop it at random moments until a transaction stays open while it stands still: that one is its own."""
        deadline = time.monotonic() + 10
        while worker.running() and time.monotonic() < deadline:
            worker.freeze()
            if self._holds_transaction():
                return True
            worker.thaw()
            time.sleep(self.rng.uniform(0.005, 0.05))
        return False

    def _holds_transaction(self) -> bool:
        """Whether one transaction stays open for longer than a worker that runs would keep it."""
        held = self.watch.open_transactions().items() - self.orphans
        since = time.monotonic()
        while held and time.monotonic() - since < LONGEST_STEP_S:
            held &= self.watch.open_transactions().items()
        self.orphans |= held
        return bool(held)

    def _restart_broker(self, _: Worker) -> None:
        self.broker.kill()
        self.broker.start()
        self.run.broker_restarts += 1
        self.say("killed the broker and started it again")


def allow(traffic: subprocess.Popen[str], records: int) -> None:
    """Let the producers go on to this many records in all."""
    assert traffic.stdin is not None
    traffic.stdin.write(f"{records}\n")
    traffic.stdin.flush()


def finish(traffic: subprocess.Popen[str]) -> dict[str, int]:
    """What the producers had acknowledged, once they have sent everything."""
    said, _ = traffic.communicate(timeout=600)
    return json.loads(said)
