"""A meter of a test's own on the run's Kafka: its commands and workers as real processes, and what its log says."""

import io
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streams.broker.ports import free_port
from streams.cli import main
from tests.recount.log import Log

METER = Path(sys.executable).with_name("meter")
INPUTS = ("meter.commands", "recognition.jobs.rerouted", "recognition.jobs.completed")
COMPLETED = "recognition.jobs.completed"
PATIENCE_S = 60.0
Found = TypeVar("Found")


def until(condition: Callable[[], Found], what: str, patience_s: float = PATIENCE_S) -> Found:
    """What the condition gives once it holds. Raises AssertionError when that takes too long."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {patience_s:g} s for {what}"
        time.sleep(0.05)
    return found


def heeds_ctrl_c() -> None:
    """For a process before it begins: as at a terminal, though what runs the tests may have left them deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def job(**changes: Any) -> dict[str, Any]:
    """An hour in mainland China, an hour ago."""
    fields: dict[str, Any] = {
        "job_id": f"job-{secrets.token_hex(8)}",
        "account_id": "A",
        "region": "Mainland China",
        "kinds": ["face"],
        "duration_s": 3600,
        "completed_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
    }
    return {**fields, **changes}


def value_of(**changes: Any) -> bytes:
    """A completion as a record's value."""
    return json.dumps(job(**changes)).encode()


def padded(size: int, **changes: Any) -> bytes:
    """A completion of exactly so many bytes; unknown extra fields do no harm."""
    bare = value_of(**changes, note="")
    return bare.replace(b'"note": ""', b'"note": "' + b"x" * (size - len(bare)) + b'"')


def lines(*jobs: dict[str, Any]) -> str:
    """Jobs as `meter submit` takes them."""
    return "".join(f"{json.dumps(each)}\n" for each in jobs)


