"""Leaving the group for good, so that it need not wait for a session timeout. Static members too: aiokafka keeps them.

aiokafka speaks version 1 of the request, which cannot name a static member; version 3 can.
"""

import asyncio
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.protocol.types import Array, Int16, Int32, Schema, String

from streams.protocol import message

PATIENCE_S = 3.0


#: Brokers know this since 2.4.
_Leave = message(
    13,
    3,
    asks=Schema(
        ("group", String("utf-8")),
        ("members", Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")))),
    ),
    answers=Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8")), ("error_code", Int16)),
        ),
    ),
    flexible=False,
)


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
    sending = consumer._client.send(node, _Leave(group.group_id, [(member, group._group_instance_id)]))
    with suppress(KafkaError, TimeoutError, NotImplementedError):  # brokers before 2.4 do not know it
        await asyncio.wait_for(sending, PATIENCE_S)
