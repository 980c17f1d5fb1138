"""`meter up`: everything on this machine until Ctrl-C; what exits is started again, and nothing is left behind."""

import json
import os
import queue
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from streams.broker import EmbeddedBroker, running_broker
from streams.broker.state import start_time
from streams.errors import SettingError
from streams.settings import Settings
from streams.supervise.only_one import holder, only_one
from streams.supervise.processes import Ended, Kafka
from tests.integration.running import METER, PATIENCE_S, Meter, clean_environment, heeds_ctrl_c, job, lines, until

NOTHING_RUNS = 5
#: The workers' patience, and some for Kafka.
STOPPED_WITHIN_S = 45


class Up:
    """A running `meter up`, and the processes that it has told of."""

    def __init__(self, root: Path, command: Path = METER) -> None:
        self.root = root
        self.command = command
        self.log = root / "up.log"
        self.environment = clean_environment(data_dir=root / "data", web_port=0, http_port=0)

    def start(self) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [self.command, "up", "--workers", "2", "--port", "0"], env=self.environment, cwd=self.root,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def workers(self, number: int) -> list[int]:
        """The processes of a worker, one start after another."""
        return [int(pid) for pid in re.findall(rf"^worker {number}   process (\d+)", self.said(), re.MULTILINE)]

    def meter(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Another command on the same data directory finds the broker."""
        return subprocess.run(
            [self.command, *arguments], env=self.environment, cwd=self.root, input=given, capture_output=True,
            text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip

    def family(self) -> set[psutil.Process]:
        return set(psutil.Process(self.process.pid).children(recursive=True))


def page(url: str) -> str:
    """What a page says; empty while it cannot be had."""
    try:
        with urlopen(url, timeout=5) as answer:
            text: str = answer.read().decode()
    except OSError:
        return ""
    return text


def alive(processes: set[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; one that waits for its parent to look at it has ended."""
    return [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    up = Up(tmp_path)
    up.start()
    yield up
    up.kill()


def test_a_killed_worker_is_started_again_and_ctrl_c_ends_them_all(up: Up) -> None:
    until(lambda: "Ctrl-C stops it all" in up.said(), "everything to be started")
    until(lambda: up.said().count("partition open") >= 8, "8 partitions to be open")
    assert up.meter("submit", "-", given=lines(*(job(account_id=each) for each in "ABCDEFGH"))).returncode == 0
    until(lambda: '"jobs": 8' in up.meter("totals", "--json").stdout, "the jobs to be metered")

    (first,) = up.workers(1)
    os.kill(first, signal.SIGKILL)
    until(lambda: len(up.workers(1)) == 2, "the killed worker to be started again")
    assert "worker 1 ended by SIGKILL; starting it again in 1 s" in up.said()
    assert len(up.workers(0)) == 1
    assert "Starting..." not in up.said()  # what Faust's services say of themselves

    address = running_broker(up.root / "data")
    assert address is not None
    family = up.family()
    assert {process.pid for process in family} >= {address.pid, *up.workers(0), up.workers(1)[-1]}
    asked = time.monotonic()
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(PATIENCE_S) == 0
    assert time.monotonic() - asked < STOPPED_WITHIN_S
    assert alive(family) == []
    assert up.said().index("stopping the workers") < up.said().index("stopping Kafka")
    assert "Traceback" not in up.said()


def test_the_console_shows_what_was_submitted(up: Up) -> None:
    until(lambda: "Ctrl-C stops it all" in up.said(), "everything to be started")
    found = re.search(r"^api +process \d+, console at (http://\S+)/console$", up.said(), re.MULTILINE)
    assert found is not None
    account = found[1] + "/v1/accounts/C-7/usage?from=2020-01-01&to=2100-01-01"
    until(lambda: "<html" in page(f"{found[1]}/console"), "the console to open")
    assert up.meter("submit", "-", given=lines(job(account_id="C-7"))).returncode == 0
    until(lambda: '"jobs":1' in page(account).replace(" ", ""), "the job to be shown")
    assert "console    not started" not in up.said()


def test_in_the_background_it_is_looked_at_killed_and_stopped(tmp_path: Path, installed: Path) -> None:
    """By the `meter` of the built wheel, which has everything that a whole meter takes."""
    up = Up(tmp_path, installed / "meter")
    done = up.meter("up", "--workers", "2", "--port", "0", "--detach")
    family: set[psutil.Process] = set()
    try:
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        *started, last = done.stdout.splitlines()
        names = ["Kafka", "topics", "worker", "worker", "projector", "webhooks", "api"]
        assert [line.split()[0] for line in started] == names
        assert last.startswith(f"ready; its log is {tmp_path / 'data' / 'up.log'}")
        said = json.loads(up.meter("status", "--json").stdout)
        assert said["ready"] is True
        assert {part["state"] for part in said["parts"]} == {"ready"}
        assert up.meter("status").returncode == 0
        assert up.meter("submit", "-", given=lines(job())).returncode == 0  # ready means that it meters
        for again in (["up"], ["up", "--detach"]):
            second = up.meter(*again)
            assert (second.returncode, second.stdout, second.stderr.count("\n")) == (2, "", 1)
            assert f"data already (process {holder(tmp_path / 'data')})" in second.stderr

        family = {psutil.Process(part["pid"]) for part in said["parts"]}
        worker = next(part["pid"] for part in said["parts"] if part["name"] == "worker 1")
        os.kill(worker, signal.SIGKILL)
        until(lambda: up.meter("status").returncode == 1, "the loss to be seen")
        until(lambda: up.meter("status").returncode == 0, "the worker to be back")

        family |= {psutil.Process(part["pid"]) for part in json.loads(up.meter("status", "--json").stdout)["parts"]}
        process = psutil.Process(holder(tmp_path / "data"))
        process.kill()  # and what it has started ends by itself
        stopped = up.meter("down")
        assert (stopped.returncode, alive(family)) == (0, []), stopped.stderr
        assert up.meter("status").returncode == NOTHING_RUNS
        assert up.meter("down").stdout == f"`meter up` does not run on {tmp_path / 'data'}\n"
        assert not (tmp_path / "data" / "up.json").exists()
    finally:
        up.meter("down")
        assert alive(family) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, 1)], ids=["Ctrl-C", "a crash"])
