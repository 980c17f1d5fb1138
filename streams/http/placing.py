"""Commands: written down with who gave them, sent to the meter, and its answer waited for.

The key of a request is its command's id, so that sent again it is the same command, down to its `issued_at`: the meter
does it once, and gives the same answer. The audit trail has one row for each command.
"""

import asyncio
import hashlib
import json
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError
from pydantic import ValidationError
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from meter import topics
from meter.billing_models import AgreeContract
from meter.commands import HANDLERS, command_digest
from meter.models import PriceBookCommand
from meter.prices import bad_book, bad_prices
from meter.rejects import Refusal
from meter.rules import Clock, Rules
from streams.commands.clock import simulated_now
from streams.commands.identity import ReusedIdError, elsewhere, need_unused
from streams.commands.notice import too_early
from streams.commands.verdict import AnswersSoFar, is_final, together
from streams.commands.writing import Command, digest_of, new_command, written
from streams.errors import MeterError
from streams.http.callers import Caller, Role
from streams.http.commits import Outgoing
from streams.http.kafka import PATIENCE_S, KafkaConnection
from streams.http.problems import KEY_HEADER, Problem, of_fields, unavailable
from streams.http.store import Store
from streams.settings import Settings
from streams.store.kept_tables import audit_entry
from streams.store.queries.commands import command_by_id
from streams.store.queries.freshness import positions_of_commands
from streams.store.queries.meter import rules_of

#: Of a command's key: it is a header, and the command's id.
KEY_PATTERN = "^[!-~]([ -~]{0,126}[!-~])?$"


class Order(NamedTuple):
    """What became of a command: `done`, `refused` with a code, or `sent` while the meter has not answered."""

    command_id: str
    outcome: str
    code: str | None = None
    message: str | None = None

    def raise_if_refused(self) -> None:
        """Raises Problem with the meter's code where it refused."""
        if self.code == "id_reused":
            raise key_reused()
        if self.outcome == "refused":
            code = self.code or "refused"
            status = 404 if code == "unknown_account" else 409
            raise Problem(status, code, self.message or code, command_id=self.command_id)


class CommandPlacer:
    """Takes commands in. Nothing is judged here but what the meter's own models say."""

    def __init__(self, settings: Settings, store: Store, log: KafkaConnection) -> None:
        self._settings = settings
        self._store = store
        self._log = log

    async def order(
        self, who: Caller, remote: str | None, kind: str, key: str, wait_s: float | None = None, **fields: Any
    ) -> Order:
        """Give a command of a kind of the contract, with its fields; `key` makes it the same command when sent again.

        Waits `wait_s` (METER_HTTP_WAIT_S) for the answer. Raises Problem: 422 for wrong fields, 409 for a key that was
        used for something else, 503 where Kafka or the store is away. Call `raise_if_refused` on the answer.
        """
        await self._log.need()
        rules = await self._log.rules()
        at_ms = await self._now_ms(rules)
        command = new_command(kind, rules, at_ms, command_id(who, key), **fields)
        _check(kind, command)
        await self._look_elsewhere(rules, command, at_ms)
        early = too_early(command, rules, at_ms)
        known = await self._store.write(lambda connection: _write_down(connection, who, remote, command, early))
        if is_final(known.order.outcome, known.order.code):
            return known.order
        order = await self._send(rules, known.command, at_ms, self._settings.http_wait_s if wait_s is None else wait_s)
        await self._store.write(lambda connection: note_outcome(connection, order))
        return order

    async def _look_elsewhere(self, rules: Rules, command: Command, at_ms: int) -> None:
        """Raises Problem (409) where the log has the id on another partition, and the read model is not there yet."""
        ends = await self._log.ends(topics.COMMANDS, elsewhere(command, rules))
        projected = await self._store.read(positions_of_commands)
        if all(projected.get(partition, 0) >= end for partition, end in ends.items()):
            return
        try:
            await need_unused(self._settings, rules, command, at_ms, projected)
        except ReusedIdError:
            raise key_reused() from None
        except (MeterError, KafkaError) as error:
            raise unavailable("kafka", f"Kafka does not say which ids were used: {error!r}") from error

    async def _now_ms(self, rules: Rules) -> int:
        if rules.clock is Clock.BROKER:
            return int(time.time() * 1000)
        try:
            now_ms = await asyncio.wait_for(simulated_now(self._settings, rules), PATIENCE_S)
        except (MeterError, KafkaError, TimeoutError) as error:
            raise unavailable("kafka", f"Kafka does not say what time it is: {error!r}") from error
        return now_ms or int(time.time() * 1000)

    async def _send(self, rules: Rules, command: Command, at_ms: int, wait_s: float) -> Order:
        answers = AnswersSoFar(command, rules)
        async with self._log.answers(command["command_id"]) as queue:
            await self._log.commit(_records(command, answers.partitions, at_ms))
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while not answers.are_all:
                        answers.take(await queue.get())
        return Order(command["command_id"], *answers.outcome.verdict)


