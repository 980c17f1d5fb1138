"""`meter quote` and `meter prices`: what a job costs, and the dated price books behind it."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from meter import topics
from meter.duration_hints import duration_hint
from meter.durations import DURATION_STRING, duration_ms
from meter.models import PriceBookCommand
from meter.money import decimal_text
from meter.periods import BillingDays
from meter.prices import BUILT_IN, PriceBook, PriceBooks
from meter.regions import ZONES
from meter.rules import Rules
from streams.broker.connect import connected, reachable
from streams.cli.answers import report
from streams.cli.arguments import (
    At,
    CommandId,
    Json,
    Timeout,
    read_at,
    read_command_id,
    read_day,
    read_region,
)
from streams.cli.inputs import read_document
from streams.commands import books
from streams.commands.books import published, read_command
from streams.commands.books import quote as price_of
from streams.commands.clock import record_time
from streams.commands.placing import place, transactional_id
from streams.commands.verdict import Outcome
from streams.commands.writing import issued_at, new_command
from streams.errors import MeterError, SettingError
from streams.kafka.rights import ORDERER, PUBLISHER, reading
from streams.kafka.topics import check
from streams.settings import Settings
from streams.terminal.output import Figure, counted, note, say, say_fields, say_json, say_table

PRICE_BOOK, PUBLISH = "a price book", "meter prices publish -"


Day = Annotated[
    str | None, typer.Option(metavar="YYYY-MM-DD", help="The billing day.", show_default="today in the billing zone")
]


def quote(
    region: Annotated[str, typer.Option(help="Code or name, such as ap-guangzhou, Frankfurt, Mainland China.")],
    duration: Annotated[str, typer.Option(metavar="SECONDS", help="Length of the video, such as 3600 or 60.5.")],
    day: Day = None,
    as_json: Json = False,
) -> None:
    """Say what a job costs: its minutes, unit price and amount.

    A part of a minute counts as a whole one. The price is that of the
    published books where a Kafka is configured or runs, else of the built-in
    book.

    Example:
      meter quote --region "Mainland China" --duration 3600
    """
    code = read_region(region)
    milliseconds = duration_ms(duration) if DURATION_STRING.fullmatch(duration) else None
    if milliseconds is None or code is None:
        hint = duration_hint(duration)
        told = f"--duration is a number of seconds, more than 0 and at most 31536000, got {duration!r}"
        raise SettingError(told if hint is None else f"{told}; {hint}")
    day = read_day(day)
    books, today = _books()
    answer = price_of(books, code, day or today, milliseconds)
    if as_json:
        say_json({**answer._asdict(), "currency": "CNY"})
        return
    say_fields(
        {
            "region": answer.region,
            "day": answer.day,
            "minutes": str(answer.minutes),
            "unit price": Figure(answer.unit_price, "CNY per minute"),
            "amount": Figure(answer.amount, "CNY"),
            "price version": answer.price_version,
        }
    )


def show(day: Day = None, as_json: Json = False) -> None:
    """Show the price books, and which one is in effect on a day.

    Those in the log where a Kafka is configured or runs; else the built-in
    book alone.

    Example:
      meter prices show --day 2026-12-01
    """
    day = read_day(day)
    books, today = _books()
    day = day or today
    in_effect = books.book_on(day)
    listed = [BUILT_IN, *books.published]
    if as_json:
        say_json({"day": day, "in_effect": in_effect.version, "books": [_as_document(book) for book in listed]})
        return
    _print_books(listed, in_effect, day)


def publish(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The book as JSON; -: standard input.")],
    command_id: CommandId = None,
    timeout: Timeout = 30,
    at: At = None,
    as_json: Json = False,
) -> int:
    """Publish a price book, and wait for the workers' answers.

    It goes to all partitions in one transaction, and takes effect at the
    start of a billing day at least 1 h 10 min from now: an hour by the
    rules, and ten minutes so that all partitions agree.

    Example:
      meter prices publish book.json

    where book.json is
      {"version": "2027", "effective_from": "2027-01-01", "prices": {
        "Mainland China": "0.25",
        "Silicon Valley, Virginia": "0.30",
        "Mumbai, Seoul, Bangkok, Hong Kong, Tokyo, Frankfurt, Singapore":
          "0.31"}}

    Exit codes: 0 done on every partition; 1 refused (with a code), no answer
    in time, or partitions disagree.
    """
    at_ms = read_at(at)
    issued_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    known_id = read_command_id(command_id)
    command = read_command(read_document(file, PRICE_BOOK, PUBLISH), known_id or str(uuid.uuid4()), issued_at)
    with connected(note) as settings:
        outcome = asyncio.run(_publish(settings, command, at_ms, timeout, id_is_new=known_id is None))
    done = f"done on {counted(len(outcome.asked), 'partition')}: {command.version} from {command.effective_from} on"
    return report(outcome, done, timeout, as_json)


def withdraw(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The book's version.", show_default=False)],
    command_id: CommandId = None,
    timeout: Timeout = 30,
    at: At = None,
    as_json: Json = False,
) -> int:
    """Withdraw a price book that has not begun, on all partitions.

    Its first day begins at least 1 h 10 min from now. The book before it
    holds on, and its version may be published again.

    Example:
      meter prices withdraw 2127

    Exit codes: 0 done on every partition; 1 refused (with a code), no answer
    in time, or partitions disagree.
    """
    at_ms, known_id = read_at(at), read_command_id(command_id)
    with connected(note) as settings:
        outcome = asyncio.run(_withdraw(settings, version, at_ms, known_id, timeout))
    done = f"done on {counted(len(outcome.asked), 'partition')}: {version} is withdrawn"
    return report(outcome, done, timeout, as_json)


async def _withdraw(
    settings: Settings, version: str, at_ms: int | None, known_id: str | None, timeout_s: float
) -> Outcome:
    rules = await check(settings, ORDERER, [transactional_id(settings)])
    now_ms = await record_time(settings, rules, at_ms)
    command = new_command("withdraw_price_book", rules, now_ms, known_id, version=version)
    return await place(settings, rules, command, at_ms=now_ms, timeout_s=timeout_s, id_is_new=known_id is None)


async def _publish(
    settings: Settings, command: PriceBookCommand, at_ms: int | None, timeout_s: float, *, id_is_new: bool
) -> Outcome:
    rules = await check(settings, PUBLISHER, [transactional_id(settings)])
    now_ms = await record_time(settings, rules, at_ms)
    refusal = books.check_book(command, await books.published(settings, rules), rules, now_ms)
    if refusal is not None:
        raise MeterError(f"not sent: {refusal.code}: {refusal.message}")
    document = command.model_dump(mode="json") | {"issued_at": issued_at(rules, now_ms)}
    return await place(settings, rules, document, at_ms=now_ms, timeout_s=timeout_s, id_is_new=id_is_new)


def _books() -> tuple[PriceBooks, str]:
    """The books that are known here, and the billing day of now."""
    settings = reachable()
    if settings is None:
        rules, books = Rules(meter_id="none"), PriceBooks()
    else:
        rules, books = asyncio.run(_published(settings))
    return books, BillingDays(rules.time_zone).day_of(time.time_ns() // 1000)


async def _published(settings: Settings) -> tuple[Rules, PriceBooks]:
    rules = await check(settings, reading(topics.COMMANDS, topics.STATE))
    return rules, (await published(settings, rules)).books


def _as_document(book: PriceBook) -> dict[str, object]:
    prices = {zone: decimal_text(price) for zone, price in book.prices}
    return {"version": book.version, "effective_from": book.effective_from, "prices": prices}


def _print_books(books: list[PriceBook], in_effect: PriceBook, day: str) -> None:
    say_table(
        ("", "version", "from", "price zone", "CNY per minute"),
        [row for book in books for row in _rows(book, book == in_effect)],
    )
    say(f"* in effect on {day}")


def _rows(book: PriceBook, is_in_effect: bool) -> Iterator[tuple[str, ...]]:
    """A row for each price zone; version and first day stand at the first."""
    own: tuple[str, ...] = ("*" if is_in_effect else "", book.version, book.effective_from or "ever")
    for zone in ZONES:
        yield (*own, zone, decimal_text(book.price_of(zone)))
        own = ("", "", "")
