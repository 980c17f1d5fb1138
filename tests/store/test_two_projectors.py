"""Two projectors that hold batches of different partitions at the same moment: their sums over all of them stay right.

Each moves positions that the other does not, so that both may commit; the next batch ends one of them.
"""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from sqlalchemy import Connection, Engine, select

from meter import topics
from meter.periods import BillingDays
from meter.rules import Rules
from streams.settings import Settings
from streams.store import positions, schema
from streams.store.accounts import KnownAccounts
from streams.store.database import writing
from streams.store.decode import OutwardRecord
from streams.store.migrate import migrate
from streams.store.positions import PartitionAdvance
from streams.store.project import Batch, apply
from tests.store.following import engine_of

DAY, REGION = "2026-11-24", "ap-tokyo"
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture
def begun(url: str) -> Iterator[Engine]:
    engine = engine_of(url)
    migrate(engine)
    with writing(engine) as connection:
        rules = Rules.model_validate({"meter_id": "m", "partitions": 2})
        positions.claim(connection, Settings(), rules, NOW)
        places = [(topic, partition) for topic in (topics.DAILY, topics.LEDGER) for partition in (0, 1)]
        positions.begin(connection, dict.fromkeys(places, (0, 0)), {}, NOW)
    yield engine
    engine.dispose()


def batch(partition: int) -> Batch:
    """A day's total and a top-up of one account of a partition."""
    account = f"account-{partition}"
    total = {"account_id": account, "region": REGION, "day": DAY, "jobs": 1, "minutes": 2, "amount": "0.56"}
    entry = {
        "entry_id": f"e{partition}", "account_id": account, "at": "2026-11-24T10:00:00Z", "cause": "top_up",
        "reference": "r", "postings": [{"book": "cash", "amount": "5.00"}, {"book": "balance", "amount": "-5.00"}],
    }  # fmt: skip
    key = msgspec.json.encode([account, REGION, DAY])
    records = {
        topics.DAILY: [OutwardRecord(partition, 0, key, msgspec.json.encode(total), 0)],
        topics.LEDGER: [OutwardRecord(partition, 0, account.encode(), msgspec.json.encode(entry), 0)],
    }
    return Batch([PartitionAdvance((topic, partition), 0, 1, 1, NOW, NOW) for topic in records], records)


def write(connection: Connection, partition: int) -> None:
    apply(connection, batch(partition), BillingDays("Asia/Shanghai"), KnownAccounts())


def test_sums_over_all_partitions_hold_both_batches(begun: Engine) -> None:
    arrived = threading.Event()

    def second() -> None:
        arrived.set()
        with writing(begun) as connection:
            write(connection, 1)

    other = threading.Thread(target=second)
    with writing(begun) as connection:
        write(connection, 0)
        other.start()
        arrived.wait()
        other.join(0.5)  # it has read what is there, or waits for its turn
    other.join(30)
    with begun.connect() as connection:
        sums = connection.execute(select(schema.region_total.c.jobs, schema.region_total.c.amount)).all()
        accounts = connection.execute(select(schema.account_total.c.accounts, schema.account_total.c.balance)).all()
    assert sums == [(2, Decimal("1.12"))]
    assert accounts == [(2, Decimal("10.00"))]
