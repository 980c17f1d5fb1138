"""A stop waits for the transactions that Kafka is ending.

A commit is acknowledged before its markers are written to the partitions. A Kafka that is shut down between the two can
put the transaction down as complete without them, and never comes back to it: what was committed stays open for ever.
Seen where a command that creates a meter's topics stopped its Kafka 30 ms after the commit of the rules.
"""

import asyncio
from operator import not_
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

from streams.broker.config import HOST, MECHANISM, USER
from streams.broker.probe import asked
from streams.kafka.protocol import message
from streams.process.waiting import until

#: Markers take some milliseconds. One that does not answer, since it hangs, is not waited for any longer.
ENDED_WITHIN_S = 5.0
LOOK_S = 0.01
ENDING = ["PrepareCommit", "PrepareAbort"]

_ListTransactions = message(
    66,
    0,
    asks=Schema(
        ("states", CompactArray(CompactString("utf-8"))),
        ("producer_ids", CompactArray(Int64)),
        ("tags", TaggedFields),
    ),
    answers=Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_states", CompactArray(CompactString("utf-8"))),
        (
            "transactions",
            CompactArray(
                ("transactional_id", CompactString("utf-8")),
                ("producer_id", Int64),
                ("state", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    ),
)


def wait_for_ends(port: int, secret: str) -> bool:
    """Wait until the Kafka on this loopback port ends no transaction; whether it says so, within `ENDED_WITHIN_S`."""
    return asked(lambda: _ended(port, secret)) is True


async def _ended(port: int, secret: str) -> bool:
    async with asyncio.timeout(ENDED_WITHIN_S):
        connection = await create_conn(
            HOST,
            port,
            client_id="meter-stop",
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism=MECHANISM,
            sasl_plain_username=USER,
            sasl_plain_password=secret,
        )
        try:
            await until(lambda: _ending(connection), not_, every_s=LOOK_S, within_s=ENDED_WITHIN_S)
        finally:
            connection.close()
    return True


async def _ending(connection: Any) -> bool:
    answer = await connection.send(_ListTransactions(ENDING, [], {}))
    # One that is loading its transactions knows of none yet.
    return bool(answer.error_code or answer.transactions)
