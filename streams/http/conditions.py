"""Changes that are to replace what their sender has seen, and nothing newer: `If-Match` (RFC 9110, 13.1.1).

The tag is of the read model, which is a moment behind the log. So a tag that is right there is believed only where the
log has nothing newer about it; what is on its way is waited for. Two such changes of one account wait for each other in
this process. Several processes are no lock: what they place in the same instant, the meter does one after the other.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, NamedTuple

from aiokafka.errors import KafkaError
from fastapi import Depends, Header, Request
from sqlalchemy import Connection, select

from meter import topics
from meter.commands import read_command
from meter.routing import owner
from streams.errors import MeterError
from streams.http.access import Anyone
from streams.http.answers import Age, AsOf, encoded, tag_of
from streams.http.documents import ContractsDocument, LowBalanceDocument, contract_item
from streams.http.placing import command_id
from streams.http.problems import KEY_HEADER, Problem, unavailable
from streams.http.services import AllServices
from streams.kafka.clients import read_range, reader
from streams.process.waiting import until
from streams.store.kept_tables import audit_entry
from streams.store.queries import commands
from streams.store.queries.freshness import positions_of_commands
from streams.store.queries.meter import rules_of

SHOWN_WITHIN_S = 2.0
LOOK_EVERY_S = 0.05
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=1000,
        description="only where this is still so: the `ETag` of the GET of the same; without it, whatever is there",
    ),
]


class ReplaceableTerms(NamedTuple):
    """Something of an account that commands replace: what it is now, and the types of these commands."""

    document: Callable[[Connection, str], ContractsDocument | LowBalanceDocument]
    types: tuple[str, ...]


def contracts_document(connection: Connection, account_id: str) -> ContractsDocument:
    """The contracts of an account, by their start."""
    rules = rules_of(connection)
    agreed = commands.contracts(connection, account_id, rules) if rules is not None else []
    return ContractsDocument(items=[contract_item(each.contract) for each in agreed])


def low_balance_document(connection: Connection, account_id: str) -> LowBalanceDocument:
    """The balance below which a customer gets a notice."""
    rules = rules_of(connection)
    found = commands.low_balance(connection, account_id, rules) if rules is not None else None
    return LowBalanceDocument(threshold=found)


CONTRACTS = ReplaceableTerms(contracts_document, ("contract", "withdraw_contract"))
LOW_BALANCE = ReplaceableTerms(low_balance_document, ("low_balance",))


class Asked:
    """A request with its condition."""

    def __init__(self, request: Request, services: AllServices, who: Anyone, if_match: IfMatch = None) -> None:
        self._if_match = if_match
        self._request = request
        self._services = services
        self._who = who

    @asynccontextmanager
    async def holds(self, account_id: str, terms: ReplaceableTerms) -> AsyncIterator[None]:
        """Within the block it is as the request says. Raises Problem: 412 where it is not, 503 where nobody can say."""
        if self._if_match is None:
            yield
            return
        async with self._services.turns.of(account_id):
            if not await self._was_given():
                await self._need_match(account_id, terms)
            yield

    async def _was_given(self) -> bool:
        """Whether this key was used before: then its answer is known, whatever has changed since."""
        mine = command_id(self._who, self._request.headers.get(KEY_HEADER, ""))
        query = select(audit_entry.c.id).where(audit_entry.c.command_id == mine)
        return await self._services.store.read(lambda connection: connection.execute(query).first() is not None)

    async def _need_match(self, account_id: str, terms: ReplaceableTerms) -> None:
        """Raises Problem: 412 where it has another tag, 503 where the log has more than the read model shows."""

        async def look() -> bool:
            age: Age = self._request.app.state.age
            seen = await age.look(self._services)
            await self._need_tag(account_id, terms, seen)
            return await self._is_settled(account_id, terms)

        if not await until(look, bool, every_s=LOOK_EVERY_S, within_s=SHOWN_WITHIN_S):
            raise unavailable("store", "this was changed a moment ago: ask again", retry_after_s=1)

    async def _need_tag(self, account_id: str, terms: ReplaceableTerms, seen: AsOf) -> None:
        document = await self._services.store.read(lambda connection: terms.document(connection, account_id))
        tag = tag_of(encoded(document, seen.days))
        known = [each.strip() for each in (self._if_match or "").split(",")]
        if tag not in known and "*" not in known:
            detail = f"this of account {account_id!r} is not what If-Match says: read it again"
            raise Problem(412, "changed", detail, headers={"ETag": tag})

    async def _is_settled(self, account_id: str, terms: ReplaceableTerms) -> bool:
        """Whether the read model has all commands of these types that the log has of an account, and their answers."""

        def question(connection: Connection) -> tuple[Mapping[int, int], bool]:
            return positions_of_commands(connection), commands.is_answered(connection, account_id, terms.types)

        projected, is_answered = await self._services.store.read(question)
        return is_answered and not await self._has_more(account_id, terms, projected)

    async def _has_more(self, account_id: str, terms: ReplaceableTerms, projected: Mapping[int, int]) -> bool:
        services = self._services
        rules = await services.log.rules()
        partition = owner(account_id, rules.partitions)
        start, end = projected.get(partition, 0), (await services.log.ends(topics.COMMANDS, [partition]))[partition]
        if start >= end:
            return False
        try:
            async with reader(services.settings) as consumer:
                name = services.settings.topic(topics.COMMANDS)
                async for records in read_range(consumer, name, partition, start, end):
                    if any(_is_about(record.value, account_id, terms.types) for record in records):
                        return True
        except (MeterError, KafkaError) as error:
            raise unavailable("kafka", f"Kafka does not say what was changed: {error!r}") from error
        return False


def _is_about(value: bytes | None, account_id: str, types: tuple[str, ...]) -> bool:
    read = read_command(value)
    return read.account_id == account_id and read.kind in types


OnlyIf = Annotated[Asked, Depends()]
