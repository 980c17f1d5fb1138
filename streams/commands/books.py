"""Price books in the log: those that are published, a quote from them, and a new one looked at before it is sent."""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import ValidationError

from meter import topics
from meter.answers import Answer
from meter.dedupe import MemoryDedupeIndex
from meter.durations import billable_minutes
from meter.fold import fold
from meter.models import PriceBookCommand
from meter.money import EXACT, decimal_text
from meter.prices import PriceBooks, accept_book
from meter.records import Chunk
from meter.rejects import Refusal
from meter.rules import Rules
from meter.snapshot import StateError, StateReader
from meter.state import PartitionState
from meter.step import Step
from streams.commands.writing import issued_at
from streams.errors import MeterError, RefusalToStartError, SettingError
from streams.kafka.clients import offsets, read_range, reader
from streams.settings import Settings

#: What of a partition's state says which books there are.
_KEYS = (b'["book"', b'["command"', b'["position"')


class PublishedBooks(NamedTuple):
    """The price books in the log, and the commands that were answered."""

    books: PriceBooks
    answers: Mapping[str, Answer]


class Quote(NamedTuple):
    """The price of one job. Amounts are exact decimals in CNY."""

    region: str
    day: str
    minutes: int
    unit_price: str
    amount: str
    price_version: str


def quote(books: PriceBooks, region: str, day: str, milliseconds: int) -> Quote:
    """What a job costs; `region` as outputs say it."""
    price = books.price_for(region, day)
    minutes = billable_minutes(milliseconds)
    amount = EXACT.multiply(price.unit_price, EXACT.create_decimal(minutes))
    return Quote(region, day, minutes, decimal_text(price.unit_price), decimal_text(amount), price.version)


async def published(settings: Settings, rules: Rules) -> PublishedBooks:
    """All price books, as the state of a partition has them, and what has come in since: a book is on every partition,
    so one will do. What was refused, for a clock or a day that was metered, only the state knows."""
    state = PartitionState(rules, 0)
    snapshot = StateReader(state)
    async with reader(settings) as consumer:
        name = settings.topic(topics.STATE)
        async for batch in read_range(consumer, name, 0, *await offsets(consumer, name, 0)):
            for record in batch:
                if record.key.startswith(_KEYS):
                    snapshot.read(record.key, record.value)
        try:
            snapshot.finish()
        except StateError as error:
            raise RefusalToStartError(f"{error}; use the meter version that wrote it, or a newer one") from error
        name, folded = settings.topic(topics.COMMANDS), state.position.next[topics.COMMANDS]
        start, end = await offsets(consumer, name, 0)
        if start > folded:
            raise MeterError(f"{name}[0] starts at {start}: its first commands are gone, and with them price books")
        records = [record async for batch in read_range(consumer, name, 0, folded, end) for record in batch]
    step = Step(state, MemoryDedupeIndex())
    fold(step, Chunk(topics.COMMANDS, folded, max(folded, end), records))
    return PublishedBooks(step.changes.terms.books, {**state.commands, **step.changes.commands})


def check_book(command: PriceBookCommand, known: PublishedBooks, rules: Rules, now_ms: int) -> Refusal | None:
    """Why a command would be refused, or might be by some partitions; None for one that may be sent.

    One that was sent before is sent again as it is: every partition repeats its answer.
    """
    if command.command_id in known.answers:
        return None
    issued_now = command.model_copy(update={"issued_at": issued_at(rules, now_ms)})
    verdict = accept_book(issued_now, known.books, now_ms, rules)
    return verdict if isinstance(verdict, Refusal) else None


def read_command(document: object, command_id: str, issued_at: str) -> PriceBookCommand:
    """The command of a price book as people write it. Raises SettingError with what is wrong."""
    if not isinstance(document, dict):
        what = "an array" if isinstance(document, list) else "another value"
        raise SettingError(f"a price book is one JSON object with version, effective_from and prices, not {what}")
    try:
        return PriceBookCommand.model_validate({**document, "command_id": command_id, "issued_at": issued_at})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise SettingError(f"price book: {'.'.join(map(str, detail['loc']))}: {detail['msg']}") from error
