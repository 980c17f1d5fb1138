"""`python -m streams.contract` writes `docs/contract/`: the JSON Schemas of all topics, and the AsyncAPI document."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from meter import topics
from meter.billing_models import AccountService, BillIssued, LedgerEntry, NoteIssued, Notice
from meter.commands import HANDLERS
from meter.journal import JournalEntry
from meter.models import CommandResult, DayTotal, JobCompleted, PricedJob, Rejected
from streams.contract.asyncapi import asyncapi

FOLDER = Path(__file__).parents[2] / "docs" / "contract"

#: Topic -> the model of its values. Of commands there are several: see `meter.commands`.
VALUES: dict[str, type[BaseModel]] = {
    topics.COMPLETED: JobCompleted,
    topics.COMMAND_RESULTS: CommandResult,
    topics.PRICED: PricedJob,
    topics.DAILY: DayTotal,
    topics.REJECTED: Rejected,
    topics.BILLS: BillIssued,
    topics.NOTES: NoteIssued,
    topics.LEDGER: LedgerEntry,
    topics.NOTICES: Notice,
    topics.SERVICE: AccountService,
}


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of each topic, by file name."""
    found = {f"{topic}.schema.json": model.model_json_schema(by_alias=True) for topic, model in VALUES.items()}
    found[f"{topics.COMMANDS}.schema.json"] = _commands()
    found[f"{topics.JOURNAL}.schema.json"] = TypeAdapter(JournalEntry).json_schema(by_alias=True)
    return found


def _commands() -> dict[str, Any]:
    """Any command. Its type decides which it is, so that it must be there; a model has it as a default."""
    models = [handler.model for handler in HANDLERS.values()]
    references, definitions = models_json_schema([(model, "validation") for model in models], by_alias=True)
    for model in models:
        schema = definitions["$defs"][model.__name__]
        schema["required"] = sorted({*schema["required"], "type"})
    return {"oneOf": list(references.values()), **definitions}


def documents() -> dict[str, dict[str, Any]]:
    """All files of the contract, by name."""
    return {**schemas(), "asyncapi.json": asyncapi()}


def text_of(document: dict[str, Any]) -> str:
    """A document as its file has it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name, document in documents().items():
        (FOLDER / name).write_text(text_of(document), "utf-8")
