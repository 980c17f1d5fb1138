"""Publishing a price book, and creating a meter twice."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from meter.regions import ZONES
from tests.integration.running import Meter, job, until

TODAY = datetime.now(ZoneInfo("Asia/Shanghai")).date()
NEXT_WEEK = (TODAY + timedelta(days=7)).isoformat()
YESTERDAY = (TODAY - timedelta(days=1)).isoformat()


def book(version: str, effective_from: str = NEXT_WEEK, **changes: object) -> str:
    prices = dict(zip(ZONES, ("0.25", "0.30", "0.31"), strict=True))
    return json.dumps({"version": version, "effective_from": effective_from, "prices": prices, **changes})


class TestPrices:
    @pytest.fixture(scope="module")
    @staticmethod
    def meter(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
        """A meter with a book that is in effect from next week on, its command sent with the id `first`."""
        with Meter(kafka, tmp_path_factory.mktemp("prices"), partitions=3) as meter:
            meter.create().open_worker()
            done = meter.run("prices", "publish", "-", "--command-id", "first", given=book("2027"))
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout == f"done on 3 partitions: 2027 from {NEXT_WEEK} on\n"
            yield meter

    def test_every_partition_answers_and_repeats_its_answer_to_the_same_id(self, meter: Meter) -> None:
        answers = meter.ask("prices", "publish", "-", "--command-id", "first", given=book("2027"))
        assert [(answer["partition"], answer["status"]) for answer in answers] == [(p, "done") for p in range(3)]
        assert len(meter.ask("prices", "show")["books"]) == 2

    def test_the_book_is_in_effect_from_its_day_on(self, meter: Meter) -> None:
        for day, version in ((TODAY.isoformat(), "guide-2023-09-19"), (NEXT_WEEK, "2027")):
            assert meter.ask("prices", "show", "--day", day)["in_effect"] == version
        hour = ("quote", "--region", "Mainland China", "--duration", "3600")
        assert meter.ask(*hour)["amount"] == "16.80"
        quoted = meter.ask(*hour, "--day", NEXT_WEEK)
        assert (quoted["amount"], quoted["price_version"]) == ("15.00", "2027")
        rows = [row.split() for row in meter.run("prices", "show", "--day", NEXT_WEEK).stdout.splitlines()]
        at = rows.index(["*", "2027", NEXT_WEEK, *ZONES[0].split(), "0.25"])
        assert [row[-1] for row in rows[at : at + 3]] == ["0.25", "0.30", "0.31"]

    def test_jobs_of_today_go_on_at_the_old_price(self, meter: Meter) -> None:
        meter.submit(job())
        (priced,) = meter.rows("usage.priced")
        assert (priced["unit_price"], priced["price_version"]) == ("0.28", "guide-2023-09-19")

    @pytest.mark.parametrize(
        ("text", "code", "message"),
        [
            (book("past", YESTERDAY), 1, "not sent: effective_in_past"),
            (book("2027"), 1, "not sent: version_exists"),
            (book("zones", prices={}), 1, "not sent: missing_zone"),
            (book("price", prices=dict.fromkeys(ZONES, "-1")), 1, "not sent: bad_price"),
            (book("float", prices=dict.fromkeys(ZONES, 0.1)), 2, "price book: prices.Mainland China"),
            ("[]", 2, "a price book is one JSON object"),
            ("{", 2, "standard input: not JSON"),
        ],
    )
    def test_a_book_that_cannot_be_taken_is_not_sent(self, meter: Meter, text: str, code: int, message: str) -> None:
        done = meter.run("prices", "publish", "-", given=text)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
        assert message in done.stderr

    def test_commands_that_others_send_are_answered_whatever_they_are(self, meter: Meter) -> None:
        late = json.loads(book("late", YESTERDAY)) | {"command_id": "late", "type": "price_book"}
        late["issued_at"] = datetime.now(ZoneInfo("Asia/Shanghai")).isoformat()
        values = (json.dumps(late).encode(), b"\xff", b'{"command_id":"x","type":"dance"}', None)
        meter.produce("meter.commands", *({"value": value, "partition": 0} for value in values))
        meter.wait_folded()
        answers = [row for row in meter.rows("meter.command-results") if row["command_id"] != "first"]
        assert [(row["command_id"], row["status"], row["code"]) for row in answers] == [
            ("late", "refused", "effective_in_past"),
            ("", "refused", "bad_fields"),
            ("x", "refused", "unknown_command"),
            ("", "refused", "bad_fields"),
        ]
        meter.verified()

    def test_without_a_worker_the_command_says_who_did_not_answer(self, kafka: str, tmp_path: Path) -> None:
        with Meter(kafka, tmp_path) as meter:
            meter.create()
            done = meter.run("prices", "publish", "-", "--timeout", "1", given=book("2027"))
            assert (done.returncode, done.stderr.count("\n")) == (1, 1)
            assert "no answer from partitions 0, 1 within 1 s; does a worker run?" in done.stderr


class TestTopics:
    @pytest.fixture(scope="module")
    @staticmethod
    def meter(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
        with Meter(kafka, tmp_path_factory.mktemp("topics"), partitions=3) as meter:
            yield meter.create("--time-zone", "Europe/Berlin")

    def test_created_again_it_stays_as_it_is(self, meter: Meter) -> None:
        before = meter.ask("topics", "check")
        assert meter.ask("topics", "create") == before
        assert meter.ask("topics", "create", "--partitions", "3", "--time-zone", "Europe/Berlin") == before
        assert before.items() >= {"partitions": 3, "time_zone": "Europe/Berlin", "clock": "broker"}.items()
        assert len(meter.rows("meter.journal")) == 3

    @pytest.mark.parametrize(
        ("option", "value"),
        [("--partitions", "4"), ("--clock", "simulated"), ("--time-zone", "UTC"), ("--horizon-days", "36")],
    )
    def test_other_rules_are_refused(self, meter: Meter, option: str, value: str) -> None:
        done = meter.run("topics", "create", option, value)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
        assert f"this meter was created with {option} " in done.stderr

    @pytest.mark.parametrize(
        ("option", "value"),
        [("--partitions", "0"), ("--clock", "sundial"), ("--time-zone", "Moon/Base"), ("--horizon-days", "x")],
    )
    def test_rules_that_make_no_sense(self, meter: Meter, option: str, value: str) -> None:
        done = meter.run("topics", "create", option, value)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert option in done.stderr

    def test_a_missing_topic_is_made_again_where_that_loses_nothing(self, kafka: str, tmp_path: Path) -> None:
        with Meter(kafka, tmp_path) as meter:
            name = meter.create().topic("usage.rejected")
            meter.administer(lambda admin: admin.delete_topics([name]))
            # It is gone once the broker's metadata say so, a moment after the answer.
            until(lambda: meter.run("topics", "check").returncode == 3, "the topic to be gone")
            meter.create()
            assert meter.run("topics", "check").returncode == 0
