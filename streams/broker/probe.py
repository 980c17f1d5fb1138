"""Is a broker there, and is it ours? Asked with the secret and a real metadata request, not by an open port."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from aiokafka.conn import create_conn
from aiokafka.errors import SaslAuthenticationFailed
from aiokafka.protocol.metadata import MetadataRequest

from streams.broker.config import HOST, MECHANISM, USER

_T = TypeVar("_T")


class BrokerAnswer(NamedTuple):
    """What a broker says: which cluster it is of, and the ports of all brokers that it knows to be there."""

    cluster_id: str
    ports: frozenset[int]


#: Of a Kafka that does not know the secret, or not yet: it is of no cluster.
STRANGER = BrokerAnswer("", frozenset())


def cluster_at(port: int, secret: str, timeout_s: float = 2.0) -> str | None:
    """The cluster id of the Kafka that serves on this loopback port; None when none answers or none is ready.

    The empty one of `STRANGER` where it does not take the secret.
    """
    answer = answer_at(port, secret, timeout_s)
    return None if answer is None else answer.cluster_id


def answer_at(port: int, secret: str, timeout_s: float = 2.0) -> BrokerAnswer | None:
    """What the Kafka says that serves on this loopback port; None when none answers or none is ready."""
    return asked(lambda: _answer_at(port, secret, timeout_s))


def asked(question: Callable[[], Coroutine[Any, Any, _T]]) -> _T | None:
    """The answer to a question, None where there is none.

    Safe to call from code with a running event loop: it asks from a thread with a loop of its own.
    """
    answer: list[_T] = []

    def ask() -> None:
        # Whatever goes wrong with a port that may belong to any program means: no broker of ours answers.
        with suppress(Exception):
            answer.append(asyncio.run(question()))

    asking = threading.Thread(target=ask, name="kafka-probe")
    asking.start()
    asking.join()
    return answer[0] if answer else None


async def _answer_at(port: int, secret: str, timeout_s: float) -> BrokerAnswer:
    async with asyncio.timeout(timeout_s):
        try:
            connection = await create_conn(
                HOST,
                port,
                client_id="meter-probe",
                request_timeout_ms=int(timeout_s * 1000),
                security_protocol="SASL_PLAINTEXT",
                sasl_mechanism=MECHANISM,
                sasl_plain_username=USER,
                sasl_plain_password=secret,
            )
        except SaslAuthenticationFailed:
            return STRANGER
        try:
            metadata = await connection.send(MetadataRequest([]))
        finally:
            connection.close()
    # A broker lists itself only once it is registered, unfenced and ready for work.
    ports = frozenset(broker[2] for broker in metadata.brokers)
    if port not in ports:
        raise ConnectionError("the broker is not ready")
    return BrokerAnswer(str(metadata.cluster_id), ports)
