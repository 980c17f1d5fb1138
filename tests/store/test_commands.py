"""Commands that read the store, for people: what they say before there is anything, and times in the billing zone."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.running import Meter

REFUSES = 3


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """An empty store."""
    return {"database_url": f"sqlite:///{tmp_path}/store.sqlite"}


def test_before_anything_was_projected_status_says_so_and_what_to_do(meter: Meter, settings: dict[str, Any]) -> None:
    line = "yet: run `meter projector`\n"
    empty = meter.run("projector", "status", **settings)
    assert (empty.returncode, empty.stdout, empty.stderr.count("\n")) == (REFUSES, "", 1)
    assert "nothing was projected into sqlite:///" in empty.stderr
    assert empty.stderr.endswith(line)
    assert meter.run("projector", "migrate", **settings).returncode == 0
    made = meter.run("projector", "status", **settings)
    assert (made.returncode, made.stdout) == (0, f"nothing was projected {line}")


def test_times_are_those_of_the_billing_zone_and_what_was_put_right_is_marked(
    meter: Meter, settings: dict[str, Any]
) -> None:
    without = meter.run("rejects", "list", "--account", "B", **settings).stdout
    assert "  not known  " in without
    assert meter.run("projector", "rebuild", **settings).returncode == 0
    status = meter.run("projector", "status", **settings).stdout
    assert "2019-01-03T18:00:00.000+08:00" in status
    assert "+00:00" not in status

    heading, _, row = meter.run("rejects", "list", "--account", "B", **settings).stdout.splitlines()
    assert "put right" in heading
    assert row[heading.index("put right") :].startswith("yes ")
    assert "2019-01-01T12:30:00.000+08:00   unknown_kind   B         put right" in row
    (conflict,) = meter.run("rejects", "list", "--code", "conflict", **settings).stdout.splitlines()[2:]
    assert "yes" not in conflict[heading.index("put right") :]
