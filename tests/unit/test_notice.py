"""The notice of what begins on a day: the same at every door, and looked at before anything is sent."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from meter.prices import MARGIN_MS
from meter.regions import ZONES
from meter.rules import Rules
from streams.commands import placing
from streams.commands.notice import too_early
from streams.commands.verdict import Verdict, is_final, together
from streams.commands.writing import Command, new_command
from streams.errors import MeterError
from streams.http.callers import Caller, Role
from streams.http.placing import Order, _write_down, note_outcome
from streams.settings import Settings
from streams.store.database import open_engine, writing
from streams.store.kept_tables import audit_entry
from streams.store.migrate import migrate
from tests.unit.billing import ms

RULES = Rules(meter_id="test", partitions=2)
EDGE_MS = ms("2019-01-03 00:00") - 3_600_000 - MARGIN_MS
CALLER = Caller(Role.OPERATOR, None, None)


def command(kind: str, at_ms: int = EDGE_MS, command_id: str = "1") -> Command:
    others: dict[str, object] = {"account_id": "A"}
    if kind == "price_book":
        others = {"version": "v2", "prices": dict.fromkeys(ZONES, "0.10")}
    return new_command(kind, RULES, at_ms, command_id, effective_from="2019-01-03", **others)


@pytest.mark.parametrize("kind", ["price_book", "contract"])
def test_books_and_contracts_have_one_margin(kind: str) -> None:
    assert too_early(command(kind), RULES, EDGE_MS) is None
    early = too_early(command(kind), RULES, EDGE_MS + 1)
    assert early is not None
    assert early.code == "effective_in_past"
    assert early.message == "2019-01-03 begins less than 70 minutes after the command; the earliest day is 2019-01-04"
    assert too_early(new_command("top_up", RULES, 0, amount="1.00"), RULES, 0) is None
    assert too_early({**command(kind), "effective_from": "2019-02-30"}, RULES, 0) is None  # the meter says what it is


@pytest.mark.parametrize("kind", ["price_book", "contract"])
async def test_the_command_line_sends_nothing_that_begins_too_soon(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = Settings(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(MeterError, match="refused: effective_in_past: 2019-01-03 begins less than 70 minutes"):
        await placing.place(nowhere, RULES, command(kind), at_ms=EDGE_MS + 1, timeout_s=1)


def test_the_api_refuses_what_begins_too_soon_and_repeats_what_was_answered_before(tmp_path: Path) -> None:
    engine = open_engine(Settings(data_dir=tmp_path))
    migrate(engine)
    book, late = command("price_book"), EDGE_MS + 1
    early = too_early(command("price_book", late), RULES, late)
    with writing(engine) as connection:
        refused = _write_down(connection, CALLER, None, command("price_book", late, "0"), early).order
        assert (refused.outcome, refused.code) == ("refused", "effective_in_past")
        assert _write_down(connection, CALLER, None, book, None).order.outcome == "new"
        note_outcome(connection, Order("1", "done"))
        assert _write_down(connection, CALLER, None, command("price_book", late), early).order.outcome == "done"
    engine.dispose()


def test_what_was_not_judged_for_a_clock_is_sent_again_and_its_answer_counts(tmp_path: Path) -> None:
    ahead = ("refused", "clock_ahead", "the broker's clock was ahead")
    assert together({("done", None, None), ahead}) == Verdict(*ahead)
    assert together({("done", None, None), ("refused", "effective_in_past", "x")}).code == "partitions_disagree"
    assert not is_final(*ahead[:2])
    engine = open_engine(Settings(data_dir=tmp_path))
    migrate(engine)
    with writing(engine) as connection:
        first = _write_down(connection, CALLER, None, command("price_book"), None).command
        note_outcome(connection, Order("1", *ahead))
        again = _write_down(connection, CALLER, None, command("price_book", EDGE_MS + 60_000), None)
        assert (again.order.code, again.command) == ("clock_ahead", first)
        note_outcome(connection, Order("1", "done"))
        assert _write_down(connection, CALLER, None, command("price_book"), None).order == Order(
            "1", "done", None, None
        )
        at = connection.scalar(select(audit_entry.c.at))
        assert at is not None
        assert at <= datetime.now(UTC)
    engine.dispose()
