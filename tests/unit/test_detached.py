"""`meter up --detach`, `meter down` and `meter status` where nothing runs, or what ran is gone."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from streams.broker.state import start_time
from streams.settings import Settings
from streams.supervise.detached import down
from streams.supervise.only_one import holder, only_one
from streams.supervise.state import Part, UpState, read_state
from streams.supervise.status import look
from tests.integration.running import METER, clean_environment

NOTHING_RUNS = 5
ROOT = Path(__file__).parents[2]


def meter(root: Path, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(**{"data_dir": root / "data", "web_port": 0, "http_port": 0, **settings})
    return subprocess.run(
        [METER, *arguments], env=environment, cwd=root, capture_output=True, text=True, timeout=60, check=False
    )


def test_where_nothing_runs_down_is_done_and_status_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    settings = Settings(data_dir=tmp_path / "data")
    assert (down(settings, said.append), said) == (0, [f"`meter up` does not run on {tmp_path / 'data'}"])
    assert look(settings) == (NOTHING_RUNS, [])
    assert not (tmp_path / "data").exists()


def test_a_start_that_fails_gives_the_reason_and_the_code_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = meter(tmp_path, "up", "--detach", "--port", "0", http_port=port)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"meter: port {port} on 127.0.0.1, for the API, is taken by another program: METER_HTTP_PORT chooses another\n"
    )
    assert meter(tmp_path, "status").returncode == NOTHING_RUNS
    assert (tmp_path / "data" / "up.log").stat().st_mode & 0o077 == 0


def test_a_second_one_is_refused(tmp_path: Path) -> None:
    with only_one(tmp_path / "data", print):
        done = meter(tmp_path, "up", "--detach")
        assert (done.returncode, done.stdout) == (2, "")
        assert f"data already (process {os.getpid()}): `meter status` shows it\n" in done.stderr


def test_a_copy_of_a_data_directory_is_not_run_by_who_runs_the_first(tmp_path: Path) -> None:
    """`meter down` said that nothing runs there, and `meter up` that something does."""
    data_dir, copy = tmp_path / "data", tmp_path / "copy"
    with only_one(data_dir, print):
        UpState.mine("127.0.0.1:1", [Part("worker 0", 1, "1", "", None, True)]).write(data_dir)
        shutil.copytree(data_dir, copy)
        assert (holder(data_dir), holder(copy)) == (os.getpid(), None)
        assert look(Settings(data_dir=copy)) == (NOTHING_RUNS, [])
        with only_one(copy, print):
            assert holder(copy) == os.getpid()


def test_a_kafka_that_is_gone_is_missed(tmp_path: Path) -> None:
    with only_one(tmp_path, print):
        UpState.mine("127.0.0.1:1", []).write(tmp_path)
        assert [line.name for line in look(Settings(data_dir=tmp_path))[1]] == ["meter up"]
        UpState.mine("127.0.0.1:1", [Part("worker 0", 1, "1", "", None, True)]).write(tmp_path)
        code, lines = look(Settings(data_dir=tmp_path))
    assert code == 1
    assert [(line.name, line.state) for line in lines] == [("Kafka", "not running"), ("worker 0", "not running")]


HOLDS = """
import pathlib, sys, threading
from streams.supervise.only_one import only_one
with only_one(pathlib.Path(sys.argv[1]), print):
    print("holds", flush=True)
    threading.Event().wait()
"""


def test_one_that_was_stopped_by_ctrl_z_is_ended_at_once(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS, tmp_path], cwd=ROOT, stdout=subprocess.PIPE) as up:
        try:
            assert up.stdout is not None
            assert up.stdout.readline() == b"holds\n"
            up.send_signal(signal.SIGSTOP)
            os.waitpid(up.pid, os.WUNTRACED)
            assert down(Settings(data_dir=tmp_path), print) == 0
            assert up.wait(10) == -signal.SIGTERM
        finally:
            up.kill()


def test_a_process_that_has_the_id_of_one_that_ended_is_not_taken_for_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    other = subprocess.Popen(["sleep", "1000"])
    try:
        (tmp_path / "up.lock").write_text(f"{other.pid} 1")
        UpState(other.pid, "1", "127.0.0.1:1", (Part("worker 0", other.pid, "1", "", None, True),)).write(tmp_path)
        assert look(settings) == (NOTHING_RUNS, [])
        assert down(settings, lambda _: None) == 0
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("text", ["", "{}", "null", '{"pid": 1}', '{"pid": 1, "parts": [1]}', "\xff"])
def test_a_damaged_file_is_no_meter(tmp_path: Path, text: str) -> None:
    (tmp_path / "up.json").write_text(text, "latin-1")
    assert read_state(tmp_path) is None
    assert look(Settings(data_dir=tmp_path))[0] == NOTHING_RUNS


def test_what_is_not_there_or_does_not_answer_is_not_ready(tmp_path: Path) -> None:
    settings = Settings.model_validate({"data_dir": tmp_path, "bootstrap_servers": "127.0.0.1:1"})
    alive = start_time(os.getpid()) or ""
    with socket.create_server(("127.0.0.1", 0)) as server, only_one(tmp_path, print):
        silent = f"http://127.0.0.1:{server.getsockname()[1]}/readyz"
        parts = (
            Part("worker 0", os.getpid(), alive, "", None, True),
            Part("worker 1", os.getpid(), alive, "", None, False),
            Part("projector", os.getpid(), "1", "", None, True),
            Part("api", os.getpid(), alive, "", silent, True),
        )
        UpState.mine("127.0.0.1:1", parts).write(tmp_path)
        code, lines = look(settings)
        assert (code, [line.state for line in lines[1:]]) == (
            1,
            ["ready", "starting", "not running", "does not answer"],
        )
        UpState.mine("127.0.0.1:1", parts[:1]).write(tmp_path)
        assert look(settings)[0] == 0
        assert json.loads((tmp_path / "up.json").read_text())["parts"][0]["name"] == "worker 0"
