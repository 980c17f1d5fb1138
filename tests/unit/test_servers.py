"""METER_BOOTSTRAP_SERVERS in every form that it may have: several servers, spaces, names, IPv6 addresses."""

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError

from meter.rules import Rules
from streams.app import create_app
from streams.engine import connections
from streams.secured import why_not
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
    assert settings.client()["bootstrap_servers"] == GOOD[given]
    create_app(settings, Rules(meter_id="m", partitions=2), lambda _: None)


@pytest.mark.parametrize(
    "given", ["a:1,", ",a:1", "a:1;b:1", "::1:9092", "[::1]", "[]:1", "kafka://a:1", "a:\u00b9", "a b:1"]
)
def test_what_is_no_list_of_servers_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="needs host:port"):
        Settings(bootstrap_servers=given)


async def test_the_search_for_a_wrong_setting_tries_each_server(unused_tcp_port: int) -> None:
    servers = f"127.0.0.1:{unused_tcp_port}, [::1]:{unused_tcp_port}"
    assert (
        await why_not(
            Settings(
                bootstrap_servers=servers, security_protocol="SASL_PLAINTEXT", sasl_username="u", sasl_password="p"
            )
        )
        is None
    )


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


async def test_a_silent_server_does_not_hold_up_the_next(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECT_PATIENCE_S", 0.2)
    consumer = AIOKafkaConsumer(**Settings(bootstrap_servers=f"{silent},{silent}").client())
    began = time.monotonic()
    with pytest.raises(KafkaConnectionError):
        await asyncio.wait_for(consumer.start(), 10)
    await consumer.stop()
    assert 0.3 < time.monotonic() - began < 5
