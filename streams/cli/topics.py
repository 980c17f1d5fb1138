"""`meter topics`: create a meter, and check that its topics fit."""

import asyncio
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from meter.rules import Rules
from streams.broker.connect import connected
from streams.cli.arguments import Json
from streams.errors import Exit, RefusalToStartError, SettingError
from streams.kafka.rights import CHECKER
from streams.kafka.same_log import differences
from streams.kafka.topics import compare, new_rules
from streams.kafka.topics import create as create_topics
from streams.settings import Settings
from streams.terminal.output import complain, counted, note, say_fields, say_json


def create(
    partitions: Annotated[int | None, typer.Option(help="Of every topic, for ever.", show_default="8")] = None,
    clock: Annotated[
        str | None,
        typer.Option(
            metavar="broker|simulated",
            help="Record time: the broker's, or (tests and demos) the producer's.",
            show_default="broker",
        ),
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="In which billing days begin and end.", show_default="Asia/Shanghai")
    ] = None,
    horizon_days: Annotated[
        int | None,
        typer.Option(help="How long job ids are remembered, and how late a job may come.", show_default="35"),
    ] = None,
    replication: Annotated[
        int | None,
        typer.Option(min=1, max=32767, help="Replicas of each partition.", show_default="as the others, else 1"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a meter: its topics, and the rules that never change.

    Run again, it creates what is missing and changes nothing else.
    Retention and limits are those of the contract; with two replicas or more
    a record counts once two have it.

    Example:
      meter topics create --partitions 16 --replication 3

    Exit codes: 2 a wrong value; 3 topics that are there do not fit, or the
    meter has other rules than asked for.
    """
    chosen = {"partitions": partitions, "clock": clock, "time_zone": time_zone, "horizon_days": horizon_days}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    wanted = _rules(chosen)
    with connected(note, makes=True) as settings:
        rules, new = asyncio.run(create_topics(settings, wanted, replication))
    for name in chosen:
        if getattr(rules, name) != getattr(wanted, name):
            raise RefusalToStartError(
                f"this meter was created with {_option(name)} {getattr(rules, name)}, which never changes; "
                "for another meter choose another METER_TOPIC_PREFIX and METER_APP_ID"
            )
    _print(rules, as_json, "created" if new else "there already")


def check(as_json: Json = False) -> None:
    """Check that all topics are as the contract says; show the rules.

    Retention, limits, time stamps, replicas and how many must have a record
    before it counts; of Kafka's log of transactions too, where it may be
    seen. What does not fit is a line each, with what puts it right. They
    must also be the ones that the meter has worked with so far: none made
    anew, cut off and filled again, or copied from another cluster.

    Example:
      meter topics check

    Exit codes: 0 they fit; 3 they do not.
    """
    with connected(note) as settings:
        rules, misfits = asyncio.run(_check(settings))
    for misfit in misfits:
        complain(misfit)
    if misfits:
        raise typer.Exit(Exit.REFUSES)
    _print(rules, as_json, "as they should be")


async def _check(settings: Settings) -> tuple[Rules, list[str]]:
    rules, misfits = await compare(settings, CHECKER)
    return rules, [*map(str, misfits), *await differences(settings, range(rules.partitions), rules)]


def _rules(chosen: dict[str, Any]) -> Rules:
    try:
        return new_rules(**chosen)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        message = detail["msg"].removeprefix("Value error, ")
        raise SettingError(f"{_option(str(detail['loc'][0]))}: {message}, got {detail['input']!r}") from error


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _print(rules: Rules, as_json: bool, topics: str) -> None:
    if as_json:
        say_json(rules.model_dump(mode="json"))
        return
    say_fields(
        {
            "topics": topics,
            "meter": rules.meter_id,
            "partitions": str(rules.partitions),
            "time zone": rules.time_zone,
            "horizon": counted(rules.horizon_days, "day"),
            "clock": rules.clock,
        }
    )
