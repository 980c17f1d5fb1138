"""Whatever ends a command, as an exit code and one line."""

import os
import sys
import traceback
from typing import Any

import typer

from streams.errors import Exit, MeterError

#: What typer raises for wrong arguments. It has brought its own click for a while, so click's name would not do.
_UsageError: Any = typer.BadParameter.__base__


#: What brings a package that not every installation has.
_EXTRA_OF = {
    **dict.fromkeys(("sqlalchemy", "alembic", "psycopg", "httpx", "standardwebhooks"), "sql"),
    **dict.fromkeys(("fastapi", "starlette", "uvicorn", "jinja2", "babel", "multipart"), "http"),
    "pyarrow": "parquet",
}


def explain(error: Exception) -> tuple[int, str]:
    """The exit code and the line for an exception that a command did not handle."""
    if isinstance(error, MeterError):
        return error.code, str(error)
    if isinstance(error, _UsageError):
        return Exit.WRONG_SETTING, _usage(error)
    if isinstance(error, typer.Abort):
        return 130, "stopped"
    if isinstance(error, ModuleNotFoundError) and (extra := _EXTRA_OF.get((error.name or "").partition(".")[0])):
        return Exit.WRONG_SETTING, f"this needs the package {error.name}: pip install 'recognition-meter[{extra}]'"
    return _kafka(error) or _bug(error)


def _usage(error: Any) -> str:
    context = error.ctx
    message = " ".join(error.format_message().split())
    if not message:
        return "say which command"  # the help is on the screen already
    if context is None:
        return message.rstrip(".")
    end = "" if message.endswith("?") else ";"
    return f"{message.rstrip('.')}{end} `{context.command_path} --help` explains"


def _kafka(error: Exception) -> tuple[int, str] | None:
    kafka: Any = sys.modules.get("aiokafka.errors")  # a command that has not loaded it has had no error of its
    if kafka is None:
        return None
    if isinstance(error, kafka.KafkaConnectionError | kafka.NodeNotReadyError | ConnectionError | TimeoutError):
        return Exit.BROKER_LOST, f"Kafka is lost: {error or type(error).__name__}"
    if isinstance(error, kafka.KafkaError):
        code = Exit.BROKER_LOST if error.retriable else Exit.FAILED
        return code, f"Kafka says no: {error or type(error).__name__}"
    return None


def _bug(error: Exception) -> tuple[int, str]:
    if os.environ.get("METER_LOG_LEVEL") == "debug":
        traceback.print_exception(error, file=sys.stderr)
    text = " ".join(str(error).split())
    return Exit.FAILED, f"this should not happen: {type(error).__name__}: {text} (METER_LOG_LEVEL=debug shows where)"
