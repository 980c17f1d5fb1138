"""Leaving the group for good, so that it need not wait for a session timeout. Static members too: aiokafka keeps them.

aiokafka speaks version 1 of the request, which cannot name a static member; version 3 can.
"""

import asyncio
from contextlib import suppress
from typing import Any, ClassVar

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Schema, String

PATIENCE_S = 3.0


class _Left(Response):
    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")), ("error_code", Int16)),
        ),
    )


class _Leave_v3(RequestStruct):  # noqa: N801 - as aiokafka names its versions
    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = _Left
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("members", Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")))),
    )


class _Leave(Request[_Leave_v3]):
    """Brokers know this since 2.4."""

    API_KEY: ClassVar[int] = 13

    def __init__(self, group: str, member: str, instance: str | None) -> None:
        self._group, self._members = group, [(member, instance)]

    def build(self, request_struct_class: type[_Leave_v3]) -> _Leave_v3:
        return request_struct_class(self._group, self._members)


async def leave(consumer: AIOKafkaConsumer) -> None:
    """Take a consumer out of its group, in the midst of a rebalance too; it never joins again.

    A group that does not answer removes the member when its session has ended: no error is raised.
    """
    group: Any = consumer._coordinator
    member, node = group.member_id, group.coordinator_id
    if not group._closing.done():
        group._closing.set_result(None)
    for task in (group._heartbeat_task, group._coordination_task, group._commit_refresh_task):
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    if node is None or not member:
        return
    # Not on the group's own connection: a join may wait there for the others.
    sending = consumer._client.send(node, _Leave(group.group_id, member, group._group_instance_id))
    with suppress(KafkaError, TimeoutError, NotImplementedError):  # brokers before 2.4 do not know it
        await asyncio.wait_for(sending, PATIENCE_S)
