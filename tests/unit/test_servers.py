"""METER_BOOTSTRAP_SERVERS in every form that it may have: several servers, spaces, names, IPv6 addresses."""

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError

from meter.rules import Rules
from streams.engine.app import create_app
from streams.kafka import connections
from streams.kafka.diagnosis import why_not
from streams.kafka.options import client_options
from streams.settings import Settings

GOOD = {
    "kafka-1:9092": "kafka-1:9092",
    " kafka-1:9092 , kafka_2.example.com:9093": "kafka-1:9092,kafka_2.example.com:9093",
    "[::1]:9092,127.0.0.1:9093": "[::1]:9092,127.0.0.1:9093",
    "[fe80::1%eth0]:9092": "[fe80::1%eth0]:9092",
}


@pytest.mark.parametrize("given", GOOD)
async def test_a_worker_can_be_made_with_any_list_of_servers(given: str) -> None:
    settings = Settings(bootstrap_servers=given)
    assert client_options(settings)["bootstrap_servers"] == GOOD[given]
    create_app(settings, Rules(meter_id="m", partitions=2), lambda _: None)


@pytest.mark.parametrize("given", ["a:1,", ",a:1", "a:1;b:1", "::1:9092", "[::1]", "[]:1", "a:\u00b9", "a b:1"])
def test_what_is_no_list_of_servers_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="needs host:port"):
        Settings(bootstrap_servers=given)


async def test_the_search_for_a_wrong_setting_tries_each_server(unused_tcp_port: int) -> None:
    servers = f"127.0.0.1:{unused_tcp_port}, [::1]:{unused_tcp_port}"
    options = {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "u", "sasl_password": "p"}
    found = await why_not(Settings.model_validate({"bootstrap_servers": servers, **options}))
    assert [each.server for each in found] == servers.split(", ")
    assert {(each.what, each.is_setting) for each in found} <= {
        ("Connection refused", False), ("Cannot assign requested address", False),
    }  # fmt: skip


@pytest.mark.parametrize("given", ["kafka://a:1", "http://a:1/", "b:1,SASL_SSL://a:1"])
def test_a_scheme_is_named(given: str) -> None:
    with pytest.raises(ValueError, match=r"takes no scheme: '.*' is 'a:1'"):
        Settings(bootstrap_servers=given)


async def test_a_name_that_is_not_resolved_is_named() -> None:
    (found,) = await why_not(Settings(bootstrap_servers="no-such-host.invalid:9092"))
    assert found.server == "no-such-host.invalid:9092"
    assert found.what.startswith("the name cannot be resolved: ")
    assert not found.is_setting


async def answering(words: bytes) -> tuple[asyncio.Server, str]:
    """A server that is no Kafka: it says so much to whatever it hears."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(words)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
async def test_what_is_no_kafka_is_named_by_its_words(protocol: str) -> None:
    server, address = await answering(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>")
    async with server:
        (found,) = await why_not(Settings.model_validate({"bootstrap_servers": address, "security_protocol": protocol}))
    assert found == (address, "no Kafka answers at this port, but 'HTTP/1.1 400 Bad Request'", True)


async def test_what_says_nothing_may_still_be_kafka() -> None:
    server, address = await answering(b"")
    async with server:
        found = await why_not(Settings(bootstrap_servers=address))
    assert [each.is_setting for each in found] == [False]


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


async def test_a_silent_server_does_not_hold_up_the_next(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECT_PATIENCE_S", 0.2)
    consumer = AIOKafkaConsumer(**client_options(Settings(bootstrap_servers=f"{silent},{silent}")))
    began = time.monotonic()
    with pytest.raises(KafkaConnectionError):
        await asyncio.wait_for(consumer.start(), 10)
    await consumer.stop()
    assert 0.3 < time.monotonic() - began < 5
