"""Proofs on request: few at a time, a slot that is the operators' own, and a pause for each account."""

import asyncio
import os

import psutil
import pytest

from streams.errors import BrokerLostError, MeterError
from streams.http import proofs
from streams.http.callers import LOOPBACK, Caller, Role
from streams.http.console.render import environment
from streams.http.problems import Problem
from streams.http.proofs import Proofs
from streams.process.apart import apart
from streams.proof.differences import Report
from streams.settings import Settings
from tests.integration.running import until

A, B = (Caller(Role.ACCOUNT, "t", account) for account in "AB")
SETTINGS = Settings()


class Log:
    """A log that is read until it is told to be at its end."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.begun = asyncio.Condition()
        self.end = asyncio.Event()
        self.error: Exception | None = None

    async def prove(self, _: Settings, bill_id: str) -> Report:
        async with self.begun:
            self.read.append(bill_id)
            self.begun.notify_all()
        await self.end.wait()
        if self.error is not None:
            raise self.error
        return Report(steps=len(self.read), differences=["so"] if bill_id == "wrong" else [])

    async def being_read(self, count: int) -> None:
        async with self.begun:
            await self.begun.wait_for(lambda: len(self.read) == count)


async def refused(proofs: Proofs, who: Caller, bill_id: str) -> int:
    with pytest.raises(Problem) as error:
        await proofs.prove(who, bill_id)
    assert int((error.value.headers or {})["Retry-After"]) > 0
    return error.value.status_code


async def test_a_customers_proof_takes_no_slot_of_the_operators() -> None:
    log = Log()
    proofs = Proofs(SETTINGS, log.prove)
    customer = asyncio.create_task(proofs.prove(A, "a"))
    await log.being_read(1)
    assert await refused(proofs, B, "b") == 503
    operator = asyncio.create_task(proofs.prove(LOOPBACK, "o"))
    await log.being_read(2)
    assert await refused(proofs, LOOPBACK, "p") == 503
    log.end.set()
    assert [each.report.proved for each in await asyncio.gather(customer, operator) if each] == [True, True]
    assert log.read == ["a", "o"]


async def test_whoever_asks_about_the_same_bill_waits_for_the_same_proof_which_is_kept() -> None:
    log = Log()
    proofs = Proofs(SETTINGS, log.prove)
    asked = [asyncio.create_task(proofs.prove(who, "a")) for who in (A, A, LOOPBACK)]
    await log.being_read(1)
    log.end.set()
    found = await asyncio.gather(*asked)
    assert [*found, await proofs.prove(A, "a")] == [found[0]] * 4
    assert log.read == ["a"]


async def test_an_account_waits_between_two_proofs_and_an_operator_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    log.end.set()
    made = Proofs(SETTINGS, log.prove)
    await made.prove(A, "a")
    assert await refused(made, A, "another") == 429
    await made.prove(B, "b")
    for bill_id in ("c", "d"):
        await made.prove(LOOPBACK, bill_id)
    monkeypatch.setattr(proofs, "PAUSE_S", 0.0)
    await made.prove(Caller(Role.ACCOUNT, "t", "C"), "e")
    await made.prove(Caller(Role.ACCOUNT, "t", "C"), "f")
    assert log.read == ["a", "b", "c", "d", "e", "f"]


async def test_an_account_has_one_proof_at_a_time_however_long_it_takes() -> None:
    log = Log()
    proofs = Proofs(SETTINGS, log.prove)
    first = asyncio.create_task(proofs.prove(A, "a"))
    await log.being_read(1)
    assert await refused(proofs, A, "another") == 429
    log.end.set()
    await first


async def test_a_proof_that_takes_long_goes_on_and_is_found_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "WAIT_S", 0.01)
    log = Log()
    made = Proofs(SETTINGS, log.prove)
    assert await made.prove(A, "a") is None
    assert await made.prove(A, "a") is None
    log.end.set()
    monkeypatch.setattr(proofs, "WAIT_S", 30.0)
    found = await made.prove(A, "a")
    assert found is not None
    assert found.report.proved
    assert log.read == ["a"]


async def test_a_difference_is_not_kept_as_long_as_a_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proofs, "KEPT_OTHERS_S", 0.0)
    log = Log()
    log.end.set()
    made = Proofs(SETTINGS, log.prove)
    for bill_id in ("wrong", "wrong", "right", "right"):
        await made.prove(LOOPBACK, bill_id)
    assert log.read == ["wrong", "wrong", "right"]


@pytest.mark.parametrize("error", [BrokerLostError("away"), TimeoutError(), MeterError("there is no bill 'a'")])
async def test_a_proof_that_fails_frees_its_slot(error: Exception) -> None:
    log = Log()
    log.error = error
    log.end.set()
    proofs = Proofs(SETTINGS, log.prove)
    assert await refused(proofs, LOOPBACK, "a") == 503
    log.error = None
    assert await proofs.prove(LOOPBACK, "a") is not None


async def test_those_that_go_on_end_with_the_server() -> None:
    log = Log()
    proofs = Proofs(SETTINGS, log.prove)
    going_on = asyncio.create_task(proofs.prove(LOOPBACK, "a"))
    await log.being_read(1)
    await proofs.close()
    with pytest.raises(asyncio.CancelledError):
        await going_on


def test_a_page_says_that_a_proof_goes_on_and_asks_again_by_itself() -> None:
    checked = {"problem": None, "found": None, "bill_id": "B/1"}
    page = environment("en").get_template("verified.html").render(checked=checked, csrf="secret", fmt=None)
    assert 'hx-post="/console/bills/B%2F1/verify"' in page
    assert 'hx-trigger="load delay:5s"' in page
    assert 'name="csrf" value="secret"' in page


# -- apart ----------------------------------------------------------------------------------------------------------


async def test_work_is_done_in_another_process() -> None:
    assert await apart(asyncio.to_thread, os.getpid, patience_s=60) != os.getpid()
    assert await apart(asyncio.to_thread, print, "what is printed is no answer", patience_s=60) is None


async def test_its_errors_come_back() -> None:
    with pytest.raises(ValueError, match="'seven'"):
        await apart(asyncio.to_thread, int, "seven", patience_s=60)
    with pytest.raises(MeterError, match="code 7"):
        await apart(asyncio.to_thread, os._exit, 7, patience_s=60)


def those_apart() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if "streams.process.apart" in each.cmdline()]


async def test_it_does_not_outlive_who_waits() -> None:
    work = asyncio.create_task(apart(asyncio.sleep, 600, patience_s=60))
    await asyncio.to_thread(until, those_apart, "the process")
    work.cancel()
    await asyncio.wait([work])
    assert not those_apart()


async def test_it_has_so_much_time() -> None:
    with pytest.raises(TimeoutError):
        await apart(asyncio.sleep, 600, patience_s=0.05)
    assert not those_apart()
