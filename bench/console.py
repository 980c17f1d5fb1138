"""`python -m bench.console`: how long the console's pages and the usage API take, with many accounts in PostgreSQL.

The store is filled with 10,000 accounts of 90 days by SQL, and asked through the application, as a browser would.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import httpx
from sqlalchemy import Engine, create_engine, insert, text

from meter.rules import Rules
from streams.http.app import create_app
from streams.settings import Settings
from streams.store.migrate import migrate
from streams.store.schema import meter_info
from tests.store.postgres import Postgres

ACCOUNTS = "generate_series(1, :accounts) a"
DAYS = "generate_series(1, 90) d"
DAY = "(current_date - d)"
REGIONS = "(values ('ap-guangzhou', 0.28), ('ap-tokyo', 0.3136)) r(region, price)"
FILL = (
    f"""INSERT INTO account SELECT 'account-' || a, a % 8, now(),
        CASE WHEN a % 50 = 0 THEN 'in_arrears' ELSE 'good' END, NULL, NULL, 100, 0,
        CASE WHEN a % 50 = 0 THEN 5.25 ELSE 0 END, NULL, NULL, NULL FROM {ACCOUNTS}""",
    "INSERT INTO account_total SELECT state, count(*), sum(owed), sum(balance) FROM account GROUP BY state",
    f"""INSERT INTO daily_total SELECT 'account-' || a, {DAY} + 1, region, 3, 40, 40 * price
        FROM {ACCOUNTS}, {DAYS}, {REGIONS}""",
    """INSERT INTO region_total SELECT day, region, sum(jobs), sum(minutes), sum(amount) FROM daily_total
       GROUP BY day, region""",
    f"""INSERT INTO bill SELECT 'B' || a || '-' || d, a % 8, a * 100 + d, 'account-' || a, {DAY}::text, 'daily', 23.744,
        23.74, -0.004, now() - d * interval '1 day', 2, '{{}}' FROM {ACCOUNTS}, {DAYS}""",
    f"""INSERT INTO bill_line SELECT 'B' || a || '-' || d, CASE region WHEN 'ap-tokyo' THEN 1 ELSE 0 END,
        'account-' || a, 'usage', region, {DAY}, 3, 40, price, 40 * price, NULL FROM {ACCOUNTS}, {DAYS}, {REGIONS}""",
    f"""INSERT INTO bill_standing SELECT 'B' || a || '-' || d, 'account-' || a, 23.74, now(), now(), 0
        FROM {ACCOUNTS}, {DAYS}""",
    f"""INSERT INTO priced_usage SELECT a % 8, (a::bigint * 90 + d) * 4 + j, 'account-' || a, 'job-' || d || '-' || j,
        'ap-tokyo', 'face,text', now(), '', {DAY} + 1, '60', 1, 0.3136, 0.3136, 'guide', 'recognition.jobs.completed',
        0, 0, now(), NULL, NULL, NULL FROM {ACCOUNTS}, {DAYS}, generate_series(1, 2) j""",
)


def fill(engine: Engine, accounts: int) -> None:
    """The tables of so many accounts."""
    migrate(engine)
    rules = Rules(meter_id="bench", partitions=8)
    with engine.begin() as connection:
        row = {"id": 1, "meter_id": "bench", "topic_prefix": "", "created_at": datetime.now(UTC)}
        connection.execute(insert(meter_info).values(rules=rules.model_dump_json(), **row))
        for statement in FILL:
            connection.execute(text(statement), {"accounts": accounts})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def pages(rng: Random, accounts: int) -> Iterator[tuple[str, str]]:
    """A kind of page, and its address for some account."""
    account = f"account-{rng.randint(1, accounts)}"
    number = account.removeprefix("account-")
    yield "overview", "/console/overview"
    yield "overview, live", "/console/overview/live"
    yield "accounts", "/console/accounts"
    yield "accounts, search", f"/console/accounts?q={number[:3]}"
    yield "accounts, in arrears", "/console/accounts?state=in_arrears"
    yield "account", f"/console/accounts/{account}?days=90"
    yield "account, live", f"/console/accounts/{account}/summary"
    yield "bills", f"/console/accounts/{account}/bills"
    yield "ledger", f"/console/accounts/{account}/ledger"
    yield "rejects", "/console/rejects"
    yield "prices", "/console/prices"
    yield "audit", "/console/audit"
    yield "API: usage", f"/v1/accounts/{account}/usage"
    yield "API: bills", f"/v1/accounts/{account}/bills"


async def measure(settings: Settings, accounts: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each kind of page."""
    transport = httpx.ASGITransport(create_app(settings, console=True))
    took: dict[str, list[float]] = {}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        rng = Random(1)
        for number in range(rounds + 1):
            for kind, address in pages(rng, accounts):
                began = time.perf_counter()
                answer = await client.get(address)
                if number:  # the first time templates are compiled
                    took.setdefault(kind, []).append((time.perf_counter() - began) * 1000)
                assert answer.status_code == 200, (address, answer.status_code)
    return took


def main() -> None:
    """Fill, ask, and say what it took."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--accounts", type=int, default=10_000)
    arguments.add_argument("--rounds", type=int, default=40)
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name, Postgres() as server:
        url = server.new_database()
        engine = create_engine(url)
        began = time.perf_counter()
        fill(engine, asked.accounts)
        print(f"{asked.accounts:,} accounts of 90 days after {time.perf_counter() - began:.0f} s")
        settings = Settings(
            bootstrap_servers="127.0.0.1:9", data_dir=Path(name), database_url=url, http_requests_per_s=0
        )
        took = asyncio.run(measure(settings, asked.accounts, asked.rounds))
        engine.dispose()
    print(f"{'page':24}{'median ms':>12}{'p95 ms':>12}")
    for kind, times in took.items():
        print(f"{kind:24}{statistics.median(times):12.1f}{statistics.quantiles(times, n=20)[-1]:12.1f}")


if __name__ == "__main__":
    main()
