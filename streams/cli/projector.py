"""`meter projector`: the read model in SQL, kept up with the topics."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from meter.periods import BillingDays
from streams.broker.connect import connected, reachable, settings_of_command
from streams.broker.connect import settings_of_command as configured
from streams.broker.taken_ports import look_at_chosen_pages
from streams.cli.arguments import Json
from streams.cli.times import days_of, local_time
from streams.errors import BrokerLostError, MeterError
from streams.settings import Settings
from streams.store import migrate as migrations
from streams.store.database import need_store, opened_store, shown, store_errors
from streams.store.migrate import check_store
from streams.store.migrate import migrate as bring_up
from streams.store.process import empty, ends, expired, run_projector
from streams.store.queries.freshness import positions
from streams.terminal.output import note, say, say_json, say_table

app = typer.Typer(invoke_without_command=True)


@app.callback()
def projector(context: typer.Context) -> int:
    """Project the topics into SQL, until Ctrl-C or SIGTERM.

    Priced jobs, totals, rejects, bills, ledger, notices, services, commands:
    rows and positions are one transaction, so a crash loses nothing and
    doubles nothing. The store is METER_DATABASE_URL (PostgreSQL or SQLite);
    without it read-model.sqlite in METER_DATA_DIR. Its tables are made and
    brought to this version. Kafka and the store are waited for. /metrics,
    /healthz and /readyz are on METER_WEB_PORT.

    Example:
      METER_DATABASE_URL=postgresql://meter@db/meter meter projector

    Exit codes: 0 asked to stop; 2 wrong setting; 3 topics, log or store do
    not fit; 4 another projector is at work on the store; 5 Kafka lost. After
    4 and 5 start it again.
    """
    if context.invoked_subcommand is not None:
        return 0
    with connected(note, first=look_at_chosen_pages) as settings:
        raise typer.Exit(run_projector(settings))


@app.command()
def migrate() -> int:
    """Make the store's tables, or bring them to this version.

    `meter projector` does that when it starts. A store that a newer version
    has written is left alone.

    Example:
      meter projector migrate

    Exit codes: 0 the tables are this version's; 1 the store is not there; 2
    wrong setting, or the store refuses it; 3 a newer version has written it.
    """
    with opened_store(settings_of_command()) as engine:
        before, now = migrations.migrate(engine)
    word = "already" if before == now else "now"
    say(f"{shown(engine)} has the tables of this version {word}: {now}")
    return 0


@app.command()
def rebuild(
    drop_expired: Annotated[
        bool, typer.Option("--drop-expired", help="Even if rows whose records are no longer in Kafka are lost.")
    ] = False,
) -> int:
    """Empty the read model and read all topics again.

    Ends once all is projected that the topics held when it began. Should it
    be stopped, `meter projector` goes on from there. A projector that runs
    on the store ends by itself. Tokens, sessions, audit trail and webhooks
    stay. Records that Kafka no longer keeps (400 days) cannot be read
    again: their rows are only dropped with --drop-expired.

    Example:
      meter projector rebuild

    Exit codes: 0 rebuilt; 1 rows would be lost, or the store is not there;
    2 wrong setting; 3 topics or log do not fit; 5 Kafka lost.
    """
    with connected(note) as settings:
        with opened_store(settings) as engine:
            bring_up(engine)
            lost = asyncio.run(expired(settings, engine))
            if lost and not drop_expired:
                raise MeterError(f"rebuilding would lose rows of {lost[0]}, which Kafka has no more: --drop-expired")
            empty(engine)
        # Without pages: their port is the running projector's, and there is nothing left to show it on.
        return run_projector(settings.model_copy(update={"web_port": 0}), caught_up=True)


@app.command()
def status(as_json: Json = False) -> int:
    """Show how far each topic is projected, and how old that is.

    The lag is up to what is committed in Kafka now; without Kafka, up to
    what the projector last saw.

    Example:
      meter projector status --json

    Exit codes: 0 shown; 1 the store is not there; 2 wrong setting; 3 the
    store has no tables of this version.
    """
    settings = reachable()
    need_store(settings or configured())
    with opened_store(settings or configured()) as engine:
        check_store(engine)
        with store_errors(engine), engine.connect() as connection:
            reached, days = positions(connection), days_of(connection)
    ends = _ends(settings, 1 + max((row.partition for row in reached), default=0))
    rows = [row._replace(end_offset=max(row.end_offset, ends.get((row.topic, row.partition), 0))) for row in reached]
    topics = [
        _topic(topic, [row for row in rows if row.topic == topic], days)
        for topic in dict.fromkeys(r.topic for r in rows)
    ]
    if as_json:
        say_json(topics)
    elif not topics:
        say("nothing was projected yet: run `meter projector`")
    else:
        say_table(("topic", "lag", "last record", "looked at"), [_cells(topic) for topic in topics])
    return 0


def _ends(settings: Settings | None, partitions: int) -> dict[Any, int]:
    if settings is None:
        return {}
    try:
        return asyncio.run(ends(settings, partitions))
    except BrokerLostError as error:
        note(f"{error}: the lag is that of the last look")
        return {}


def _topic(name: str, rows: list[Any], days: BillingDays) -> dict[str, Any]:
    seen = [row.record_at for row in rows if row.record_at is not None]
    oldest = min(row.polled_at for row in rows)
    return {
        "topic": name,
        "lag": sum(row.lag for row in rows),
        "last_record_at": local_time(days, max(seen)) if seen else None,
        "looked_at": local_time(days, oldest),
        "age_s": round((datetime.now(UTC) - oldest).total_seconds(), 1),
    }


def _cells(topic: dict[str, Any]) -> tuple[str, ...]:
    return topic["topic"], f"{topic['lag']:,}", topic["last_record_at"] or "", f"{topic['age_s']:g} s ago"
