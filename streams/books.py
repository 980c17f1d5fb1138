"""Price books in the log: those that are published, a quote from them, and a new one looked at before it is sent."""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import ValidationError

from meter import topics
from meter.commands import Answer
from meter.dedupe import MemorySeen
from meter.models import PriceBookCommand
from meter.money import EXACT, decimal_text
from meter.partition import Step
from meter.prices import PriceBooks, PriceRefusal, accept_book, earliest_effective_day
from meter.records import Chunk
from meter.rounding import billable_minutes
from meter.rules import Rules
from meter.state import PartitionState
from streams.errors import MeterError, SettingError
from streams.kafka import offsets, read_range, reader
from streams.settings import Settings

#: Beyond the notice that the rules ask for: partitions that append the command at different moments all accept it.
MARGIN_S = 600


class Published(NamedTuple):
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


async def published(settings: Settings, rules: Rules) -> Published:
    """All price books, by folding `meter.commands` as a worker does: a book is on every partition, so one will do."""
    name = settings.topic(topics.COMMANDS)
    step = Step(PartitionState(rules, 0), MemorySeen())
    async with reader(settings) as consumer:
        start, end = await offsets(consumer, name, 0)
        if start > 0:
            raise MeterError(f"{name}[0] starts at {start}: its first commands are gone, and with them price books")
        records = [record async for batch in read_range(consumer, name, 0, 0, end) for record in batch]
    step.fold(Chunk(topics.COMMANDS, 0, end, records))
    return Published(step.books, step.commands)


def check_book(command: PriceBookCommand, known: Published, rules: Rules, now_ms: int) -> PriceRefusal | None:
    """Why a command would be refused, or might be by some partitions; None for one that may be sent.

    One that was sent before is sent again as it is: every partition repeats its answer.
    """
    if command.command_id in known.answers:
        return None
    later_ms = now_ms + MARGIN_S * 1000
    verdict = accept_book(command, known.books, later_ms, rules)
    if not isinstance(verdict, PriceRefusal):
        return None
    if verdict.code == "effective_in_past":
        notice = f"{(rules.price_notice_s + MARGIN_S) // 60} minutes"
        earliest = earliest_effective_day(later_ms, rules)
        message = f"{command.effective_from} begins in less than {notice}; the earliest day is {earliest}"
        return PriceRefusal(verdict.code, message)
    return verdict


def read_command(document: object, command_id: str, issued_at: str) -> PriceBookCommand:
    """The command of a price book as people write it. Raises SettingError with what is wrong."""
    if not isinstance(document, dict):
        raise SettingError("a price book is a JSON object with version, effective_from and prices")
    try:
        return PriceBookCommand.model_validate({**document, "command_id": command_id, "issued_at": issued_at})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise SettingError(f"price book: {'.'.join(map(str, detail['loc']))}: {detail['msg']}") from error
