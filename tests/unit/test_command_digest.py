"""What is the same command and what is another: as the meter reads it, not as it is written."""

import json
from typing import Any

import pytest

from meter.commands import command_digest
from meter.regions import ZONES

ISSUED = "2019-01-02T13:00:00+08:00"
TOP_UP = {"command_id": "c", "type": "top_up", "issued_at": ISSUED, "account_id": "A", "amount": "5"}
CONTRACT = {**TOP_UP, "type": "contract", "effective_from": "2019-02-01", "prices": {"*": "0.3", "ap-tokyo": "1"}}
BOOK = {
    "command_id": "c", "type": "price_book", "issued_at": ISSUED, "version": "x", "effective_from": "2019-02-01",
    "prices": dict.fromkeys(ZONES, "0.3"),
}  # fmt: skip
DANCE = {"command_id": "c", "type": "dance", "issued_at": ISSUED, "steps": [1, {"left": "é"}]}


def written(command: dict[str, Any], **options: Any) -> bytes:
    return json.dumps(command, **options).encode()


SAME: list[tuple[bytes, bytes]] = [
    *((written(c), written(c, ensure_ascii=False, indent=2)) for c in (TOP_UP, CONTRACT, BOOK, DANCE)),
    *((written(c), written(dict(reversed(c.items())))) for c in (TOP_UP, CONTRACT, BOOK, DANCE)),
    *((written(c), written({**c, "issued_at": "2020-01-01T00:00:00Z"})) for c in (TOP_UP, CONTRACT, BOOK, DANCE)),
    *((written(c), written({**c, "note": [1e300, None], "v": 1})) for c in (TOP_UP, CONTRACT, BOOK)),
    *((written(TOP_UP), written({**TOP_UP, "amount": amount})) for amount in ("5.0", "5.00", "000000000005.00")),
    (written({**TOP_UP, "amount": "999999999999.99"}), written({**TOP_UP, "amount": "999999999999.99"})),
    (written({**TOP_UP, "account_id": "é😀"}), b'{"account_id":"\\u00e9\\ud83d\\ude00",' + written(TOP_UP)[1:].replace(
        b'"account_id": "A", ', b"")),
    (written(CONTRACT), written({**CONTRACT, "prices": {"ap-tokyo": "1.00", "*": "0.30000000"}, "mode": None})),
    (written(CONTRACT), written({**CONTRACT, "grace_hours": None})),
    (written({**CONTRACT, "grace_hours": 72}), written({**CONTRACT, "grace_hours": 72.0})),
    (written(BOOK), written({**BOOK, "currency": "CNY", "prices": dict.fromkeys(reversed(ZONES), "0.300")})),
    (written({**TOP_UP, "amount": "1.234"}), written({**TOP_UP, "amount": "1.234", "issued_at": "2020"})),
    (b"{", b"{"), (b"", b""),
]  # fmt: skip

OTHER: list[tuple[bytes, bytes]] = [
    *((written(TOP_UP), written({**TOP_UP, "amount": amount})) for amount in ("5.01", "50", "0.05", "-5", "5.000", 5)),
    (written({**TOP_UP, "amount": "999999999999.99"}), written({**TOP_UP, "amount": "999999999999.98"})),
    *((written(TOP_UP), written({**TOP_UP, "account_id": name})) for name in ("B", "a", "A ", "Á", "A\u0301", "")),
    (written(TOP_UP), written({**TOP_UP, "type": "adjustment", "reason": "r"})),
    (written(TOP_UP), written({**TOP_UP, "type": "dance"})),
    (written(TOP_UP), written({**TOP_UP, "v": 2})),
    (written(TOP_UP), written({**TOP_UP, "issued_at": "yesterday"})),
    *((written(CONTRACT), written({**CONTRACT, "mode": mode})) for mode in ("daily", "monthly")),
    (written(CONTRACT), written({**CONTRACT, "prices": {"*": "0.3"}})),
    (written(CONTRACT), written({**CONTRACT, "prices": {"*": "0.3", "ap-tokyo": "1.00000001"}})),
    (written(CONTRACT), written({**CONTRACT, "prices": {"*": "1", "ap-tokyo": "0.3"}})),
    (written({**CONTRACT, "prices": {"*": "1e1"}}), written({**CONTRACT, "prices": {"*": "10"}})),
    (written({**CONTRACT, "grace_hours": 72}), written({**CONTRACT, "grace_hours": 73})),
    (written(BOOK), written({**BOOK, "version": "y"})),
    (written(DANCE), written({**DANCE, "steps": ["1", {"left": "é"}]})),
    (written(DANCE), written({**DANCE, "steps": [True, {"left": "é"}]})),
    (written({**DANCE, "steps": "number 1"}), written({**DANCE, "steps": 1})),
    (written({**DANCE, "steps": None}), written({**DANCE, "steps": "null"})),
    (written({**DANCE, "steps": 10**40}), written({**DANCE, "steps": 10**40 + 1})),
    (written({**DANCE, "steps": 0}), written({name: DANCE[name] for name in DANCE if name != "steps"})),
    (written(TOP_UP), written(TOP_UP)[:-1] + b',"amount":"7","amount":"5.00"}'),
    (written(TOP_UP), written(TOP_UP)[:-1] + b',"amount":"5"}'),
    (written(DANCE), written(DANCE)[:-1] + b',"steps":[1,{"left":"\\u00e9"}]}'),
    (b"{", b"["), (b"", b"{"), (b"\xff", b"\xfe"), (b"[" * 5000, b"[" * 5001),
]  # fmt: skip


@pytest.mark.parametrize(("one", "two"), SAME)
def test_the_same_command_however_it_is_written(one: bytes, two: bytes) -> None:
    assert command_digest(one) == command_digest(two)


@pytest.mark.parametrize(("one", "two"), OTHER)
def test_another_command_however_alike(one: bytes, two: bytes) -> None:
    assert command_digest(one) != command_digest(two)


def test_the_id_is_no_part_of_the_content() -> None:
    assert command_digest(written(TOP_UP)) == command_digest(written({**TOP_UP, "command_id": "another"}))
    assert command_digest(None) == command_digest(b"")
