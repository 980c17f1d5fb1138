"""The schemas of the contract are those of the models, and hold what the meter publishes."""

from pathlib import Path

from streams.contract import FOLDER, schemas, text_of


def test_the_schemas_are_current() -> None:
    """`python -m streams.contract` writes them anew."""
    expected = {name: text_of(schema) for name, schema in schemas().items()}
    assert {path.name: path.read_text("utf-8") for path in Path(FOLDER).glob("*.json")} == expected


def test_every_command_has_its_type_and_money_is_no_number() -> None:
    commands = schemas()["meter.commands.schema.json"]["oneOf"]
    assert len(commands) == 8
    assert all("type" in command["required"] for command in commands)
    for name in ("billing.bills", "billing.ledger", "usage.priced", "usage.daily"):
        assert '"type": "number"' not in text_of(schemas()[f"{name}.schema.json"])
