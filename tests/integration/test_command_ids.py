"""A command is its id and its content, by whatever door it comes: on a real Kafka, with workers that die."""

import asyncio
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from meter.regions import ZONES
from streams.commands.placing import place
from streams.commands.writing import new_command
from streams.kafka.rights import ORDERER
from streams.kafka.topics import check
from streams.settings import Settings
from tests.integration.money import InProcess, told
from tests.integration.running import Meter
from tests.recount.placement import owner
from tests.recount.recount import recount

CHINA = ZoneInfo("Asia/Shanghai")
NEXT_WEEK = (datetime.now(CHINA).date() + timedelta(days=7)).isoformat()
PARTITIONS = 2
HOME = owner("A", PARTITIONS)


@pytest.fixture(scope="module")
def meter(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    """A meter with account A, whose whole log agrees with the recount in the end."""
    with InProcess(kafka, tmp_path_factory.mktemp("ids"), partitions=PARTITIONS, instance_id="worker") as meter:
        meter.create().open_worker()
        told(meter, "open", "A", "--command-id", "open-a")
        yield meter
        meter.wait_folded()
        report = recount(kafka, meter.prefix)
        assert report.first == []
        meter.verified()


def top_up(command_id: str, amount: str, **changes: Any) -> dict[str, Any]:
    issued_at = datetime.now(CHINA).isoformat()
    fields = {"command_id": command_id, "type": "top_up", "issued_at": issued_at, "account_id": "A", "amount": amount}
    return fields | changes


def send(meter: Meter, *commands: dict[str, Any], partitions: tuple[int, ...] = (HOME,)) -> list[dict[str, Any]]:
    """Commands from a producer that knows nothing of the meter's own code; their answers, in order."""
    known = len(meter.rows("meter.command-results"))
    for command in commands:
        value = json.dumps(command).encode()
        meter.produce("meter.commands", *({"value": value, "partition": partition} for partition in partitions))
    meter.wait_folded()
    rows = meter.rows("meter.command-results")
    assert len(rows) == known + len(commands) * len(partitions)
    ids = {command["command_id"] for command in commands}
    return [row for row in rows if row["command_id"] in ids]


def paid(meter: Meter, command_id: str) -> list[str]:
    """What the ledger has of a command."""
    entries = [row for row in meter.rows("billing.ledger") if row["reference"] == command_id]
    return [entry["postings"][0]["amount"] for entry in entries]


def test_a_producer_of_its_own_is_told_done_of_what_was_done_alone(meter: Meter) -> None:
    answers = send(meter, top_up("own-1", "5"), top_up("own-1", "500"), top_up("own-1", "5.00", note="again"))
    assert [(row["status"], row.get("code")) for row in answers] == [
        ("done", None), ("refused", "id_reused"), ("done", None),
    ]  # fmt: skip
    assert answers[0]["digest"] == answers[2]["digest"] != answers[1]["digest"]
    assert paid(meter, "own-1") == ["5.00"]


def test_ids_are_held_to_their_content_by_the_worker_that_comes_after(meter: Meter) -> None:
    first = send(meter, top_up("kill-1", "1.00"), top_up("kill-2", "0"))
    meter.workers[-1].kill()
    meter.open_worker()
    again = send(meter, top_up("kill-1", "1"), top_up("kill-2", "0"), top_up("kill-1", "2"), top_up("kill-2", "2"))
    codes = [(row["command_id"], row.get("code")) for row in again[len(first) :]]
    assert codes == [("kill-1", None), ("kill-2", "bad_amount"), ("kill-1", "id_reused"), ("kill-2", "id_reused")]
    for before, after in zip(first, again[len(first) :], strict=False):
        assert before | {"source": None} == after | {"source": None}
    assert (paid(meter, "kill-1"), paid(meter, "kill-2")) == (["1.00"], [])


def test_of_doors_that_race_with_one_id_one_is_told_done(meter: Meter) -> None:
    """Eight at the same moment, each with an amount of its own: nobody can have looked before."""
    settings = Settings(
        bootstrap_servers=meter.bootstrap_servers, topic_prefix=meter.prefix, app_id=meter.app_id, data_dir=meter.root
    )

    async def race() -> dict[str, str]:
        rules = await check(settings, ORDERER)
        now_ms = int(datetime.now(CHINA).timestamp() * 1000)

        async def pay(amount: str) -> str:
            command = new_command("top_up", rules, now_ms, "race-1", account_id="A", amount=amount)
            outcome = await place(settings, rules, command, at_ms=now_ms, timeout_s=30)
            return outcome.verdict.code or outcome.verdict.outcome

        amounts = [f"{number}.00" for number in range(1, 9)]
        return dict(zip(amounts, await asyncio.gather(*map(pay, amounts)), strict=True))

    results = asyncio.run(race())
    assert sorted(results.values()) == ["done", *["id_reused"] * 7]
    assert paid(meter, "race-1") == [amount for amount, result in results.items() if result == "done"]


class TestPriceBooks:
    @staticmethod
    def book(version: str, price: str = "0.3", **changes: Any) -> dict[str, Any]:
        return {"version": version, "effective_from": NEXT_WEEK, "prices": dict.fromkeys(ZONES, price)} | changes

    def test_a_book_is_the_same_however_its_prices_are_written(self, meter: Meter) -> None:
        for price in ("0.3", "0.300"):
            given = json.dumps(self.book("b-1", price))
            done = meter.run("prices", "publish", "-", "--command-id", "book-1", given=given)
            assert (done.returncode, done.stderr) == (0, "")
        assert len(meter.ask("prices", "show")["books"]) == 2

    @pytest.mark.parametrize(
        ("command_id", "version", "first"), [("book-1", "b-2", "price_book"), ("open-a", "b-3", "open_account of A")]
    )
    def test_the_id_of_another_command_is_refused_before_partitions_can_disagree(
        self, meter: Meter, command_id: str, version: str, first: str
    ) -> None:
        sent = len(meter.rows("meter.commands"))
        given = json.dumps(self.book(version))
        done = meter.run("prices", "publish", "-", "--command-id", command_id, given=given)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"the id {command_id!r} was used for another command, {first} at " in done.stderr
        assert len(meter.rows("meter.commands")) == sent

    def test_whoever_writes_to_the_topic_is_refused_by_every_partition(self, meter: Meter) -> None:
        command = {"command_id": "book-1", "type": "price_book", "issued_at": datetime.now(CHINA).isoformat()}
        answers = send(meter, command | self.book("b-1", "0.4"), partitions=tuple(range(PARTITIONS)))
        assert [row.get("code") for row in answers].count("id_reused") == PARTITIONS
        assert [book["version"] for book in meter.ask("prices", "show")["books"]][1:] == ["b-1"]
