"""Projectors that are killed again and again, with SIGKILL, while records stream in: the tables equal the topics.

    python -m tests.store.kill --records 200000 --seed 7

One projector on SQLite and one on PostgreSQL follow the same meter. Each is killed at moments drawn from the seed, some
of them while it starts, most of them in the middle of a batch, and started again, until all has come in.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from tests.integration.running import Meter, job, until
from tests.open_kafka import OpenBroker
from tests.store.expected import differences
from tests.store.following import RunningProjector, engine_of, reached
from tests.store.postgres import Postgres

REGIONS = ("Mainland China", "ap-tokyo", "na-ashburn", "ap-guangzhou")
CHUNK = 500
SLOW_S = 3.0
LEAST_KILLS = 2
Say = Callable[[str], None]


def completions(chance: random.Random, records: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of jobs, a few of them duplicates, a few broken."""
    sent: list[tuple[bytes, bytes]] = []
    for number in range(records):
        if sent and chance.random() < 0.02:
            yield chance.choice(sent)
            continue
        account = f"account-{chance.randrange(200)}"
        kinds = ["smell"] if chance.random() < 0.02 else ["face"]
        fields = job(job_id=f"job-{number}", account_id=account, region=chance.choice(REGIONS), kinds=kinds,
                     duration_s=chance.randrange(1, 7200))  # fmt: skip
        record = account.encode(), json.dumps(fields).encode()
        sent = [*sent[-99:], record]
        yield record


@contextmanager
def streaming(
    meter: Meter, chance: random.Random, records: int, last_s: float, enough: threading.Event
) -> Iterator[threading.Thread]:
    """Within the block the records come in, over so many seconds at least; the second half slowly until `enough`."""
    thread = threading.Thread(target=_stream, args=(meter, chance, records, last_s, enough))
    thread.start()
    try:
        yield thread
    finally:
        enough.set()
        thread.join()


def _stream(meter: Meter, chance: random.Random, records: int, last_s: float, enough: threading.Event) -> None:
    producer = meter.producer(partitioner="murmur2_random", **{"linger.ms": 5})
    began = time.monotonic()
    for number, (key, value) in enumerate(completions(chance, records)):
        producer.produce(meter.topic("recognition.jobs.completed"), value, key)
        if number % CHUNK == 0:
            producer.poll(0)
            time.sleep(max(0.0, began + last_s * number / records - time.monotonic()))  # a stream has its pace
            if number > records // 2:
                enough.wait(SLOW_S)  # a machine that is busy elsewhere starts projectors slowly
    assert producer.flush(60) == 0


class Victim:
    """A projector on one store, started and killed by turns."""

    def __init__(self, meter: Meter, url: str, chance: random.Random) -> None:
        self.url = url
        self.engine: Engine = engine_of(url)
        self.kills = 0
        self._meter = meter
        self._chance = chance
        self._log = meter.root / f"projector-{self.engine.dialect.name}.log"
        self._projector = self._start()
        self._kill_at = self._next_kill()
        self._before = 0

    def _start(self) -> RunningProjector:
        return RunningProjector(self._meter, self.url, self._log)

    def _next_kill(self) -> float | None:
        """When to kill it: while it starts, or None: a moment after it has written something."""
        return time.monotonic() + self._chance.uniform(0.2, 1.5) if self._chance.random() < 0.25 else None

    def turn(self) -> None:
        """Kill it if it is time to."""
        assert self._projector.process.poll() is None, self._projector.said()
        if self._kill_at is None and (written := self.written()) > self._before:
            self._before = written
            self._kill_at = time.monotonic() + self._chance.uniform(0.0, 0.5)
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._projector.kill()
            self.kills += 1
            self._before = self.written()
            self._projector = self._start()
            self._kill_at = self._next_kill()

    def written(self) -> int:
        """How far it has come, in positions."""
        try:
            return sum(reached(self.engine).values())
        except SQLAlchemyError:  # there are no tables yet
            return 0

    def finish(self) -> list[str]:
        """Let it come to the end, and hold the tables against the topics. What differs."""
        until(lambda: self._projector.process.poll() is not None or self._at_end(), "the projector to catch up", 120)
        assert self._projector.stop() == 0, self._projector.said()
        found = differences(self._meter, self.engine)
        self.engine.dispose()
        return found

    def _at_end(self) -> bool:
        status = self._meter.ask("projector", "status", database_url=self.url)
        return bool(status) and not any(topic["lag"] for topic in status)

    def kill(self) -> None:
        """It is over."""
        self._projector.kill()


def run(meter: Meter, urls: list[str], seed: int, records: int, last_s: float, say: Say = lambda _: None) -> list[str]:
    """Kill projectors while records stream in. A worker must run. What differs from the topics in the end."""
    chance = random.Random(seed)
    victims = [Victim(meter, url, random.Random(f"{seed} {number}")) for number, url in enumerate(urls)]
    try:
        enough = threading.Event()
        with streaming(meter, chance, records, last_s, enough) as stream:
            while stream.is_alive():
                for victim in victims:
                    victim.turn()
                if all(victim.kills >= LEAST_KILLS for victim in victims):
                    enough.set()
                time.sleep(0.02)
        meter.wait_folded(120)
        for victim in victims:
            say(f"{victim.engine.dialect.name}: killed {victim.kills} times")
            assert victim.kills >= LEAST_KILLS, "too few kills to say anything"
        return [difference for victim in victims for difference in victim.finish()]
    finally:
        for victim in victims:
            victim.kill()


def main() -> int:
    """The long form, on a Kafka and a PostgreSQL of its own."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--records", type=int, default=200_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--seconds", type=float, default=60.0, help="over which the records come in, at least")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-") as directory:
        root = Path(directory)
        (root / "meter").mkdir()
        with (
            OpenBroker(root / "kafka") as kafka,
            Postgres() as postgres,
            Meter(kafka.bootstrap_servers, root / "meter") as meter,
        ):
            meter.create().open_worker()
            urls = [f"sqlite:///{root}/store.sqlite", postgres.new_database()]
            found = run(meter, urls, given.seed, given.records, given.seconds, print)
    print("\n".join(found) or f"{given.records:,} records: the tables equal the topics on both stores")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
