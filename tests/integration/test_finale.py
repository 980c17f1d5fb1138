"""The end of `meter demo` on a terminal: the console, until a key is pressed. Run on a terminal of the test's own."""

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

from tests.integration.running import PATIENCE_S, Meter, job

SCRIPT = """
import asyncio, sys
from pathlib import Path
from streams.demo.finale import on_a_terminal, show_console
from streams.settings import load_settings
assert on_a_terminal()
asyncio.run(show_console(load_settings(), Path(sys.argv[1])))
"""


def read_until(terminal: int, pattern: str) -> str:
    """What is said on a terminal, until it fits."""
    said, deadline = "", time.monotonic() + PATIENCE_S
    while not re.search(pattern, said):
        assert time.monotonic() < deadline, said
        said += os.read(terminal, 4096).decode(errors="replace")
    return said


def test_the_console_is_open_until_a_key_is_pressed(kafka: str, tmp_path: Path) -> None:
    with Meter(kafka, tmp_path) as meter:
        meter.create().open_worker()
        meter.submit(job(account_id="C-1"))
        ours, theirs = pty.openpty()
        command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
        environment = {**os.environ, **meter.environment()}
        with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            try:
                address = re.search(r"(http://\S+)/console", read_until(ours, "Press any key to end"))
                assert address is not None
                with urlopen(f"{address[1]}/v1/accounts/C-1", timeout=PATIENCE_S) as answer:
                    assert b'"C-1"' in answer.read()
                assert process.poll() is None
                os.write(ours, b"q")
                assert process.wait(PATIENCE_S) == 0
            finally:
                if process.poll() is None:
                    process.terminate()
        os.close(ours)
