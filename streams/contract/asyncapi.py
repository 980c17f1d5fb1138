"""The AsyncAPI 3.0 document of all topics: what they are called, how they are kept and keyed, and what is in them.

Values are described by the JSON Schemas beside it, to which it refers.
"""

from typing import Any, NamedTuple

from meter import __version__, topics
from meter.models import CLOUD_EVENT_TYPE
from meter.rules import Clock, Rules
from streams.kafka.specs import SPECS, TopicSpec

#: Of the JSON Schemas that the models give.
SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
_ACCOUNT = {"type": "string", "description": "the account id, in UTF-8"}
_COMMAND = {"type": "string", "description": "the command id, in UTF-8"}
_NO_KEY = {"type": "null", "description": "none: the partition says whose it is"}


class TopicDescription(NamedTuple):
    """What the document says of a topic. `action`: the meter receives or sends; of its own topics, both."""

    title: str
    action: str
    key: dict[str, Any] = _ACCOUNT
    internal: bool = False


TOLD = {
    topics.COMPLETED: TopicDescription("A finished job", "receive"),
    topics.REROUTED: TopicDescription(
        "A finished job that came in on another account's partition", "send", internal=True
    ),
    topics.COMMANDS: TopicDescription("A command: a payment, a contract, a price book, ...", "receive", _COMMAND),
    topics.COMMAND_RESULTS: TopicDescription("The answer to a command", "send", _COMMAND),
    topics.PRICED: TopicDescription("An accepted job with its price", "send"),
    topics.DAILY: TopicDescription(
        "Totals by account, region and billing day",
        "send",
        {"type": "array", "description": "account id, region, day", "items": {"type": "string"}},
    ),
    topics.REJECTED: TopicDescription("A refused record, whole, with the reason", "send"),
    topics.BILLS: TopicDescription("A bill", "send"),
    topics.NOTES: TopicDescription("A debit or credit note", "send"),
    topics.LEDGER: TopicDescription("An entry of the ledger", "send"),
    topics.NOTICES: TopicDescription("What a customer is to be told", "send"),
    topics.SERVICE: TopicDescription("May an account start new jobs?", "send"),
    topics.JOURNAL: TopicDescription(
        "What a step read, in which order; the first record has the meter's rules", "send", _NO_KEY
    ),
    topics.STATE: TopicDescription(
        "The state of a partition", "send", {"type": "array", "description": "kind and name"}, internal=True
    ),
}


def asyncapi() -> dict[str, Any]:
    """The document, for a meter that was created without further choices."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "recognition-meter",
            "version": __version__,
            "description": (
                "Usage metering for video recognition on Kafka. Consumers must read with "
                "isolation.level=read_committed. Version 1 of a topic's values only gains fields. "
                "A deployment may put a prefix before every topic's name."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {spec.name: _channel(spec) for spec in SPECS},
        "operations": {f"{TOLD[spec.name].action}.{spec.name}": _operation(spec.name) for spec in SPECS},
        "components": {"messages": {spec.name: _message(spec.name) for spec in SPECS}},
    }


def _channel(spec: TopicSpec) -> dict[str, Any]:
    told = TOLD[spec.name]
    partitions = Rules.model_fields["partitions"].default
    return {
        "address": spec.name,
        "title": told.title,
        **({"description": "Internal: its form may change with any version."} if told.internal else {}),
        "messages": {spec.name: {"$ref": f"#/components/messages/{spec.name}"}},
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": partitions,
                "topicConfiguration": _configuration(spec),
                "bindingVersion": "0.5.0",
            }
        },
    }


def _configuration(spec: TopicSpec) -> dict[str, Any]:
    config: dict[str, Any] = dict(spec.config(Clock.BROKER, replicas=1))
    config["cleanup.policy"] = [config["cleanup.policy"]]
    numbers = {"retention.ms", "retention.bytes", "max.message.bytes"}
    return {name: int(value) if name in numbers else value for name, value in config.items() if name in _DESCRIBED}


#: What the binding of AsyncAPI has a field for.
_DESCRIBED = frozenset({"cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes"})


def _operation(topic: str) -> dict[str, Any]:
    return {
        "action": TOLD[topic].action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "messages": [{"$ref": f"#/channels/{topic}/messages/{topic}"}],
    }


def _message(topic: str) -> dict[str, Any]:
    told = TOLD[topic]
    return {
        "name": topic,
        "title": told.title,
        "contentType": "application/json",
        **({"headers": _CLOUD_EVENT} if topic == topics.COMPLETED else {}),
        **({} if topic == topics.STATE else {"payload": _payload(topic)}),
        "bindings": {"kafka": {"key": told.key, "bindingVersion": "0.5.0"}},
    }


def _payload(topic: str) -> dict[str, Any]:
    described = topics.COMPLETED if topic == topics.REROUTED else topic
    return {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"./{described}.schema.json"}}


#: A completion may be a CloudEvent in binary mode; structured, and without an envelope, it has no headers.
_CLOUD_EVENT = {
    "type": "object",
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_type": {"type": "string", "const": CLOUD_EVENT_TYPE},
    },
}
