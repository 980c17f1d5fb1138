"""Structured logs on standard error, as text for people or JSON for machines; Faust's and aiokafka's come along."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from streams.settings import Settings
from streams.text.visible import visible

#: Whose logs follow `METER_LOG_LEVEL`. Nobody else's go below a warning: some libraries log what they send, which may
#: be a password (Kafka's connections), a webhook's address (httpx) or its secret (SQL and its parameters).
OURS = ("streams", "meter")
#: What these say below a warning is about their own insides; at debug it is wanted.
INSIDES = ("faust", "mode", "aiokafka", "asyncio", "alembic", "uvicorn")
TELLS_SECRETS = ("aiokafka.conn",)


def set_up_logs(settings: Settings) -> None:
    """Send all logs of this process through structlog."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # JSON is ASCII, and one line whatever it says.
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer()]
        if settings.log_format == "json"
        else [_made_visible, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                *renderers,
            ],
        )
    )
    if settings.log_level != "debug":
        handler.addFilter(_is_for_operators)
    root = logging.getLogger()
    root.handlers = [handler]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    is_debug = level <= logging.DEBUG
    root.setLevel(max(level, logging.WARNING))
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in INSIDES:
        # aiokafka repeats itself ten times a second while a broker is away.
        quiet = logging.CRITICAL if name == "aiokafka" else logging.WARNING
        logging.getLogger(name).setLevel(logging.DEBUG if is_debug else quiet)
    for name in TELLS_SECRETS:
        logging.getLogger(name).setLevel(logging.WARNING if is_debug else logging.NOTSET)


def _made_visible(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What came from outside makes no line that looks like one of the log, and drives nobody's terminal."""
    for name, value in event.items():
        if name == "exception":
            event[name] = "\n".join(f"  {visible(line)}" for line in value.split("\n"))
        elif isinstance(value, str):
            event[name] = visible(value)
    return event


def _is_for_operators(record: logging.LogRecord) -> bool:
    """Not what Faust's services say of themselves: those that we derive log under our modules' names, `[^App]: ...`."""
    is_of_service = isinstance(record.msg, str) and record.msg.startswith("[^")
    return record.levelno >= logging.WARNING or not is_of_service
