"""`python -m streams.contract`: write the JSON Schema of every topic of the public contract to `docs/contract/`."""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from meter import topics
from meter.billing_models import AccountService, BillIssued, LedgerEntry, Notice
from meter.commands import HANDLERS
from meter.journal import JournalEntry
from meter.models import CommandResult, DayTotal, JobCompleted, PricedJob, Rejected

FOLDER = Path(__file__).parents[1] / "docs" / "contract"

#: Topic -> the model of its values. Of commands there are several: see `meter.commands`.
VALUES: dict[str, type[BaseModel]] = {
    topics.COMPLETED: JobCompleted,
    topics.COMMAND_RESULTS: CommandResult,
    topics.PRICED: PricedJob,
    topics.DAILY: DayTotal,
    topics.REJECTED: Rejected,
    topics.BILLS: BillIssued,
    topics.LEDGER: LedgerEntry,
    topics.NOTICES: Notice,
    topics.SERVICE: AccountService,
}


def schemas() -> dict[str, dict[str, Any]]:
    """The schema of each topic, by file name."""
    found = {f"{topic}.schema.json": model.model_json_schema(by_alias=True) for topic, model in VALUES.items()}
    # A command's type decides what it is, so that it must be there; a model has it as a default.
    commands = {kind: model.model_json_schema(by_alias=True) for kind, (model, _) in HANDLERS.items()}
    for schema in commands.values():
        schema["required"] = sorted({*schema["required"], "type"})
    found[f"{topics.COMMANDS}.schema.json"] = {"oneOf": list(commands.values())}
    found[f"{topics.JOURNAL}.schema.json"] = TypeAdapter(JournalEntry).json_schema(by_alias=True)
    return found


def text_of(schema: dict[str, Any]) -> str:
    """A schema as its file has it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name, schema in schemas().items():
        (FOLDER / name).write_text(text_of(schema), "utf-8")


if __name__ == "__main__":
    main()
