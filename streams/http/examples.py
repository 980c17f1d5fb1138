"""An example of a schema, made of the examples of its fields: one of each kind of thing, told once."""

from typing import Any

Node = dict[str, Any]

#: What a field of this name looks like where its schema does not say.
_NAMED: Node = {
    "If-Match": '"5f3c8a6f0b7f4a35a4f7a1d8f1a2b3c4"',
    "account_id": "A",
    "action": "top_up",
    "after": "WyIyMDI2LTExLTI0Il0",
    "amount": "16.80",
    "balance": "100.00",
    "bill_id": "B20261124-559aead08264d579",
    "cause": "bill",
    "code": "unknown_region",
    "command_id": "payment-4711",
    "completed_at": "2026-11-24T10:20:30.123+08:00",
    "contract_id": "contract-2027",
    "day": "2026-11-24",
    "detail": {},
    "differences": [],
    "duration_s": "61.5",
    "effective_from": "2027-01-01",
    "entry_id": "B20261124-559aead08264d579",
    "event": "notice",
    "from": "2026-11-01",
    "in_force": "guide-2023-09-19",
    "job_id": "j1",
    "kafka_problem": None,
    "kind": "usage",
    "kinds": ["face"],
    "label": "recognition-eu",
    "last_error": "the receiver answered 500",
    "message": "there is no region Mars",
    "message_id": "msg_0123456789abcdef0123456789abcdef",
    "meter_id": "m-5f3c8a6f",
    "minutes": 60,
    "mode": "daily",
    "next": "WyIyMDI2LTExLTI0Il0",
    "note_id": "C20261124-0d5f5ba12fa5b3a4",
    "notice_id": "arrears:B20261124-559aead08264d579:A",
    "original_bill_id": None,
    "outcome": "done",
    "payable": "16.80",
    "period": "2026-11-24",
    "position": "3:17",
    "price_version": "guide-2023-09-19",
    "prices": {"Mainland China": "0.28"},
    "published": {},
    "reason": "ten minutes were black",
    "reference": "B20261124-559aead08264d579",
    "region": "ap-guangzhou",
    "remote": "192.0.2.7",
    "role": "operator",
    "search": "studio",
    "secret": "whsec_and-44-characters-in-base64",
    "since": "2026-11-24T10:20:30.123+08:00",
    "token": "mtr_k5dq3ioz_and-43-characters-more",
    "token_id": "k5dq3ioz",
    "topic": "recognition.jobs.completed",
    "total": "16.80",
    "unit_price": "0.28",
    "unprovable": None,
    "url": "https://sms.example.com/meter",
    "version": "0.1.0",
    "warning": None,
    "webhook_id": "ep_0123456789abcdef",
}
_AMOUNT_PATTERN = r"^-?[0-9]+\.[0-9]{2,}$"
#: Where a schema says itself what it looks like.
_SAYING = ("examples", "enum", "const", "default")
_INSTANT = "2026-11-24T10:20:30.123+08:00"
_BY_TYPE: Node = {"string": "...", "integer": 1, "number": 1, "boolean": True, "null": None, "object": {}}
_BY_FORMAT = {"date-time": _INSTANT, "date": "2026-11-24"}


def named_example(name: str, schema: Node, schemas: Node) -> Any:
    """An example of a field or parameter of this name."""
    if _says(schema) or name not in _NAMED or "$ref" in schema:
        return example_of(schema, schemas)
    return _NAMED[name]


def example_of(schema: Node, schemas: Node) -> Any:
    """An example that the schema takes; references are to `schemas`, by name."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if choices := schema.get("anyOf", schema.get("oneOf")):
        return _said(schema) if _says(schema) else example_of(choices[0], schemas)
    if "items" in schema and not _says(schema):
        return [example_of(schema["items"], schemas)]
    if "properties" in schema and not _says(schema):
        return {name: named_example(name, field, schemas) for name, field in schema["properties"].items()}
    return _said(schema)


def _says(schema: Node) -> bool:
    return any(word in schema for word in _SAYING)


def _said(schema: Node) -> Any:
    for word in ("examples", "enum"):
        if word in schema:
            return schema[word][0]
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    if schema.get("pattern") == _AMOUNT_PATTERN:
        return _NAMED["amount"]
    return _BY_FORMAT.get(schema.get("format", "")) or _BY_TYPE[schema.get("type", "object")]