def test_one_that_does_not_come_to_be_ready_leaves_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C for the command that waits; a crash of what it waits for."""
    up = Up(tmp_path)
    waiting = subprocess.Popen(
        [METER, "up", "--port", "0", "--detach"], env=up.environment, cwd=tmp_path, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
        preexec_fn=heeds_ctrl_c,  # noqa: PLW1509 - it only sets how a signal is taken
    )  # fmt: skip
    until((tmp_path / "data" / "kafka" / "server.properties").exists, "the start to begin")
    starting = psutil.Process(holder(tmp_path / "data"))
    family = {starting, *starting.children(recursive=True)}
    (waiting if number is signal.SIGINT else starting).send_signal(number)
    _, said = waiting.communicate(timeout=PATIENCE_S)
    assert waiting.returncode == code, said
    assert "Traceback" not in said
    if code == 1:
        assert said.splitlines()[-1].startswith("meter: it did not start, and nothing is left running; its log is ")
    until(lambda: not alive(family), "all to end")
    assert up.meter("down").returncode == 0
    assert up.meter("status").returncode == NOTHING_RUNS


def test_on_a_configured_kafka_it_creates_no_topics(kafka: str, tmp_path: Path) -> None:
    with Meter(kafka, tmp_path) as meter:
        done = meter.execute("up")
        assert (done.returncode, done.stderr.count("\n")) == (3, 1)
        assert "is missing: run `meter topics create`" in done.stderr


def test_ports_that_do_not_exist_are_refused_before_anything_starts(tmp_path: Path) -> None:
    with Meter("127.0.0.1:1", tmp_path, web_port=65535) as meter:
        done = meter.execute("up", "--workers", "2")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith("meter: METER_WEB_PORT: 2 workers and the projector need ports 65535 and up")


def test_a_kafka_that_it_found_is_replaced_on_the_same_port_when_its_owner_ends(tmp_path: Path) -> None:
    said: list[str] = []
    ends: queue.SimpleQueue[Ended] = queue.SimpleQueue()
    kafka = Kafka(Settings(data_dir=tmp_path), 0, said.append)
    with EmbeddedBroker(tmp_path, port=0) as found:
        servers = kafka.start(ends.put).bootstrap_servers
    assert servers == found.bootstrap_servers
    assert ends.get(timeout=PATIENCE_S) == (kafka, None)

    with EmbeddedBroker(tmp_path, port=0) as quicker:  # a command was first to start one again, anywhere
        kafka.restart(ends.put)
        assert f"{quicker.bootstrap_servers} (process {quicker.pid})" in said[-1]
        assert f"another command's: {servers} comes back when that has ended" in said[-1]
    assert ends.get(timeout=PATIENCE_S) == (kafka, None)
    kafka.restart(ends.put)
    try:
        own = running_broker(tmp_path)
        assert own is not None
        assert own.bootstrap_servers == servers
        assert own.pid in {each.pid for each in psutil.Process().children()}
    finally:
        kafka.stop()


def test_what_a_killed_one_has_left_is_waited_for(tmp_path: Path) -> None:
    left = subprocess.Popen(["sleep", "1000"])
    with only_one(tmp_path, print) as lock:
        heir = subprocess.Popen(["sleep", "1000"], pass_fds=(lock,))
    (tmp_path / "up.lock").write_text(f"{left.pid} {start_time(left.pid)}")
    with pytest.raises(SettingError, match=f"process {left.pid}"), only_one(tmp_path, print):
        pass
    left.kill()
    left.wait()

    def say(line: str) -> None:
        assert "a killed `meter up` has left" in line
        heir.kill()
        heir.wait()

    with only_one(tmp_path, say):
        assert heir.returncode == -signal.SIGKILL
