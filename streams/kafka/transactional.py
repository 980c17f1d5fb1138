"""Producers with transactions: the first request that is sent and not answered is the last.

aiokafka sends such a request again over another connection, under the same epoch. The first one may still be on its
way: an EndTxn that arrives during the next transaction ends that one, and half of it is committed (KAFKA-17754). So a
producer of this module is over with the first request of a transaction that has no answer: an EndTxn, partitions to be
added, or a batch, also one of which only a part went out. Its outcome is unknown. Whoever starts the next producer
under the same transactional id fences what is still on its way, by the new epoch that Kafka gives it.

An answer that says "not yet" or "not I" is an answer, and a request for which there was no connection was never sent:
the client may try both again. Every wait has an end.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.client import ConnectionGroup
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    InvalidTransactionTimeout,
    KafkaError,
    NodeNotReadyError,
    ProducerFenced,
)
from aiokafka.producer import sender as client_sender
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, EndTxnRequest
from aiokafka.structs import TopicPartition

from streams.errors import BrokerLostError, SettingError
from streams.kafka.internals import close_sender
from streams.kafka.options import client_options
from streams.kafka.wire import ProducerOf
from streams.settings import Settings

#: How soon to ask again for a new transaction while the broker still writes the markers of the last one. aiokafka
#: waits 20 ms, which would be most of a small step; the markers take a few.
client_sender.BACKOFF_OVERRIDE = 0.003

#: Requests whose second copy could do what was not meant.
ONCE = (EndTxnRequest, AddPartitionsToTxnRequest, AddOffsetsToTxnRequest, ProduceRequest)
ALL_REPLICAS = -1
RETRY_BACKOFF_MS = 100
STOP_S = 2.0


class UnansweredError(ProducerFenced):
    """A request of a transaction was sent and not answered; the producer is over, the outcome unknown.

    It is a ProducerFenced because aiokafka lets that out of its sender as it is, and takes the producer for dead.
    """

    def __str__(self) -> str:
        return ", ".join(map(str, self.args))


class _LostError(Exception):
    """The same, on its way out through aiokafka, which would try again after any error of Kafka's."""


@contextmanager
def _lets_out() -> Iterator[None]:
    try:
        yield
    except _LostError as lost:
        raise UnansweredError(str(lost)) from lost.__cause__


class _AsksOnce:
    """aiokafka's client, for a sender: it gives up on what it has sent and has no answer to."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, *, group: Any = ConnectionGroup.DEFAULT) -> Any:
        try:
            return await self._client.send(node_id, request, group=group)
        except (NodeNotReadyError, IncompatibleBrokerVersion):
            raise  # it was not sent
        except KafkaError as error:
            if not isinstance(request, ONCE):
                raise
            what = type(request).__name__.removesuffix("Request")
            raise _LostError(f"Kafka's node {node_id} has not answered {what} ({error!r})") from error


class _Sender(client_sender.Sender):
    """aiokafka's sender, which ends with the first request that is not answered."""

    async def _send_produce_req(self, *arguments: Any) -> None:
        with _lets_out():
            await super()._send_produce_req(*arguments)

    async def _do_add_partitions_to_txn(self, *arguments: Any) -> Any:
        with _lets_out():
            return await super()._do_add_partitions_to_txn(*arguments)

    async def _do_txn_commit(self, *arguments: Any) -> None:
        with _lets_out():
            await super()._do_txn_commit(*arguments)

    def _fail_all(self, task: "asyncio.Task[None]") -> None:
        super()._fail_all(task)
        waiter = self._txn_manager.wait_for_transaction_end()
        if waiter is not None and waiter.done() and not waiter.cancelled():
            waiter.exception()  # whoever waits for its sends is told by them


class TransactionalProducer(AIOKafkaProducer):
    """A producer of transactions. Any error of it leaves the outcome unknown, and ends it: stop it, start a new one."""

    def __init__(
        self, settings: Settings, transactional_id: str, *, request_timeout_s: float | None = None, **options: Any
    ) -> None:
        request_timeout_ms = int((request_timeout_s or settings.request_timeout_s) * 1000)
        super().__init__(
            **client_options(settings),
            transactional_id=transactional_id,
            transaction_timeout_ms=int(settings.transaction_timeout_s * 1000),
            request_timeout_ms=request_timeout_ms,
            **options,
        )
        self._sender: Any = _Sender(
            _AsksOnce(self.client),
            acks=ALL_REPLICAS,
            txn_manager=self._txn_manager,
            retry_backoff_ms=RETRY_BACKOFF_MS,
            message_accumulator=self._message_accumulator,
            request_timeout_ms=request_timeout_ms,
        )

    @property
    def identity(self) -> ProducerOf:
        """Kafka's id of the producer, the same as its predecessors', and its epoch; once it has started."""
        return ProducerOf(self._txn_manager.producer_id, self._txn_manager.producer_epoch)

    def add_partition(self, place: TopicPartition) -> None:
        """A partition becomes part of the transaction that has begun, without a record."""
        self._txn_manager.maybe_add_partition_to_txn(place)


@asynccontextmanager
async def transaction(settings: Settings, transactional_id: str) -> AsyncIterator[TransactionalProducer]:
    """One transaction, committed where the block ends well.

    Else nothing is sent any more: what the block left open is ended by the next one under this id, or by Kafka after
    METER_TRANSACTION_TIMEOUT_S. Raises BrokerLostError where it does not begin, or an error of Kafka's.
    """
    producer = TransactionalProducer(settings, transactional_id)
    try:
        await start(producer, settings.publish_timeout_s)
        await producer.begin_transaction()
        yield producer
        await producer.commit_transaction()
    finally:
        await stop(producer)


async def start(producer: AIOKafkaProducer, patience_s: float) -> None:
    """Start a producer; one with a transactional id fences the former one.

    Raises SettingError where its transactions may not last as long as that, BrokerLostError, KafkaError.
    """
    try:
        async with asyncio.timeout(patience_s):
            await producer.start()
    except InvalidTransactionTimeout as error:
        raise SettingError(
            "METER_TRANSACTION_TIMEOUT_S is longer than the brokers' transaction.max.timeout.ms"
        ) from error
    except TimeoutError as error:
        raise BrokerLostError(f"Kafka has given a producer no id within {patience_s:.0f} s") from error


async def stop(producer: AIOKafkaProducer, patience_s: float = STOP_S) -> None:
    """Close it, and where that takes too long, cut it off: its client would go on trying without end."""
    with suppress(TimeoutError, KafkaError, OSError):
        await asyncio.wait_for(producer.stop(), patience_s)
        return
    with suppress(TimeoutError, KafkaError, OSError):
        await asyncio.wait_for(close_sender(producer), patience_s)
    with suppress(TimeoutError, KafkaError, OSError):
        await asyncio.wait_for(producer.client.close(), patience_s)
