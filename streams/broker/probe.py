"""Is a broker there, and is it ours? Asked with a real metadata request, not by an open port."""

import asyncio
import threading
from contextlib import suppress

from aiokafka.conn import create_conn
from aiokafka.protocol.metadata import MetadataRequest

from streams.broker.config import HOST


def cluster_at(port: int, timeout_s: float = 2.0) -> str | None:
    """The cluster id of the Kafka that serves on this loopback port; None when none answers or none is ready.

    Safe to call from code with a running event loop: it asks from a thread with a loop of its own.
    """
    answer: list[str] = []

    def ask() -> None:
        # Whatever goes wrong with a port that may belong to any program means: no broker of ours answers.
        with suppress(Exception):
            answer.append(asyncio.run(_cluster_at(port, timeout_s)))

    asking = threading.Thread(target=ask, name="kafka-probe")
    asking.start()
    asking.join()
    return answer[0] if answer else None


async def _cluster_at(port: int, timeout_s: float) -> str:
    async with asyncio.timeout(timeout_s):
        connection = await create_conn(HOST, port, client_id="meter-probe", request_timeout_ms=int(timeout_s * 1000))
        try:
            metadata = await connection.send(MetadataRequest([]))
        finally:
            connection.close()
    # A broker lists itself only once it is registered, unfenced and ready for work.
    if not any(broker[2] == port for broker in metadata.brokers):
        raise ConnectionError("the broker is not ready")
    return str(metadata.cluster_id)