def clean_environment(**settings: object) -> dict[str, str]:
    """This process's environment without its own meter, and some settings: `topic_prefix="x"` is METER_TOPIC_PREFIX."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("METER_")}
    # The jars are fetched once a machine, wherever its cache is.
    cache = {name: value for name, value in os.environ.items() if name == "METER_CACHE_DIR"}
    return inherited | cache | {f"METER_{name.upper()}": str(value) for name, value in settings.items()}


class Worker:
    """One `meter worker`, or another command that is one; its log in a file."""

    def __init__(
        self, log: Path, environment: dict[str, str], web_port: int, command: Sequence[str | Path] = (METER, "worker")
    ) -> None:
        self.log = log
        self.web_port = web_port
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def page(self, path: str) -> tuple[int, str]:
        """Status and body of one of its web pages; status 0 while there is none."""
        try:
            with urlopen(f"http://127.0.0.1:{self.web_port}{path}", timeout=5) as page:
                return page.status, page.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def open_partitions(self) -> list[int]:
        """The partitions that it meters by now."""
        assert self.process.poll() is None, self.said()
        status, body = self.page("/readyz")
        return json.loads(body)["open"] if status else []

    def metrics(self) -> dict[str, float]:
        """Its metrics, by name with labels."""
        rows = (row.rpartition(" ") for row in self.page("/metrics")[1].splitlines() if not row.startswith("#"))
        return {name: float(value) for name, _, value in rows}

    def ended(self, patience_s: float = PATIENCE_S) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(patience_s)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.terminate()
        return self.ended()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Meter:
    """One meter: a topic prefix and an app id of its own. Leaving the block kills the workers that are left."""

    def __init__(self, bootstrap_servers: str, root: Path, partitions: int = 2, **settings: object) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.root = root
        self.partitions = partitions
        self.app_id = f"test-{secrets.token_hex(4)}"
        self.prefix = f"{self.app_id}."
        self.workers: list[Worker] = []
        self._settings = settings

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.kill()

    @property
    def data_dir(self) -> Path:
        return self.root / "data"

    def topic(self, name: str) -> str:
        return self.prefix + name

    def environment(self, **settings: object) -> dict[str, str]:
        own = {
            "bootstrap_servers": self.bootstrap_servers,
            "topic_prefix": self.prefix,
            "app_id": self.app_id,
            "data_dir": self.data_dir,
        }
        return clean_environment(**(own | self._settings | settings))

    def run(self, *arguments: str, given: str | bytes = "", **settings: object) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, in this process: its imports are paid for once. `given` is its standard input."""
        out, err = io.StringIO(), io.StringIO()
        with tempfile.TemporaryFile() as stdin, pytest.MonkeyPatch.context() as here:
            stdin.write(given.encode() if isinstance(given, str) else given)
            stdin.seek(0)
            here.setattr(os, "environ", self.environment(**settings))
            here.setattr(sys, "stdin", stdin)
            here.chdir(self.root)
            with redirect_stdout(out), redirect_stderr(err):
                code = main(arguments)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def execute(self, *arguments: str, given: str = "", **settings: object) -> subprocess.CompletedProcess[str]:
        """The same by the real executable."""
        return subprocess.run(
            [METER, *arguments], env=self.environment(**settings), input=given, capture_output=True, check=False,
            text=True, timeout=PATIENCE_S, cwd=self.root,
        )  # fmt: skip

    def ask(self, *arguments: str, given: str | bytes = "", **settings: object) -> Any:
        """What a command answers with --json; it must do well."""
        done = self.run(*arguments, "--json", given=given, **settings)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def ask_lines(self, *arguments: str) -> list[Any]:
        """The same, of a command that answers with a line for each."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(row) for row in done.stdout.splitlines()]

    def create(self, *options: str) -> Self:
        """Create its topics."""
        done = self.run("topics", "create", "--partitions", str(self.partitions), *options)
        assert done.returncode == 0, done.stderr
        return self

    def worker(self, command: Sequence[str | Path] = (METER, "worker"), **settings: object) -> Worker:
        """Start a worker."""
        web_port = free_port()
        log = self.root / f"worker-{len(self.workers)}.log"
        worker = Worker(log, self.environment(web_port=web_port, **settings), web_port, command)
        self.workers.append(worker)
        return worker

    def open_worker(self, **settings: Any) -> Worker:
        """Start a worker and wait until it meters every partition."""
        worker = self.worker(**settings)
        wanted = list(range(self.partitions))
        until(lambda: worker.open_partitions() == wanted, "the worker to open its partitions")
        return worker

    def submit(self, *jobs: dict[str, Any]) -> None:
        """Submit jobs and wait until they are folded; a worker must run."""
        done = self.run("submit", "-", given=lines(*jobs))
        assert done.returncode == 0, done.stderr
        self.wait_folded()

    def wait_folded(self, patience_s: float = PATIENCE_S) -> None:
        until(self.all_folded, "everything to be folded", patience_s)

    def rows(self, topic: str) -> list[dict[str, Any]]:
        """The committed records of a topic, read as JSON, partition by partition."""
        with self.log() as log:
            return [row for partition in range(self.partitions) for row in log.rows(topic, partition)]

    def counts(self) -> dict[str, int]:
        """What became of the records, as the journal counts them."""
        names = ("read", "priced", "duplicate", "rejected", "rerouted", "commands")
        steps = [row for row in self.rows("meter.journal") if row["kind"] == "step"]
        return {name: sum(step[name] for step in steps) for name in names}

    def all_folded(self) -> bool:
        """Whether the journal covers every committed record of the inputs."""
        with self.log() as log:
            return not any(self._unfolded(log, partition) for partition in range(self.partitions))

    @staticmethod
    def _unfolded(log: Log, partition: int) -> bool:
        reached: dict[str, int] = {}
        for row in log.rows("meter.journal", partition):
            reached |= {part["topic"]: part["to"] for part in row.get("inputs", ())}
        # Not a comparison with the end offset: what follows the last record may be markers, which nobody folds.
        return any(True for topic in INPUTS for _ in log.records(topic, partition, reached.get(topic, 0)))

    def log(self) -> closing[Log]:
        """Its topics, to be read as they are now."""
        return closing(Log(self.bootstrap_servers, self.prefix))

    def verified(self) -> None:
        """`meter verify` finds no difference."""
        done = self.run("verify")
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        assert done.stdout.startswith("verify: no difference")

    def administer(self, question: Callable[[AdminClient], dict[Any, Any]]) -> list[Any]:
        """The answers to a question to an admin client, which lives until they are there."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        return [answer.result(30) for answer in question(admin).values()]

    def producer(self, **options: object) -> Producer:
        """A librdkafka producer, which nothing of the product's own code is in."""
        return Producer({"bootstrap.servers": self.bootstrap_servers, "acks": "all", "log_level": 0, **options})

    def produce(self, topic: str, *records: dict[str, Any]) -> None:
        """Records, as the arguments of `Producer.produce`, to one of its topics, acknowledged."""
        producer = self.producer(**{"message.max.bytes": 2 << 20})
        for record in records:
            producer.produce(self.topic(topic), **record)
        assert producer.flush(30) == 0
