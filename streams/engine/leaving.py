"""The request that takes a member out of its group, so that the group need not wait for a session timeout.

Static members too: aiokafka keeps them, since it speaks version 1 of the request, which cannot name one; version 3 can.
"""

from typing import Any

from aiokafka.protocol.types import Array, Int16, Int32, Schema, String

from streams.kafka.protocol import message

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


def leave_request(group: str, member_id: str, instance_id: str | None) -> Any:
    """One member leaves a group."""
    return _Leave(group, [(member_id, instance_id)])
