"""Kafka's messages that the client library does not speak: a layout of what is asked and one of what is answered."""

from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Schema


def message(api_key: int, version: int, *, asks: Schema, answers: Schema, flexible: bool = True) -> type[Request[Any]]:
    """A request of one version; it is made of its fields, in the order of `asks`.

    `flexible`: whether the version has tagged fields. A broker that does not know the version is a NotImplementedError
    when the request is sent.
    """

    class KafkaAnswer(Response):
        API_KEY = api_key
        API_VERSION = version
        SCHEMA = answers

    class KafkaQuestion(RequestStruct):
        API_KEY = api_key
        API_VERSION = version
        FLEXIBLE_VERSION = flexible
        RESPONSE_TYPE = KafkaAnswer
        SCHEMA = asks

    class KafkaMessage(Request[KafkaQuestion]):
        API_KEY = api_key

        def __init__(self, *fields: object) -> None:
            self._fields = fields

        def build(self, request_struct_class: type[KafkaQuestion]) -> KafkaQuestion:
            return request_struct_class(*self._fields)

    return KafkaMessage
