"""The schemas of the contract are those of the models, and hold what the meter publishes."""

from pathlib import Path

from streams.contract.documents import FOLDER, documents, schemas, text_of


def test_the_documents_of_the_contract_are_current() -> None:
    """`python -m streams.contract` writes them anew."""
    expected = {name: text_of(schema) for name, schema in documents().items()}
    assert {path.name: path.read_text("utf-8") for path in Path(FOLDER).glob("*.json")} == expected


def test_every_command_has_its_type_and_money_is_no_number() -> None:
    found = schemas()["meter.commands.schema.json"]
    commands = [found["$defs"][reference["$ref"].rpartition("/")[2]] for reference in found["oneOf"]]
    assert len(commands) == 13
    assert all("type" in command["required"] for command in commands)
    for name in ("billing.bills", "billing.ledger", "usage.priced", "usage.daily"):
        assert '"type": "number"' not in text_of(schemas()[f"{name}.schema.json"])
