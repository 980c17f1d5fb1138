"""How long a connection may take. A server that swallows packets must not hold up the others that are named beside it.

aiokafka gives each server as long as it gives an answer, 40 s, and tries them one after the other.
"""

import asyncio
from typing import Any

from aiokafka import client
from aiokafka.conn import AIOKafkaConnection, create_conn

#: A connection, TLS and authentication included.
CONNECT_PATIENCE_S = 5.0


async def connect(host: str, port: int, **options: Any) -> AIOKafkaConnection:
    """aiokafka's connection to a server. Raises TimeoutError, which its callers know, where that takes too long."""
    async with asyncio.timeout(CONNECT_PATIENCE_S):
        return await create_conn(host, port, **options)


def install() -> None:
    """Every client of this process connects like this."""
    client.create_conn = connect
