"""How fast the API takes completions in: one `meter api` process, batches of several sizes, until Kafka has them all.

    python -m bench.ingest --seconds 8

Each sender has a connection and asks again as soon as it was answered. Bodies are made before the clock starts, of
jobs of 2,000 accounts. A read_committed consumer counts afterwards what is in Kafka: what was
accepted, to the record.
"""

import argparse
import asyncio
import http.client
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from bench.cluster import PARTITIONS, Cluster, run_broker
from bench.completions import Completions
from bench.process import cpu_s
from meter import topics
from streams.kafka.topics import create, new_rules
from streams.settings import Settings
from tests.integration.running import METER, clean_environment, until

#: Completions of a request, and how many send at once.
LOADS = ((1000, 4), (100, 8), (1, 32))
HEADERS = {"Content-Type": "application/json"}


def main() -> None:
    """Measure each load against one server."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=8.0)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as work_dir, run_broker(Path(work_dir)) as cluster:
        settings = Settings(bootstrap_servers=cluster.bootstrap_servers, data_dir=cluster.work_dir)
        asyncio.run(create(settings, new_rules(partitions=PARTITIONS), 1))
        with served(cluster) as (url, process):
            for size, senders in LOADS:
                measure(cluster, url, process, size, senders, given.seconds)


@contextmanager
def served(cluster: Cluster) -> Iterator[tuple[str, psutil.Process]]:
    """One `meter api` that has found Kafka: its address and its process."""
    environment = clean_environment(
        bootstrap_servers=cluster.bootstrap_servers, data_dir=cluster.work_dir, http_port=0, http_requests_per_s=0
    )
    log = cluster.work_dir / "api.log"
    with log.open("wb") as out:
        api = subprocess.Popen([METER, "api"], env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        until(lambda: "http://" in log.read_text(), "the API to say where it is")
        url = next(word for word in log.read_text().split() if word.startswith("http://"))
        until(lambda: "connected to Kafka" in log.read_text(), "the API to find Kafka")
        yield url, psutil.Process(api.pid)
    finally:
        api.terminate()
        api.wait(30)


def measure(cluster: Cluster, url: str, api: psutil.Process, size: int, senders: int, seconds: float) -> None:
    """Send for so long, and print what came of it."""
    bodies = [made(sender, size, count=max(4, 40_000 // (size * senders))) for sender in range(senders)]
    before, used_s = count(cluster), cpu_s(api)
    times: list[float] = []
    deadline = time.monotonic() + seconds
    threads = [threading.Thread(target=send, args=(url, own, deadline, times)) for own in bodies]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s, accepted = time.monotonic() - started, len(times) * size
    found = count(cluster) - before
    assert found == accepted, f"{accepted} were accepted, {found} are in Kafka"
    p95 = statistics.quantiles(times, n=20)[-1] if len(times) > 1 else times[0]
    print(
        f"{size:>5} a request, {senders:>2} senders: {accepted / took_s:>9,.0f} completions/s, all of them in Kafka\n"
        f"       {len(times) / took_s:>7,.1f} requests/s, p50 {statistics.median(times) * 1000:.0f} ms, "
        f"p95 {p95 * 1000:.0f} ms, API {(cpu_s(api) - used_s) / took_s:.2f} cores"
    )


def made(seed: int, size: int, count: int) -> list[bytes]:
    """Bodies of so many completions each."""
    stream = Completions(seed=os.getpid() * 100 + seed, partitions=PARTITIONS, now=datetime.now(UTC))
    values: list[bytes] = []
    while len(values) < size * count:
        values += stream.chunk().values
    return [b"[" + b",".join(values[first : first + size]) + b"]" for first in range(0, size * count, size)]


def send(url: str, bodies: list[bytes], deadline: float, times: list[float]) -> None:
    """Ask again and again, until the deadline."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc)
    for number in range(1_000_000):
        started = time.monotonic()
        if started > deadline:
            break
        connection.request("POST", "/v1/jobs", bodies[number % len(bodies)], HEADERS)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 202, answer.status
        times.append(time.monotonic() - started)
    connection.close()


def count(cluster: Cluster) -> int:
    """How many completions are in Kafka, committed."""
    return sum(1 for _ in cluster.committed_records(topics.COMPLETED))


if __name__ == "__main__":
    main()
