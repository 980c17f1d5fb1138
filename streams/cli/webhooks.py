"""`meter webhooks`: who is told of bills, notices and service changes, and the process that tells them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from sqlalchemy import Engine

from meter.periods import BillingDays
from streams.broker.connect import connected, settings_of_command
from streams.broker.taken_ports import look_at_chosen_pages
from streams.cli.arguments import Account, Json
from streams.cli.times import days_of, local_time
from streams.errors import MeterError, SettingError
from streams.kafka.rights import reading
from streams.kafka.topics import check
from streams.settings import Settings
from streams.store.database import need_store, open_engine, store_errors, writing
from streams.store.migrate import migrate
from streams.terminal.output import complain, note, say, say_fields, say_json, say_table
from streams.webhooks.addresses import AddressError, UnresolvedError, find_target, read_url
from streams.webhooks.endpoints import Endpoint, listed, read_events
from streams.webhooks.endpoints import add as add_endpoint
from streams.webhooks.endpoints import remove as remove_endpoint
from streams.webhooks.events import EVENTS
from streams.webhooks.queue import dead as dead_messages
from streams.webhooks.queue import retry as retry_messages
from streams.webhooks.reading import committed_ends
from streams.webhooks.run import run_sender

EndpointOption = Annotated[str | None, typer.Option("--webhook", metavar="ID", help="Only of this webhook.")]


def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to post.", show_default=False)],
    events: Annotated[str, typer.Option(help="What of: bill, notice, service, joined by commas.")] = (
        "bill,notice,service"
    ),
    account: Account = None,
    as_json: Json = False,
) -> None:
    """Add a webhook: from now on it is told, and everything is signed.

    The secret is shown here and nowhere else; the receiver verifies
    signatures with it (Standard Webhooks). `meter webhooks run` sends.

    Example:
      meter webhooks add https://sms.example.com/meter --events notice
    """
    wanted = read_events(events)
    read_url(url)
    with connected(note) as settings, _store(settings, makes=True) as engine:
        rules = asyncio.run(check(settings, reading(*EVENTS.values())))
        positions, ids = asyncio.run(committed_ends(settings, rules.partitions))
        with writing(engine) as connection:
            endpoint = add_endpoint(connection, url, wanted, account, positions, ids)
    _print_added(endpoint, BillingDays(rules.time_zone), as_json)
    _warn_of_address(url, settings.webhook_private_addresses)


def _warn_of_address(url: str, private: bool) -> None:
    """Say at once what each attempt would say. A name may lead elsewhere later, so that the webhook is there."""
    try:
        asyncio.run(find_target(url, private))
    except UnresolvedError:
        return  # it may be known to the sender's machine alone
    except AddressError as error:
        complain(f"nothing will be sent there: {error}")


def _print_added(endpoint: Endpoint, days: BillingDays, as_json: bool) -> None:
    document = _document(endpoint, days)
    if as_json:
        say_json({**document, "secret": endpoint.secret})
    else:
        say_fields({**dict(zip(document, _cells(endpoint, days), strict=True)), "secret": endpoint.secret})


def list_webhooks(as_json: Json = False) -> None:
    """List the webhooks, with how many messages wait or are dead.

    Example:
      meter webhooks list
    """
    with _store(settings_of_command()) as engine, engine.connect() as connection:
        found, days = listed(connection), days_of(connection)
    if as_json:
        for each in found:
            say_json({**_document(each.endpoint, days), "waiting": each.waiting, "dead": each.dead})
    elif found:
        rows = [(*_cells(each.endpoint, days), str(each.waiting), str(each.dead)) for each in found]
        say_table(
            ("webhook", "url", "events", "account", "added", "waiting", "dead"),
            rows,
        )
    else:
        note("no webhooks")


def remove(
    webhook: Annotated[str, typer.Argument(metavar="ID", help="From the list.", show_default=False)],
) -> None:
    """Remove a webhook: it is sent nothing more, also of what waits.

    Example:
      meter webhooks remove ep_0123456789abcdef

    Exit codes: 0 removed; 1 there is no such webhook.
    """
    with _store(settings_of_command()) as engine, writing(engine) as connection:
        remove_endpoint(connection, webhook)
    say(f"removed {webhook}")


def dead(webhook: EndpointOption = None, as_json: Json = False) -> None:
    """List the messages that were given up after the last attempt.

    Example:
      meter webhooks dead
    """
    with _store(settings_of_command()) as engine, engine.connect() as connection:
        found, days = dead_messages(connection, webhook), days_of(connection)
    if as_json:
        for each in found:
            say_json({**each._asdict(), "created_at": local_time(days, each.created_at)})
    elif found:
        rows = [
            (each.event_id, each.event, each.account_id, each.endpoint_id, str(each.attempts), each.last_error or "")
            for each in found
        ]
        say_table(("message", "event", "account", "webhook", "attempts", "last error"), rows)
    else:
        note("no dead messages")


def retry(
    messages: Annotated[list[str] | None, typer.Argument(metavar="MESSAGE...", help="From the dead list.")] = None,
    webhook: EndpointOption = None,
    every: Annotated[bool, typer.Option("--all", help="All dead messages.")] = False,
) -> None:
    """Send dead messages again, with as many attempts as a new one.

    Example:
      meter webhooks retry msg_0123456789abcdef0123456789abcdef
      meter webhooks retry --all

    Exit codes: 0 they wait to be sent; 1 there are no such dead messages.
    """
    if not messages and not every and webhook is None:
        raise SettingError("say which messages, or --webhook ID, or --all")
    with _store(settings_of_command()) as engine, writing(engine) as connection:
        found = dead_messages(connection, webhook)
        chosen = [each for each in found if not messages or each.event_id in messages]
        count = retry_messages(connection, chosen, datetime.now(UTC))
    if not count:
        raise MeterError("there are no such dead messages; `meter webhooks dead` shows what there is")
    say(f"{count} to be sent again")


def run() -> int:
    """Read the topics and send, until Ctrl-C or SIGTERM.

    Each message is sent at least once, in order for each account. One that
    is not taken is tried again for about ten hours, then it is dead. Waits
    while Kafka or the store is away. A second one on the same store is not
    noticed at once: when the next message comes, one of the two ends.

    Example:
      meter webhooks run

    Exit codes: 0 stopped; 2 the store refuses it; 3 topics and store do not
    fit; 4 another one runs.
    """
    with connected(note, first=look_at_chosen_pages) as settings:
        return run_sender(settings)


@contextmanager
def _store(settings: Settings, *, makes: bool = False) -> Iterator[Engine]:
    """The store, with its tables. Raises StoreLostError; BrokerLostError where it is not to be made."""
    if not makes:
        need_store(settings)
    engine = open_engine(settings)
    try:
        migrate(engine)
        with store_errors(engine):
            yield engine
    finally:
        engine.dispose()


def _cells(endpoint: Endpoint, days: BillingDays) -> tuple[str, ...]:
    return tuple(cell or "all" for cell in _document(endpoint, days).values())


def _document(endpoint: Endpoint, days: BillingDays) -> dict[str, str | None]:
    return {
        "webhook": endpoint.endpoint_id,
        "url": endpoint.url,
        "events": ",".join(endpoint.events),
        "account": endpoint.account_id,
        "added": local_time(days, endpoint.created_at),
    }
