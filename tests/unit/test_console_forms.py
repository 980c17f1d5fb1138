"""The console's forms: what is wrong is said beside the field, and what would happen is shown before it is done."""

import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from markupsafe import escape
from sqlalchemy import Connection, insert, select, update

from streams.commands.writing import digest_of
from streams.http.console.forms import FORMS
from streams.settings import Settings
from streams.store.database import open_engine, writing
from streams.store.kept_tables import audit_entry
from streams.store.schema import account, bill_standing, command, command_result
from tests.unit.test_console import console_of_account_a

A = "/console/accounts/A"
NOW = datetime.now(UTC)
TOP_UP = {"type": "top_up", "account_id": "A", "amount": "5.00"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The console of a store in which A has 20.00 CNY, and is stopped for a bill of 84.66; there is no Kafka."""
    async with console_of_account_a(tmp_path) as client:
        engine = open_engine(Settings(data_dir=tmp_path))
        with writing(engine) as connection:
            owes = {"balance": Decimal("20.00"), "unpaid": Decimal("84.66"), "owed": Decimal("64.66")}
            connection.execute(update(account).values(state="stopped", since=NOW, **owes))
            amounts = {"payable": Decimal("84.66"), "refunded": Decimal("0.00")}
            connection.execute(insert(bill_standing).values(bill_id="B1", account_id="A", entered_at=NOW, **amounts))
            paid = {"payable": Decimal("16.80"), "refunded": Decimal("1.80"), "paid_at": NOW}
            connection.execute(insert(bill_standing).values(bill_id="B0", account_id="A", entered_at=NOW, **paid))
            _done(connection, "used", {"command_id": "used", "issued_at": NOW.isoformat(), "v": 1, **TOP_UP})
        engine.dispose()
        yield client


def _done(connection: Connection, command_id: str, document: dict[str, Any]) -> None:
    at = {"partition": 0, "position": 0, "command_id": command_id, "recorded_at": NOW, "account_id": "A"}
    connection.execute(insert(command).values(type=document["type"], value=json.dumps(document), **at))
    done = {"status": "done", "command_position": 0, "digest": digest_of(document)}
    connection.execute(insert(command_result).values(**at, **done))


async def send(client: httpx.AsyncClient, kind: str, language: str = "en", **values: str) -> httpx.Response:
    page = (await client.get(A)).text
    own = dict(re.findall(r'name="(csrf|key)" value="([^"]+)"', page))
    asked = {"Accept-Language": language}
    return await client.post(f"{A}/{kind}", data=own | values, headers=asked, follow_redirects=True)


def errors(page: str) -> dict[str, str]:
    return dict(re.findall(r'<p class="error" role="alert" id="[a-z-]+-([a-z_]+)-error">([^<]+)</p>', page))


def effect(page: str) -> dict[str, tuple[str, str]]:
    text = re.sub(r"<[^>]+>", " ", page.partition('<table class="effect"')[2].partition("<tbody>")[2])
    words = " ".join(text.partition("Change")[0].split())
    money = re.findall(r"(Balance|Owed), CNY ([0-9.,]+) ([0-9.,]+)", words)
    state = re.search(r"Service (Good|In arrears|Stopped) (Good|In arrears|Stopped)", words)
    return {name: (a, b) for name, a, b in money} | ({"Service": (state[1], state[2])} if state else {})


WHY = {"reason": "r", "number": "n"}
FILL, MONEY = "Fill this in.", "The amount is a number with at most 2 places, and more than 0."


#: Form, what is filled in, and how what is said beside each wrong field begins.
WRONG: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("top-up", {"amount": "5.00"}, {"number": FILL}),
    ("top-up", {"amount": "1,000", "number": "n"}, {"amount": MONEY}),
    ("top-up", {"amount": "-5", "number": "北"}, {"amount": MONEY, "number": "At most 128 letters"}),
    ("top-up", {"amount": "6.00", "number": "used"}, {"number": "This number was used for something else."}),
    ("refund", {"bill_id": "B0", "ticket": "T", "amount": "15.01"}, {"amount": "That is more than was paid"}),
    ("refund", {"bill_id": "B1", "ticket": "T", "amount": "1"}, {"bill_id": "Nothing was paid on this bill"}),
    ("adjust", {"amount": "-20.01"} | WHY, {"amount": "That would take more than the"}),
    ("adjust", {"amount": "0.00", "number": "n"}, {"amount": "The amount is a number", "reason": FILL}),
    ("charge", {"amount": "5", "number": "n"}, {"reason": FILL}),
    ("credit-note", {"bill_id": "B0", "line": "0", "amount": "1"} | WHY, {"line": "The number of a line"}),
    ("credit-note", {"bill_id": "B0", "line": "2", "amount": "1"} | WHY, {"line": "The bill has no such line."}),
    ("credit-note", {"bill_id": "B9", "line": "1", "amount": "1"} | WHY, {"bill_id": "There is no bill"}),
    ("credit-note", {"bill_id": "B1", "line": "1", "amount": "99"} | WHY, {"amount": "That is more than can be"}),
    ("reversal", {"top_up": "nothing"}, {"top_up": "There is no such top-up"}),
    ("contract", {"effective_from": "tomorrow"}, {"effective_from": "A day, such as"}),
    ("contract", {"effective_from": "2019-01-01"}, {"effective_from": "This day is over"}),
    ("contract", {"effective_from": "2099-01-02", "mode": "monthly"}, {"effective_from": "Another settlement"}),
    ("contract", {"effective_from": "2099-01-01", "prices": "x"}, {"prices": "A line is REGION = CNY"}),
    ("contract", {"effective_from": "2099-01-01", "prices": "x = 1"}, {"prices": "There is no such region."}),
    ("withdraw-contract", {"contract_id": "none"}, {"contract_id": "The account has no such"}),
    ("threshold", {"threshold": "x"}, {"threshold": MONEY}),
]


async def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_sent(client: httpx.AsyncClient) -> None:
    for kind, values, said in WRONG:
        answer = await send(client, kind, **values)
        found = errors(answer.text)
        assert found.keys() == said.keys(), (kind, values)
        assert all(found[name].startswith(begin) for name, begin in said.items()), (kind, found)
        assert all(str(escape(value)) in answer.text for value in values.values()), (kind, values)
        in_chinese = errors((await send(client, kind, "zh", **values)).text)
        assert in_chinese.keys() == said.keys()
        assert all(re.search(r"[\u4e00-\u9fff]", text) for text in in_chinese.values()), in_chinese


async def test_no_answer_to_a_form_is_a_page_that_going_back_would_send_again(client: httpx.AsyncClient) -> None:
    own = dict(re.findall(r'name="(csrf|key)" value="([^"]+)"', (await client.get(A)).text))
    for kind, values in [*(wrong[:2] for wrong in WRONG), *(effect[:2] for effect in EFFECTS)]:
        for step in ({}, {"step": "confirm"}):  # what is confirmed and not wrong meets no Kafka
            answer = await client.post(f"{A}/{kind}", data={**own, **values, **step})
            assert answer.status_code == 303, (kind, values, step)
            page = await client.get(answer.headers["location"])
            assert page.status_code == 200, (kind, values, step)
            assert "data-now" in page.text, (kind, values, step)
    link = await client.get(f"{A}?form=top-up&step=review&amount=5&number=n&refused=<b>you won</b>&key=mine")
    assert "you won" not in link.text
    assert 'value="mine"' not in link.text


async def test_a_field_that_is_sent_twice_is_refused(client: httpx.AsyncClient) -> None:
    page = (await client.get(A)).text
    own = dict(re.findall(r'name="(csrf|key)" value="([^"]+)"', page))
    given = own | {"amount": ["5", "500"], "number": "n", "step": "confirm"}
    answer = await client.post(f"{A}/top-up", data=given)
    assert answer.status_code == 400
    assert "sent once" in answer.text


def money(balance: str, owed: str, service: str) -> dict[str, tuple[str, str]]:
    """What becomes of 20.00 CNY, 64.66 CNY owed, and a stopped service."""
    return {"Balance": ("20.00", balance), "Owed": ("64.66", owed), "Service": ("Stopped", service)}


#: Form, what is filled in, what becomes of the account, and a sentence.
EFFECTS: list[tuple[str, dict[str, str], dict[str, tuple[str, str]], str]] = [
    ("top-up", {"amount": "64.66", "number": "n"}, money("0.00", "0.00", "Good"), "The service is restored"),
    ("top-up", {"amount": "64.65", "number": "n"}, money("84.65", "0.01", "Stopped"), "The service stays stopped"),
    ("adjust", {"amount": "-20"} | WHY, money("0.00", "84.66", "Stopped"), "The service stays stopped"),
    ("charge", {"amount": "5"} | WHY, money("20.00", "69.66", "Stopped"), "The service stays stopped"),
    ("refund", {"bill_id": "B0", "ticket": "T", "amount": "15"}, money("35.00", "49.66", "Stopped"), "stays stopped"),
    (
        "credit-note",
        {"bill_id": "B1", "line": "1", "amount": "84.66"} | WHY,
        money("20.00", "0.00", "Good"),
        "restored",
    ),
    ("contract", {"effective_from": "2099-01-01", "prices": "* = 0.2"}, {}, "No balance and no service changes"),
    ("top-up", {"amount": "5.00", "number": "used"}, {}, "This was done already"),
]


async def test_what_would_happen_is_shown_and_asked_once_more(client: httpx.AsyncClient, tmp_path: Path) -> None:
    for kind, values, shown, sentence in EFFECTS:
        answer = await send(client, kind, **values)
        assert answer.status_code == 200, (kind, values)
        dialog = answer.text.partition("data-now")[2].partition("</dialog>")[0]
        assert effect(dialog) == shown
        assert sentence in dialog
        assert 'name="step" value="confirm"' in dialog
        change = re.search(r'class="button" href="([?][^"]+)">Change', dialog)
        assert change is not None
        back = await client.get(A + change[1].replace("&amp;", "&"))
        assert errors(back.text) == {}
        assert all(f'value="{value}"' in back.text or f">{value}</textarea>" in back.text for value in values.values())
    engine = open_engine(Settings(data_dir=tmp_path))
    with engine.connect() as connection:
        assert connection.execute(select(audit_entry)).all() == []  # nothing was given
    engine.dispose()


async def test_a_form_is_loaded_by_its_address(client: httpx.AsyncClient) -> None:
    anew = await client.get(f"{A}/top-up")
    assert (anew.status_code, anew.headers["location"]) == (303, f"{A}?form=top-up")
    given = await client.get(f"{A}?form=refund&bill_id=B0&nonsense=1")
    dialog = given.text.partition("data-now")[2].partition("</dialog>")[0]
    assert 'name="bill_id" value="B0"' in dialog
    assert (await client.get(f"{A}?form=nonsense")).status_code == 200


async def test_a_price_book_is_withdrawn_by_its_version(client: httpx.AsyncClient) -> None:
    page = (await client.get("/console/prices?form=withdraw-book&version=none&step=review")).text
    assert errors(page) == {"version": "There is no such price book."}
    own = dict(re.findall(r'name="(csrf|key)" value="([^"]+)"', page))
    answer = await client.post("/console/prices/withdraw", data=own | {"version": "2030"})
    assert answer.headers["location"] == "/console/prices?form=withdraw-book&step=review&version=2030"
    opened = await client.post("/console/accounts", data=own | {"account_id": " "}, follow_redirects=True)
    assert errors(opened.text) == {"account_id": FILL}


def test_every_form_that_moves_money_has_a_number_of_its_own_or_of_a_document() -> None:
    for kind, form in FORMS.items():
        if "amount" in form.checks:
            assert form.is_reviewed, kind
            assert form.has_number or "ticket" in form.checks, kind
