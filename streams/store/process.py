"""The projector's process: waits for Kafka and the store, projects until it is asked to stop; rebuild; status."""

import asyncio
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial

import structlog
from sqlalchemy import Engine, delete, select
from sqlalchemy.exc import SQLAlchemyError

from meter import __version__
from streams.errors import Exit, MeterError
from streams.kafka.clients import reader, wait_for_broker
from streams.kafka.rights import reading
from streams.kafka.topics import check
from streams.observe.pages import Readiness, pages
from streams.process.life import begin, live
from streams.process.waiting import AskedToStop, unless
from streams.settings import Settings
from streams.store import positions
from streams.store.database import is_postgres, opened_store, reason, shown, store_errors, writing
from streams.store.following import Follower
from streams.store.measures import ProjectorMeasures
from streams.store.migrate import migrate
from streams.store.positions import Place
from streams.store.projector import Projector, wait_for_store
from streams.store.schema import READ_MODEL, meter_info

log = structlog.get_logger(__name__)

PROJECTOR = reading(*positions.PROJECTED)


def run_projector(settings: Settings, *, caught_up: bool = False) -> int:
    """Project until SIGTERM or SIGINT, or with `caught_up` until the present end. Returns the exit code."""
    try:
        return live(settings, partial(_run, settings, caught_up))
    except MeterError as error:
        log.error(str(error), exit_code=int(error.code))
        return error.code
    except SQLAlchemyError as error:
        log.error(f"the store refused a batch: {reason(error)}", exit_code=int(Exit.STEP_FAILED))
        return Exit.STEP_FAILED


async def _run(settings: Settings, caught_up: bool, asked: asyncio.Event) -> None:
    with opened_store(settings) as engine:
        await _project(settings, engine, caught_up, asked)
    log.info("projector stopped" if asked.is_set() else "all is projected")


async def _project(settings: Settings, engine: Engine, caught_up: bool, asked: asyncio.Event) -> None:
    measures = ProjectorMeasures()
    log.info("projector starts", version=__version__, kafka=settings.bootstrap_servers, store=shown(engine))
    with suppress(AskedToStop):
        async with _pages(settings, measures):
            await wait_for_store(lambda: migrate(engine), asked, measures, starting=True)
            await unless(asked, wait_for_broker(settings, log.warning))
            rules = await unless(asked, check(settings, PROJECTOR))
            begin()
            await Projector(settings, rules, engine, measures).run(asked, caught_up)


def _pages(settings: Settings, measures: ProjectorMeasures) -> AbstractAsyncContextManager[None]:
    """Its pages, while the block runs."""

    async def metrics() -> bytes:
        return measures.text()

    def readiness() -> Readiness:
        return measures.stalled(settings.stalled_after_s), {"age_s": round(measures.age_s(), 1)}

    return pages(settings, metrics, readiness)


# -- rebuild and status ------------------------------------------------------------------------------------------


async def expired(settings: Settings, engine: Engine) -> list[str]:
    """The partitions of which the store goes further back than their logs do: a rebuild would lose that.

    Raises BrokerLostError, StoreLostError, RefusalToStartError.
    """
    rules = await check(settings, PROJECTOR)
    async with reader(settings) as consumer:
        starts, _ = await Follower(settings, consumer, rules.partitions).bounds()
    with store_errors(engine), engine.connect() as connection:
        known = positions.load(connection)
        meter_id = connection.execute(select(meter_info.c.meter_id)).scalar()
    if meter_id not in (None, rules.meter_id):
        return [f"all of the meter {meter_id}, whose store this is"]
    return [
        f"{topic}[{partition}] from {first} to {starts[topic, partition]}"
        for (topic, partition), (first, position, _, _) in sorted(known.items())
        if (topic, partition) in starts and first < starts[topic, partition] and first < position
    ]


def empty(engine: Engine) -> None:
    """Take away all that was projected, and the positions, in one transaction; tokens, audit and webhooks stay."""
    with store_errors(engine), writing(engine) as connection:
        if is_postgres(connection):
            connection.exec_driver_sql(f"TRUNCATE {', '.join(table.name for table in READ_MODEL)}")
        else:
            for table in READ_MODEL:
                connection.execute(delete(table))


async def ends(settings: Settings, partitions: int) -> dict[Place, int]:
    """Where the committed part of each log ends now. Raises BrokerLostError."""
    async with reader(settings) as consumer:
        return (await Follower(settings, consumer, partitions).bounds())[1]
