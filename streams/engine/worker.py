"""The worker process: checks the topics, runs the app until asked to stop, and ends at once on any error."""

import asyncio
import math
import os
import sys
import traceback
from contextlib import suppress
from functools import partial
from typing import NoReturn

import structlog
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    OffsetOutOfRangeError,
    ProducerFenced,
    RequestTimedOutError,
)

from meter import __version__
from meter.records import HoleError
from streams.broker.taken_ports import look_at_pages
from streams.engine.app import MeterApp, create_app, stop_when
from streams.engine.web import add_pages
from streams.errors import Exit, MeterError, RefusalToStartError
from streams.kafka.clients import wait_for_broker
from streams.kafka.rights import DENIALS, WORKER
from streams.kafka.topics import check, missing_rights
from streams.process.garbage import collect_less
from streams.process.life import live
from streams.process.readiness import announce
from streams.process.waiting import AskedToStop, unless, until
from streams.settings import Settings

log = structlog.get_logger(__name__)

LOOK_S = 0.1

_BROKER_LOST = (
    KafkaConnectionError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
    ConnectionError,
    TimeoutError,
)
_FENCED = (ProducerFenced, InvalidProducerEpoch)


def run_worker(settings: Settings) -> int:
    """Run a worker until SIGTERM or SIGINT. Returns the exit code."""
    try:
        return live(settings, partial(_run, settings))
    except MeterError as error:
        log.error("worker does not start", reason=str(error))
        return error.code
    except BaseException as error:
        end_process(error)


async def _run(settings: Settings, asked: asyncio.Event) -> None:
    log.info("worker starts", version=__version__, app_id=settings.app_id, kafka=settings.bootstrap_servers)
    with suppress(AskedToStop):
        app = await unless(asked, _prepare(settings))
        telling = asyncio.create_task(_tell_when_open(app))
        await stop_when(app, asked, partial(end_process, settings=settings))
        telling.cancel()
    log.info("worker stopped")


async def _tell_when_open(app: MeterApp) -> None:
    """It does its work once all that it was given is open; where there are more workers, that may be nothing."""

    async def look() -> str:
        return app.engine.health.state()

    await until(look, lambda state: state in {"open", "standby"}, every_s=LOOK_S, within_s=math.inf)
    announce()


async def _prepare(settings: Settings) -> MeterApp:
    look_at_pages(settings)
    await wait_for_broker(settings, log.warning)
    rules = await check(settings, WORKER)
    app = create_app(settings, rules, partial(end_process, settings=settings))
    add_pages(app)
    # What is there now stays: collections of young objects need not look at it again.
    collect_less()
    # The consumer's thread needs the interpreter for moments only: it must not wait 5 ms for each.
    sys.setswitchinterval(0.0005)
    return app


def end_process(error: BaseException, settings: Settings | None = None) -> NoReturn:
    """Say what happened in one line and end, without any more sending or saving: the outcome may be unknown."""
    code, line = explain(error)
    is_denied = isinstance(error, DENIALS)
    if is_denied and settings is not None:
        line = missing_rights(settings, WORKER) or line
    log.error(line, exit_code=int(code))
    with suppress(OSError):  # whatever became of standard error, the process ends
        if code == Exit.STEP_FAILED and not is_denied:
            traceback.print_exception(error, file=sys.stderr)
        sys.stderr.flush()
    os._exit(code)


def explain(error: BaseException) -> tuple[int, str]:
    """The exit code and the line for whatever ended the worker."""
    if isinstance(error, OffsetOutOfRangeError):
        error = RefusalToStartError(
            f"Kafka does not hold what is to be read next ({error.args[0]}): the topic was deleted and made anew, cut "
            "off, or its retention has taken what was not read; see `meter topics check`"
        )
    if isinstance(error, MeterError):
        return error.code, str(error)
    if isinstance(error, _FENCED):
        return Exit.FENCED, "another worker has taken over this worker's partition; nothing of the step was committed"
    if isinstance(error, _BROKER_LOST):
        return Exit.BROKER_LOST, f"Kafka is lost: {error!r}; start again, nothing was lost"
    if isinstance(error, HoleError):
        return Exit.STEP_FAILED, f"hole in the log: {error}"
    what = "Kafka refused a step" if isinstance(error, KafkaError) else "a step failed"
    return Exit.STEP_FAILED, f"{what}: {error!r}"


__all__ = ["end_process", "explain", "run_worker"]
