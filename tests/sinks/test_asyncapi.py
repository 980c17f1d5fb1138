"""The AsyncAPI document, against AsyncAPI's own schema (npm @asyncapi/specs 6.11.1, Apache-2.0) and the topics."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from jsonschema.validators import validator_for

from streams.contract.asyncapi import TOLD, asyncapi
from streams.contract.documents import FOLDER, schemas
from streams.kafka.specs import SPECS

SCHEMA = json.loads(Path(__file__).with_name("asyncapi-3.0.0.json").read_text("utf-8"))
PUBLISHED = json.loads((FOLDER / "asyncapi.json").read_text("utf-8"))


def test_the_document_is_valid() -> None:
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(PUBLISHED)] == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("operations", "send.usage.priced", "action"), "publish"),
        (("asyncapi",), "2.6.0"),
        (("channels", "usage.priced", "messages"), []),
        (("components", "messages", "usage.priced", "bindings", "kafka", "key"), 7),
    ],
)
def test_a_wrong_document_is_found_out(place: tuple[str, ...], value: object) -> None:
    document: Any = json.loads(json.dumps(asyncapi()))
    inner = document
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    assert list(Draft7Validator(SCHEMA).iter_errors(document))


def test_every_topic_is_in_it_as_it_is_created() -> None:
    assert [spec.name for spec in SPECS] == list(PUBLISHED["channels"]) == list(TOLD)
    for spec in SPECS:
        kafka = PUBLISHED["channels"][spec.name]["bindings"]["kafka"]
        assert kafka["topicConfiguration"]["cleanup.policy"] == ["compact" if spec.compact else "delete"]
        assert spec.compact or kafka["topicConfiguration"]["retention.ms"] == spec.retention_ms


def test_every_reference_leads_to_a_schema() -> None:
    names = {
        message["payload"]["schema"]["$ref"].removeprefix("./")
        for message in PUBLISHED["components"]["messages"].values()
        if "payload" in message
    }
    assert names == set(schemas())
    assert all((FOLDER / name).exists() for name in names)


@pytest.mark.parametrize("name", sorted(schemas()))
def test_a_schema_is_one_and_its_own_references_lead_somewhere(name: str) -> None:
    schema = schemas()[name]
    validator = validator_for(schema)
    validator.check_schema(schema)
    text = json.dumps(schema)
    for definition in {part.partition('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]}:
        assert definition in schema["$defs"]
    assert list(validator(schema).iter_errors({"v": 2})), "anything would do"
