"""The guide's own example, from the command line to the proof."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import Meter, clean_environment, job, lines

NEW_YEAR = job(job_id="job-1", completed_at="2019-01-01T12:00:00+08:00")


@pytest.fixture(scope="module")
def meter(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    """A meter of 2019 that has metered one hour of user A in mainland China."""
    with Meter(kafka, tmp_path_factory.mktemp("guide")) as meter:
        meter.create("--clock", "simulated").open_worker()
        assert meter.execute("submit", "-", given=lines(NEW_YEAR)).returncode == 0
        meter.wait_folded()
        yield meter


def test_an_hour_in_mainland_china_is_60_minutes_and_16_80_cny(meter: Meter) -> None:
    (total,) = meter.ask("totals")["totals"]
    assert total == {
        "v": 1, "account_id": "A", "region": "Mainland China", "day": "2019-01-01",
        "jobs": 1, "minutes": 60, "amount": "16.80", "currency": "CNY",
    }  # fmt: skip
    shown = meter.execute("totals").stdout.splitlines()
    assert [row.split() for row in shown if row.startswith("2019-01-01")] == [
        ["2019-01-01", "A", "Mainland", "China", "1", "60", "16.80"]
    ]
    assert shown[-1].split() == ["sum", "1", "60", "16.80", "CNY"]


def test_the_priced_job_says_from_which_price_and_record_it_comes(meter: Meter) -> None:
    (priced,) = meter.rows("usage.priced")
    assert (priced["unit_price"], priced["amount"], priced["price_version"]) == ("0.28", "16.80", "guide-2023-09-19")
    assert priced["source"].items() >= {"topic": "recognition.jobs.completed", "offset": 0}.items()


@pytest.mark.parametrize("online", [True, False])
def test_a_quote_gives_the_same_with_and_without_a_kafka(meter: Meter, tmp_path: Path, online: bool) -> None:
    meter = meter if online else Unconnected(tmp_path)
    quoted = meter.execute("quote", "--region", "Mainland China", "--duration", "3600")
    assert (quoted.returncode, quoted.stderr) == (0, "")
    fields = dict(row.split(maxsplit=1) for row in quoted.stdout.splitlines() if row.startswith(("minutes", "amount")))
    assert fields == {"minutes": "60", "amount": "16.80 CNY"}
    assert list(tmp_path.iterdir()) == []  # no broker was started for it


def test_the_proof_finds_no_difference(meter: Meter) -> None:
    done = meter.execute("verify")
    assert (done.returncode, done.stdout) == (0, "verify: no difference (1 record in 1 step)\n")


class Unconnected(Meter):
    """Commands in a new directory, with nothing configured."""

    def __init__(self, root: Path) -> None:
        super().__init__("", root)

    def environment(self, **settings: object) -> dict[str, str]:
        return clean_environment(data_dir=self.data_dir, **settings)
