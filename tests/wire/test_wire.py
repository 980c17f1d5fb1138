"""Each fault does what it says, to a real Kafka's clients and frames."""

import asyncio
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import AdminClient, NewTopic

from streams.broker.config import HOST
from tests.integration.running import until
from tests.open_kafka import OpenCluster
from tests.recount.log import Log
from tests.wire import Door, Wire, extras
from tests.wire.frames import API_VERSIONS, END_TXN, PRODUCE

SILENCE_S = 0.5
TOPIC = "wired"


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        yield wire


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, wire: Wire) -> Iterator[OpenCluster]:
    with OpenCluster(tmp_path_factory.mktemp("wired"), extras=extras(wire)) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0})
        admin.create_topics([NewTopic(TOPIC, 1)])[TOPIC].result(30)
        yield cluster


@pytest.fixture
def door(cluster: OpenCluster, wire: Wire) -> Iterator[Door]:
    """The door of node 1, healed afterwards."""
    yield wire.door(1)
    wire.heal()


class Client:
    """A client that says one thing: which versions do you speak?"""

    def __init__(self, door: Door) -> None:
        self.socket = socket.create_connection((HOST, door.port), timeout=10)
        self._number = 0

    def ask(self) -> int:
        """Send it; the number that the answer will have."""
        self._number += 1
        client_id = b"test"
        header = struct.pack(">hhih", API_VERSIONS, 0, self._number, len(client_id)) + client_id
        self.socket.sendall(struct.pack(">i", len(header)) + header)
        return self._number

    def answered(self, patience_s: float = 10.0) -> int | None:
        """The number of the next answer; None when nothing comes."""
        self.socket.settimeout(patience_s)
        try:
            length = self.socket.recv(4, socket.MSG_WAITALL)
            if len(length) < 4:
                raise ConnectionResetError
            body = self.socket.recv(struct.unpack(">i", length)[0], socket.MSG_WAITALL)
        except TimeoutError:
            return None
        return int(struct.unpack_from(">i", body)[0])


@pytest.fixture
def client(door: Door) -> Iterator[Client]:
    """One whose connection works."""
    client = Client(door)
    assert client.ask() == client.answered()
    yield client
    client.socket.close()


def values(cluster: OpenCluster) -> list[bytes | None]:
    """The committed records, read past the doors."""
    log = Log(cluster.bootstrap_servers)
    try:
        return [record.value for record in log.records(TOPIC, 0)]
    finally:
        log.close()


def test_clients_stay_behind_the_doors(cluster: OpenCluster, wire: Wire) -> None:
    admin = AdminClient({"bootstrap.servers": wire.bootstrap_servers, "log_level": 0})
    told = {broker.port for broker in admin.list_topics(timeout=20).brokers.values()}
    assert told == {door.port for door in wire.doors}
    past = AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0})
    assert told.isdisjoint(broker.port for broker in past.list_topics(timeout=20).brokers.values())


def test_requests_are_counted_by_their_kind(door: Door, client: Client) -> None:
    before = door.seen[API_VERSIONS]
    client.ask()
    client.answered()
    assert door.seen[API_VERSIONS] == before + 1


@pytest.mark.parametrize("way", ["requests", "answers"])
def test_a_delay_is_of_each_frame_and_not_of_each_after_the_other(door: Door, client: Client, way: str) -> None:
    door.delay(SILENCE_S, requests=way == "requests", answers=way == "answers")
    began = time.monotonic()
    numbers = [client.ask() for _ in range(4)]
    assert [client.answered() for _ in numbers] == numbers
    assert SILENCE_S <= time.monotonic() - began < 3 * SILENCE_S


def test_what_is_cut_on_its_way_in_comes_late_and_in_order(door: Door, client: Client) -> None:
    door.cut(requests=True)
    before = door.seen[API_VERSIONS]
    numbers = [client.ask() for _ in range(3)]
    assert client.answered(SILENCE_S) is None
    assert door.seen[API_VERSIONS] == before
    door.heal()
    assert [client.answered() for _ in numbers] == numbers


