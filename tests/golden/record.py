"""`python -m tests.golden.record NAME`: writes `NAME-simulated` and `NAME-kafka` with today's meter, to be kept.

A release that changes what a log holds writes new ones beside the old ones; those stay.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from meter.regions import ZONES
from tests.chaos.days import COMMANDS, FIRST_DAY, DayEvent
from tests.chaos.days_runner import DaysChaos, DaysPlan
from tests.chaos.runner import PARTITIONS
from tests.golden.golden import KEPT, LOGS, keep
from tests.recount.count import Record
from tests.recount.log import Log
from tests.simulation import run as simulation
from tests.simulation.world import PARTITIONS as SIMULATED_PARTITIONS

#: A seed whose broker's clock jumps.
SEED = 4
STEPS = 1_200


def simulated() -> Iterator[Record]:
    world, rules, _, _ = simulation.run(SEED, STEPS)
    rules_value = json.dumps(rules.model_dump(mode="json")).encode()
    for p in range(SIMULATED_PARTITIONS):
        yield Record("meter.journal", p, -1, 0, rules_value, None, ())
        for topic in KEPT:
            for r in world.log(topic, p).records:
                yield Record(topic, p, r.offset, r.timestamp, r.value, r.key, r.headers)


class WithPrices(DaysChaos):
    """Days of customers; on the third one a price book is published, for the tenth."""

    def _send(self, events: list[DayEvent]) -> None:
        super()._send(events)
        if not self.published and self.events[COMMANDS] > 3 * PARTITIONS:
            self.published = True
            super()._send(self.prices(events[-1].at_ms))

    published = False

    @staticmethod
    def prices(at_ms: int) -> list[DayEvent]:
        issued = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
        prices = dict(zip(ZONES, ("0.27", "0.31", "0.32"), strict=True))
        body = {"v": 1, "command_id": "prices-2", "type": "price_book", "issued_at": issued, "version": "2026-02",
                "effective_from": (FIRST_DAY + timedelta(days=9)).date().isoformat(), "prices": prices}  # fmt: skip
        return [
            DayEvent(COMMANDS, p, at_ms, b"prices-2", json.dumps(body).encode()) for p in range(SIMULATED_PARTITIONS)
        ]


def on_kafka(root: Path) -> Iterator[Record]:
    plan = DaysPlan(seed=7, accounts=40, days=20, kills=2, least_aborted=0)
    run = WithPrices(plan, root, print)
    try:
        if found := run.settle():
            raise SystemExit("\n".join(found))
        log = Log(run.bootstrap)
        for p in range(log.partitions()):
            for topic in KEPT:
                yield from log.records(topic, p)
        log.close()
    finally:
        run.close()


def main(name: str) -> None:
    keep(LOGS / f"{name}-simulated.jsonl.xz", simulated())
    root = Path(tempfile.mkdtemp(prefix="meter-golden-"))
    keep(LOGS / f"{name}-kafka.jsonl.xz", on_kafka(root))
    shutil.rmtree(root)


if __name__ == "__main__":
    main(sys.argv[1])
