"""Price books are dated data: which one gives the price of a day, and which are refused."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from meter import topics
from meter.models import PriceBookCommand
from meter.prices import BUILT_IN, PriceBook, PriceBooks, accept_book, earliest_effective_day
from meter.regions import ASIA_EUROPE, MAINLAND, NORTH_AMERICA, REGIONS, ZONE_OF, ZONES
from meter.rejects import Refusal
from meter.rules import Rules
from meter.step import Step
from tests.builders import HOUR_MS, NOON_MS, Partition, completion, price_book, priced_of, results_of

DAY_STARTS_MS = NOON_MS + 36 * HOUR_MS  # 2026-01-03 00:00 in Shanghai: from when on the test's book is in effect
PRICES: dict[str, Any] = price_book()["prices"]


def book(version: str, effective_from: str, price: str = "1") -> PriceBook:
    return PriceBook(version, effective_from, tuple((zone, Decimal(price)) for zone in ZONES))


def published(partition: Partition, command: Any, at: int = NOON_MS) -> tuple[str, str | None]:
    (result,) = results_of(partition.fold(command, topic=topics.COMMANDS, at=at))
    return result.status, result.code


def unit_prices(step: Step) -> list[tuple[str, str]]:
    return [(job.unit_price, job.price_version) for job in priced_of(step)]


def test_a_book_holds_from_its_day_on_and_changes_no_price_of_earlier_days() -> None:
    partition = Partition()
    assert published(partition, price_book()) == ("done", None)
    step = partition.fold(
        completion(job_id="before", completed_at="2026-01-02T23:59:59.999999+08:00"),
        completion(job_id="after", completed_at="2026-01-03T00:00:00+08:00"),
        at=DAY_STARTS_MS + HOUR_MS,
    )
    assert unit_prices(step) == [("0.28", "guide-2023-09-19"), ("0.56", "2026-01")]


def test_a_job_has_the_price_of_its_own_day_however_late_it_comes() -> None:
    partition = Partition()
    published(partition, price_book())
    late = partition.fold(completion(), at=NOON_MS + 30 * 24 * HOUR_MS)
    assert unit_prices(late) == [("0.28", "guide-2023-09-19")]


def test_each_zone_has_its_own_price() -> None:
    partition = Partition()
    published(partition, price_book())
    jobs = [completion(job_id=r.code, region=r.code, completed_at="2026-01-03T12:00:00+08:00") for r in REGIONS]
    priced = priced_of(partition.fold(*jobs, at=DAY_STARTS_MS + 13 * HOUR_MS))
    assert {job.region: job.unit_price for job in priced} == {r.code: PRICES[r.zone] for r in REGIONS}


def test_of_two_books_that_start_on_one_day_the_later_one_wins() -> None:
    books = PriceBooks((book("first", "2026-01-03"), book("second", "2026-01-03")))
    assert books.book_on("2026-01-03").version == "second"
    assert books.book_on("2026-01-02") is BUILT_IN


def test_a_book_published_later_for_an_earlier_day_does_not_outlast_the_one_after_it() -> None:
    books = PriceBooks((book("february", "2026-02-01"), book("january", "2026-01-15")))
    days = ["2026-01-14", "2026-01-15", "2026-01-31", "2026-02-01", "2099-01-01"]
    assert [books.book_on(day).version for day in days] == [
        BUILT_IN.version, "january", "january", "february", "february",
    ]  # fmt: skip


def test_the_built_in_book_has_no_start() -> None:
    assert PriceBooks().price_for("ap-tokyo", "0001-01-01").unit_price_text == "0.3136"


def test_an_unknown_region_is_an_error_and_has_no_default_price() -> None:
    with pytest.raises(KeyError):
        PriceBooks().price_for("Mars", "2026-01-01")


@pytest.mark.parametrize(
    ("record_time", "answer"),
    [
        (DAY_STARTS_MS - HOUR_MS, ("done", None)),
        (DAY_STARTS_MS - HOUR_MS + 1, ("refused", "effective_in_past")),
        (DAY_STARTS_MS, ("refused", "effective_in_past")),
        (DAY_STARTS_MS + 20 * 24 * HOUR_MS, ("refused", "effective_in_past")),
    ],
)
def test_a_book_needs_an_hours_notice_to_the_millisecond(record_time: int, answer: tuple[str, str | None]) -> None:
    assert published(Partition(), price_book(), at=record_time) == answer


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"prices": {zone: PRICES[zone] for zone in ZONES[1:]}}, "missing_zone"),
        ({"prices": {}}, "missing_zone"),
        ({"prices": PRICES | {"Mars": "1"}}, "unknown_zone"),
        ({"prices": PRICES | {"ap-tokyo": "1"}}, "unknown_zone"),
        *(
            ({"prices": PRICES | {MAINLAND: price}}, "bad_price")
            for price in (
                "-1",
                "+1",
                "",
                "1.",
                ".5",
                "1e1",
                "NaN",
                "Infinity",
                "0.123456789",
                "1000000",
                " 1",
                "\uff11",
            )
        ),
        ({"prices": PRICES | {MAINLAND: 0.28}}, "bad_fields"),
        ({"prices": PRICES | {MAINLAND: 1}}, "bad_fields"),
        ({"effective_from": "2026-02-30"}, "bad_fields"),
        ({"effective_from": "2026-1-3"}, "bad_fields"),
        ({"effective_from": "0000-01-01"}, "bad_fields"),
        ({"effective_from": "2026-01-03\n"}, "bad_fields"),
        ({"effective_from": "0001-01-01"}, "effective_in_past"),
        ({"version": BUILT_IN.version}, "version_exists"),
        ({"version": ""}, "bad_fields"),
        ({"version": "x" * 129}, "bad_fields"),
        ({"currency": "USD"}, "bad_fields"),
        ({"issued_at": "2026-01-01T12:00:00"}, "bad_fields"),
        ({"v": 2}, "bad_fields"),
    ],
)
def test_what_is_refused_of_a_book_changes_nothing(changes: dict[str, Any], code: str) -> None:
    partition = Partition()
    assert published(partition, price_book(**changes)) == ("refused", code)
    assert partition.state.terms.books.published == ()


@pytest.mark.parametrize("price", ["0", "0.00000001", "999999.99999999", "0.280"])
def test_the_edges_of_a_price_are_exact(price: str) -> None:
    partition = Partition()
    assert published(partition, price_book(prices=dict.fromkeys(ZONES, price))) == ("done", None)
    assert partition.state.terms.books.price_for("ap-tokyo", "2026-01-03").unit_price == Decimal(price)


def test_a_version_is_published_once() -> None:
    partition = Partition()
    assert published(partition, price_book()) == ("done", None)
    again = price_book(command_id="command-2", prices=dict.fromkeys(ZONES, "9"))
    assert published(partition, again) == ("refused", "version_exists")
    assert partition.state.terms.books.price_for("ap-guangzhou", "2026-01-03").unit_price == Decimal("0.56")


def test_a_version_is_published_once_within_a_step_too() -> None:
    step = Partition().fold(price_book(), price_book(command_id="command-2"), topic=topics.COMMANDS)
    assert [result.code for result in results_of(step)] == [None, "version_exists"]
    assert len(step.changes.terms.books.published) == 1


def test_a_book_of_a_step_is_in_force_for_the_jobs_of_that_step() -> None:
    partition = Partition()
    command = partition.prepare(price_book(), topic=topics.COMMANDS, at=DAY_STARTS_MS - HOUR_MS)
    assert command.changes.terms.books.book_on("2026-01-03").version == "2026-01"
    assert partition.state.terms.books.book_on("2026-01-03") is BUILT_IN  # until the step is committed


def test_the_zones_are_the_rows_of_the_guides_table() -> None:
    assert BUILT_IN.prices == (
        (MAINLAND, Decimal("0.28")), (NORTH_AMERICA, Decimal("0.308")), (ASIA_EUROPE, Decimal("0.3136")),
    )  # fmt: skip
    assert set(ZONE_OF.values()) == set(ZONES)
    for name in ASIA_EUROPE.split(", "):
        assert next(region for region in REGIONS if region.english == name).zone == ASIA_EUROPE


@pytest.mark.parametrize("time_zone", ["Asia/Shanghai", "America/New_York", "America/Sao_Paulo", "Pacific/Apia"])
def test_the_earliest_effective_day_is_accepted_and_the_day_before_is_not(time_zone: str) -> None:
    rules = Rules(meter_id="test", time_zone=time_zone)
    for hours in range(0, 24 * 366, 7):
        now = NOON_MS + hours * HOUR_MS + 1
        day = date.fromisoformat(earliest_effective_day(now, rules))
        answers = []
        for effective in (day, day - timedelta(days=1)):
            command = PriceBookCommand(**price_book(effective_from=effective.isoformat()))
            answers.append(accept_book(command, PriceBooks(), now, rules))
        assert isinstance(answers[0], PriceBook)
        assert isinstance(answers[1], Refusal)


def test_the_notice_ends_where_the_day_of_the_rules_time_zone_begins() -> None:
    rules = Rules(meter_id="test", time_zone="America/New_York")
    start = int(datetime(2026, 3, 9, tzinfo=ZoneInfo("America/New_York")).timestamp()) * 1000  # after 23 hours
    command = PriceBookCommand(**price_book(effective_from="2026-03-09"))
    assert isinstance(accept_book(command, PriceBooks(), start - HOUR_MS, rules), PriceBook)
    assert isinstance(accept_book(command, PriceBooks(), start - HOUR_MS + 1, rules), Refusal)
