"""How fast the projector writes: priced jobs and the totals that go with them, out of Kafka into each store.

    python -m bench.projector --jobs 600000 --database postgresql://... (none: SQLite, and a PostgreSQL of its own)

The records are what a meter with 2,000 busy accounts publishes, steps of 5,000 jobs with one total for each account
and region in it; they are written before the clock starts. Then one projector starts from nothing and reads to the
end: indexes are kept up, positions move with the rows, every commit is on disk.
"""

import argparse
import asyncio
import random
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
from aiokafka.partitioner import murmur2
from confluent_kafka import Producer

from bench.cluster import NO_LOG
from bench.completions import REGIONS
from meter import topics
from meter.money import decimal_text
from meter.rules import Rules
from streams.kafka.topics import create, new_rules
from streams.process.garbage import collect_less
from streams.settings import Settings
from streams.store.database import open_engine, shown
from streams.store.measures import ProjectorMeasures
from streams.store.migrate import migrate
from streams.store.projector import Projector
from tests.open_kafka import OpenBroker
from tests.store.postgres import Postgres

PARTITIONS = 8
ACCOUNTS = 2_000
STEP = 5_000
DAYS = 3
CHINA = "+08:00"


def main() -> None:
    """Write the records, and project them into each store."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=600_000)
    options.add_argument("--database")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-projector-") as work_dir:
        work = Path(work_dir)
        with OpenBroker(work / "broker") as broker:
            settings = Settings(bootstrap_servers=broker.bootstrap_servers, data_dir=work, web_port=0)
            rules, _ = asyncio.run(create(settings, new_rules(partitions=PARTITIONS), 1))
            totals = produce(settings, given.jobs)
            print(f"{given.jobs:,} priced jobs and {totals:,} daily totals in {PARTITIONS} partitions")
            if given.database:
                measure(settings, rules, given.database, given.jobs)
                return
            measure(settings, rules, f"sqlite:///{work}/store.sqlite", given.jobs)
            with Postgres() as postgres:
                measure(settings, rules, postgres.new_database(), given.jobs)


def produce(settings: Settings, jobs: int) -> int:
    """Publish the records as steps would; how many totals there are."""
    producer = Producer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "linger.ms": 20,
            "queue.buffering.max.messages": 2_000_000,
            **NO_LOG,
        }
    )
    sent = 0
    for partition, number in enumerate(_shares(jobs)):
        for topic, key, value in records(random.Random(partition), partition, number):
            producer.produce(settings.topic(topic), value, key, partition)
            sent += topic == topics.DAILY
        producer.poll(0)
    assert producer.flush(120) == 0
    return sent


def _shares(jobs: int) -> list[int]:
    return [jobs // PARTITIONS + (partition < jobs % PARTITIONS) for partition in range(PARTITIONS)]


def records(chance: random.Random, partition: int, jobs: int) -> Iterator[tuple[str, bytes, bytes]]:
    """Topic, key and value of what a partition publishes."""
    accounts = [name for n in range(ACCOUNTS) if (murmur2((name := f"account-{n}").encode()) & 0x7FFFFFFF) % PARTITIONS
                == partition]  # fmt: skip
    sums: dict[tuple[str, str, str], list[Decimal | int]] = defaultdict(lambda: [0, 0, Decimal()])
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(days=DAYS)
    for first in range(0, jobs, STEP):
        changed = set()
        for offset in range(first, min(first + STEP, jobs)):
            at = now + timedelta(seconds=offset * DAYS * 86_400 / jobs)
            key = (chance.choice(accounts), chance.choices(list(REGIONS))[0], at.astimezone().date().isoformat())
            minutes = chance.randint(1, 90)
            value = priced(chance, key, minutes, at, partition, offset)
            sums[key][0] += 1
            sums[key][1] += minutes
            sums[key][2] += Decimal(str(value["amount"]))
            changed.add(key)
            yield topics.PRICED, key[0].encode(), msgspec.json.encode(value)
        for key in sorted(changed):
            yield topics.DAILY, msgspec.json.encode(key), msgspec.json.encode(_total(key, *sums[key]))


def priced(
    chance: random.Random, key: tuple[str, str, str], minutes: int, at: datetime, partition: int, offset: int
) -> dict[str, object]:
    """A value of `usage.priced`."""
    account_id, region, day = key
    price = Decimal(REGIONS[region][1]) / 10_000
    return {
        "v": 1,
        "job_id": str(uuid.UUID(int=chance.getrandbits(128))),
        "account_id": account_id,
        "region": region,
        "kinds": ["face", "text"],
        "completed_at": at.isoformat(timespec="milliseconds"),
        "day": day,
        "duration_s": str(minutes * 60),
        "minutes": minutes,
        "unit_price": decimal_text(price),
        "amount": decimal_text(price * minutes),
        "currency": "CNY",
        "price_version": "guide-2023-09-19",
        "source": {"topic": topics.COMPLETED, "partition": partition, "offset": offset,
                   "timestamp": int(at.timestamp() * 1000) + 40},
    }  # fmt: skip


def _total(key: tuple[str, str, str], jobs: object, minutes: object, amount: object) -> dict[str, object]:
    account_id, region, day = key
    assert isinstance(amount, Decimal)
    return {"v": 1, "account_id": account_id, "region": region, "day": day, "jobs": jobs, "minutes": minutes,
            "amount": decimal_text(amount), "currency": "CNY"}  # fmt: skip


def measure(settings: Settings, rules: Rules, url: str, jobs: int) -> None:
    """Project everything into an empty store, and say how fast that was."""
    store = settings.model_copy(update={"database_url": _secret(url)})
    engine = open_engine(store)
    migrate(engine)
    collect_less()
    began = time.monotonic()
    asyncio.run(Projector(store, rules, engine, ProjectorMeasures()).run(asyncio.Event(), caught_up=True))
    took_s = time.monotonic() - began
    print(f"{engine.dialect.name}: {jobs / took_s:,.0f} priced rows/s ({took_s:.1f} s, {shown(engine)})", flush=True)
    engine.dispose()


def _secret(url: str) -> object:
    return Settings(database_url=url).database_url


if __name__ == "__main__":
    main()