def command_id(who: Caller, key: str) -> str:
    """The id of a command: the key itself, which may be a payment's number; customers have a room of their own.

    Raises Problem (422) for a key that is none.
    """
    if not re.fullmatch(KEY_PATTERN, key):
        raise Problem(422, "bad_key", f"an {KEY_HEADER} has 1 to 128 printable ASCII characters")
    if who.role is not Role.ACCOUNT:
        return key
    return "customer:" + hashlib.sha256(json.dumps([who.account_id, key]).encode()).hexdigest()[:40]


def _check(kind: str, command: Command) -> None:
    """Raises Problem (422) as the meter would refuse it whenever it came: it is not sent, and its key stays free."""
    try:
        read = HANDLERS[kind].model.model_validate_json(written(command))
    except ValidationError as error:
        raise of_fields(error.errors(include_url=False)) from error
    bad = bad_book(read) if isinstance(read, PriceBookCommand) else None
    if isinstance(read, AgreeContract):
        bad = bad_prices(read.prices)
    if bad is not None:
        raise Problem(
            422, bad.code, bad.message, errors=[{"code": bad.code, "field": "prices", "message": bad.message}]
        )


class _Known(NamedTuple):
    order: Order
    command: Command


def _write_down(
    connection: Connection, who: Caller, remote: str | None, command: Command, early: Refusal | None
) -> _Known:
    """The audit trail's row of this command, made now or before.

    A new one that names a day which begins too `early` is refused, and its key used up, as the meter would do it.
    Raises Problem (409) where it is another command.
    """
    try:
        with connection.begin_nested():
            connection.execute(insert(audit_entry).values(_audit_row(who, remote, command)))
        _need_unused(connection, command)
        known = answered(connection, command["command_id"], digest_of(command))
        if known is None and early is not None:
            known = Order(command["command_id"], "refused", early.code, early.message)
        if known is not None:
            note_outcome(connection, known)
        return _Known(known or Order(command["command_id"], "new"), command)
    except IntegrityError:
        written_down = select(audit_entry).where(audit_entry.c.command_id == command["command_id"])
        row = connection.execute(written_down).one()
        detail = json.loads(row.detail)
        first: Command = detail["command"]
        digest = digest_of(command)
        if digest_of(first) != digest:
            # What was refused because the id is another's does not have it: the other one may be this.
            known_order = answered(connection, command["command_id"], digest) if row.code == "id_reused" else None
            if known_order is None:
                raise key_reused() from None
            return _Known(known_order, command)
        return _Known(Order(row.command_id, row.outcome, row.code, detail.get("message")), first)


def _need_unused(connection: Connection, command: Command) -> None:
    """Raises Problem (409) where the read model knows of another command of this id, on whatever partition."""
    digest = digest_of(command)
    for record in command_by_id(connection, command["command_id"]):
        if record.code != "id_reused" and command_digest(record.value.encode()) != digest:
            raise key_reused()


def key_reused() -> Problem:
    """409: the key is another command's."""
    return Problem(409, "key_reused", "this Idempotency-Key was used for another command: take a new one")


def answered(connection: Connection, command_id: str, digest: str | None) -> Order | None:
    """What the meter answered to the command with this digest (None: the one that has the id), as the read model knows.

    None until every partition that was asked has answered.
    """
    rules, records = rules_of(connection), command_by_id(connection, command_id)
    if digest is None:
        digest = next((each.digest for each in records if each.status is not None and each.code != "id_reused"), None)
    found = {record.partition: record for record in records if record.digest == digest is not None}
    if not found or rules is None:
        return None
    asked_of = 1 if any(record.account_id is not None for record in found.values()) else rules.partitions
    if len(found) < asked_of:
        return None
    return Order(command_id, *together({(each.status or "", each.code, each.message) for each in found.values()}))


def _audit_row(who: Caller, remote: str | None, command: Command) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC),
        "token_id": who.token_id,
        "role": who.role.value,
        "remote": remote,
        "action": command["type"],
        "account_id": command.get("account_id"),
        "command_id": command["command_id"],
        "outcome": "new",
        "detail": json.dumps({"command": command}),
    }


def note_outcome(connection: Connection, order: Order) -> None:
    """Write down what became of a command; an answer of the meter is never taken back."""
    mine = audit_entry.c.command_id == order.command_id
    row = connection.execute(select(audit_entry).where(mine)).first()
    if row is None or is_final(row.outcome, row.code):
        return
    detail = json.loads(row.detail)
    detail.pop("message", None)  # of an answer that was not the last one
    detail |= {"message": order.message} if order.message else {}
    values = {"outcome": order.outcome, "code": order.code, "detail": json.dumps(detail)}
    connection.execute(update(audit_entry).where(mine).values(values))


def _records(command: Command, partitions: tuple[int, ...], at_ms: int) -> list[Outgoing]:
    key, value = command["command_id"].encode(), written(command)
    return [Outgoing(topics.COMMANDS, partition, key, value, at_ms) for partition in partitions]
