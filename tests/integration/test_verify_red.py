"""A proof that could not fail would prove nothing: forged outputs beside the real ones are found and named."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.running import COMPLETED, Meter, job
from tests.recount.recount import recount


@pytest.fixture(scope="module")
def meter(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    """A meter with a good proof, whose worker is stopped and whose outputs are then added to."""
    with Meter(kafka, tmp_path_factory.mktemp("red"), partitions=1) as meter:
        worker = meter.create().open_worker()
        meter.submit(job(job_id="a1"), job(account_id="B", job_id="b1"), job(account_id="B", job_id="b2"))
        meter.produce(COMPLETED, {"value": b"junk"})
        meter.wait_folded()
        assert worker.stop() == 0
        meter.verified()
        add_forgeries(meter)
        yield meter


def forge(meter: Meter, topic: str, key: str, **fields: Any) -> None:
    meter.produce(topic, {"key": key, "value": json.dumps(fields, separators=(",", ":")).encode()})


def add_forgeries(meter: Meter) -> None:
    forge(meter, "usage.priced", "A", **{**meter.rows("usage.priced")[0], "job_id": "forged", "account_id": "A"})
    forge(meter, "usage.rejected", "", **{**meter.rows("usage.rejected")[0], "message": "forged"})
    real = [row for row in meter.rows("usage.daily") if row["account_id"] == "B"][-1]
    key = json.dumps([real["account_id"], real["region"], real["day"]], separators=(",", ":"))
    forge(meter, "usage.daily", key, **{**real, "amount": "0.01"})
    total = {"v": 1, "account_id": "C", "region": "ap-tokyo", "day": "2026-01-01", "jobs": 1, "minutes": 1}
    forge(meter, "usage.daily", '["C","ap-tokyo","2026-01-01"]', **total, amount="0.31", currency="CNY")
    forge(meter, "meter.state", '["account","B"]', forged=True)
    forge(meter, "meter.state", '["total","C","ap-tokyo","2026-01-01"]', forged=True)


def red(meter: Meter, *options: str) -> list[str]:
    """The differences that are printed."""
    done = meter.run("verify", *options)
    found = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (1, f"meter: verify: {len(found)} differences\n")
    return found


@pytest.fixture(scope="module")
def differences(meter: Meter) -> list[str]:
    return red(meter)


def only(differences: list[str], start: str) -> str:
    (found,) = [difference for difference in differences if difference.startswith(start)]
    return found


def test_every_forgery_is_one_difference(differences: list[str]) -> None:
    assert len(differences) == 7  # those of the state together are a torn step as well


@pytest.mark.parametrize(
    ("topic", "offset", "mark"),
    [
        # After 3 jobs, and after 1 refusal, each followed by the mark of its transaction: two steps at the least.
        ("usage.priced", 4, '"job_id":"forged"'),
        ("usage.rejected", 2, '"message":"forged"'),
    ],
)
def test_a_record_that_no_step_put_out_is_named_with_its_place(
    meter: Meter, differences: list[str], topic: str, offset: int, mark: str
) -> None:
    found = only(differences, f"{meter.topic(topic)}[0]@")
    assert int(found.partition("@")[2].partition(":")[0]) >= offset
    assert mark in found
    assert found.endswith("the log knows nothing of it")


def test_a_total_that_was_made_smaller_is_shown_beside_the_true_one(meter: Meter, differences: list[str]) -> None:
    (found,) = [line for line in differences if line.startswith(meter.topic("usage.daily")) and '"B"' in line]
    assert found.index('"amount":"0.01"') < found.index("the log says") < found.index('"amount":"33.60"')


def test_a_total_of_somebody_without_usage_is_found(meter: Meter, differences: list[str]) -> None:
    (found,) = [line for line in differences if line.startswith(meter.topic("usage.daily")) and '"C"' in line]
    assert found.endswith("the log knows nothing of it")


def test_a_state_that_does_not_follow_from_the_log_is_found(meter: Meter, differences: list[str]) -> None:
    """A worker would go on from it; nothing of it shows in what was put out so far."""
    changed = only(differences, f'{meter.topic("meter.state")}[0] ["account","B"]: {{"forged":true}}, the log says [')
    added = only(differences, f'{meter.topic("meter.state")}[0] ["total","C",')
    assert changed != added
    assert added.endswith("the log knows nothing of it")


def test_differences_of_one_account_or_day_alone(meter: Meter, differences: list[str]) -> None:
    of_c = [line for line in differences if '"C"' in line]
    # What cannot be told to be another's is shown: the forged refusal names no account and no day.
    nameless = {only(differences, f"{meter.topic(name)}") for name in ("usage.rejected[0]@", "meter.state[0]: ")}
    of_no_day = only(differences, f'{meter.topic("meter.state")}[0] ["account","B"]')
    assert set(red(meter, "--day", "2026-01-01")) == {*of_c, *nameless, of_no_day}
    assert set(red(meter, "--account", "C")) == {*of_c, *nameless}


def test_differences_as_json(meter: Meter, differences: list[str]) -> None:
    done = meter.run("verify", "--json")
    assert done.returncode == 1
    assert set(json.loads(done.stdout)["differences"]) == set(differences)


def test_the_independent_recount_finds_them_too(meter: Meter) -> None:
    assert recount(meter.bootstrap_servers, meter.prefix).differences >= 3