def test_what_is_cut_on_its_way_back_was_done(door: Door, client: Client) -> None:
    door.cut(answers=True)
    before = door.seen[API_VERSIONS]
    number = client.ask()
    until(lambda: door.seen[API_VERSIONS] == before + 1, "the request to pass")
    assert client.answered(SILENCE_S) is None
    door.heal()
    assert client.answered() == number


def test_a_black_hole_takes_new_connections_too(door: Door, client: Client) -> None:
    door.cut(requests=True, answers=True)
    client.ask()
    other = Client(door)
    number = other.ask()
    assert other.answered(SILENCE_S) is None
    assert client.answered(SILENCE_S) is None
    door.heal()
    assert other.answered() == number
    other.socket.close()


def test_what_a_client_has_sent_arrives_although_it_has_gone(door: Door, client: Client) -> None:
    door.cut(requests=True)
    before = door.seen[API_VERSIONS]
    client.ask()
    client.socket.close()
    door.heal()
    until(lambda: door.seen[API_VERSIONS] == before + 1, "the request to arrive late")


def test_a_half_open_connection_is_silent_until_it_is_reset(door: Door, client: Client) -> None:
    door.half_open()
    before = door.seen[API_VERSIONS]
    client.ask()
    assert client.answered(SILENCE_S) is None
    assert door.seen[API_VERSIONS] == before
    other = Client(door)
    assert other.ask() == other.answered()
    door.heal()
    with pytest.raises(ConnectionResetError):
        client.answered()
    assert other.ask() == other.answered()
    other.socket.close()


def test_a_reset_is_one(door: Door, client: Client) -> None:
    door.reset()
    with pytest.raises(ConnectionResetError):
        client.answered()
    other = Client(door)
    assert other.ask() == other.answered()
    other.socket.close()


def test_one_request_is_held_and_what_follows_it_waits(door: Door, client: Client) -> None:
    held = door.hold(API_VERSIONS, lambda request: request.client_id == "test")
    numbers = [client.ask(), client.ask()]
    assert held.wait().correlation_id == numbers[0]
    assert client.answered(SILENCE_S) is None
    other = Client(door)
    assert other.ask() == other.answered()  # another connection is not held up
    other.socket.close()
    held.release()
    assert [client.answered() for _ in numbers] == numbers


def test_a_held_request_is_answered_although_its_client_was_reset(door: Door, client: Client) -> None:
    held = door.hold(API_VERSIONS)
    number = client.ask()
    held.wait()
    held.reset_client()
    with pytest.raises(ConnectionResetError):
        client.answered()
    held.release()
    assert struct.unpack_from(">i", held.answer(), 4)[0] == number


async def test_the_end_of_a_transaction_is_held_and_comes_late(cluster: OpenCluster, wire: Wire) -> None:
    async with AIOKafkaProducer(bootstrap_servers=wire.bootstrap_servers, transactional_id="held") as producer:
        produced = sum(door.seen[PRODUCE] for door in wire.doors)
        held = wire.hold(END_TXN)
        await producer.begin_transaction()
        await producer.send_and_wait(TOPIC, b"late")
        assert sum(door.seen[PRODUCE] for door in wire.doors) == produced + 1
        committing = asyncio.create_task(producer.commit_transaction())
        with ThreadPoolExecutor(1) as pool:  # the producer's loop goes on
            request = await asyncio.get_running_loop().run_in_executor(pool, held.wait)
            assert request.api_key == END_TXN
            assert values(cluster) == []
            held.release()
            answer = await asyncio.get_running_loop().run_in_executor(pool, held.answer)
        assert struct.unpack_from(">h", answer, 12)[0] == 0  # length, correlation id, throttle time; no error
        await committing
    until(lambda: values(cluster) == [b"late"], "the record to be committed")
    wire.heal()
