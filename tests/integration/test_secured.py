"""TLS files and credentials that are wrong, or that Kafka does not like: one line, which names the setting."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.broker import EmbeddedBroker
from streams.broker.config import Extras, Listener
from streams.broker.ports import free_port
from streams.errors import BrokerLostError, SettingError
from streams.kafka import admin
from streams.settings import Settings

#: Made for these tests alone, and good for a hundred years: a server's certificate and key, the same key behind the
#: password `secret`, another key, and another certificate.
FILES = Path(__file__).with_name("tls")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ssl_ca_file": "missing.pem"}, "METER_SSL_CA_FILE: {}/missing.pem: No such file"),
        ({"ssl_ca_file": "server.key"}, "METER_SSL_CA_FILE: {}/server.key: no certificates in PEM"),
        ({"ssl_cert_file": "missing.pem"}, "METER_SSL_CERT_FILE: {}/missing.pem: No such file"),
        ({"ssl_cert_file": "server.key", "ssl_key_file": "server.key"}, "METER_SSL_CERT_FILE: {}/server.key: no cert"),
        ({"ssl_cert_file": "server.pem", "ssl_key_file": "missing.key"}, "METER_SSL_KEY_FILE: {}/missing.key: No such"),
        ({"ssl_cert_file": "server.pem", "ssl_key_file": "other.key"}, "METER_SSL_KEY_FILE: {}/other.key is not the"),
        ({"ssl_cert_file": "server.pem"}, "METER_SSL_KEY_FILE: {}/server.pem: no key in PEM"),
        ({"ssl_cert_file": "server.pem", "ssl_key_file": "locked.key"}, "or METER_SSL_KEY_PASSWORD is not its"),
        ({"ssl_cert_file": "server.pem", "ssl_key_file": "locked.key", "ssl_key_password": "x"}, "METER_SSL_KEY_PASS"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_setting(wrong: dict[str, str], message: str) -> None:
    with pytest.raises(SettingError) as raised:
        settings(**{name: FILES / value if name.endswith("_file") else value for name, value in wrong.items()}).client()
    assert message.format(FILES) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_key_behind_a_password_is_read() -> None:
    files = {"ssl_cert_file": FILES / "server.pem", "ssl_key_file": FILES / "locked.key"}
    assert settings(**files, ssl_key_password="secret").client()["ssl_context"]


@contextmanager
def tls_server(needs_client: bool = False) -> Iterator[str]:
    """Something on loopback that speaks TLS, and with those who get in nothing more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FILES / "server.pem", FILES / "server.key")
    if needs_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(FILES / "server.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        context.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        continue

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        serving.join()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "its certificate is not trusted: METER_SSL_CA_FILE: self-signed certificate"),
        ({"ssl_ca_file": "stranger.pem"}, "its certificate is not trusted: METER_SSL_CA_FILE: "),
    ],
)
def test_a_server_that_is_not_trusted_names_the_file(files: dict[str, str], message: str) -> None:
    with tls_server() as server:
        assert message in why(server, security_protocol="SSL", **{name: FILES / file for name, file in files.items()})


def test_a_server_of_another_name_names_the_check() -> None:
    with tls_server() as server:
        said = why(server.replace("127.0.0.1", "localhost"), security_protocol="SSL", ssl_ca_file=FILES / "server.pem")
    assert "METER_SSL_CHECK_HOSTNAME" in said


def test_a_server_that_wants_the_clients_certificate_names_that() -> None:
    with tls_server(needs_client=True) as server:
        said = why(server, security_protocol="SSL", ssl_ca_file=FILES / "server.pem")
    assert "METER_SSL_CERT_FILE" in said


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A Kafka's addresses: one where everybody gets in, one for `meter` with the password `secret`."""
    port = free_port()
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_meter="secret";'
    extras = Extras(
        settings={
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,GUARDED:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.guarded.plain.sasl.jaas.config": login,
        },
        listeners=[Listener("GUARDED", port, port)],
    )
    with EmbeddedBroker(tmp_path_factory.mktemp("guarded"), port=0, extras=extras) as address:
        yield address.bootstrap_servers, f"127.0.0.1:{port}"


def test_a_password_that_kafka_does_not_take_is_named(guarded: tuple[str, str]) -> None:
    wrong = {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "meter", "sasl_password": "guess"}
    said = why(guarded[1], **wrong)
    assert f"Kafka at {guarded[1]}: authentication failed: METER_SASL_USERNAME or METER_SASL_PASSWORD" in said
    assert "guess" not in said
    assert "METER_SASL_MECHANISM=SCRAM-SHA-256 is not enabled there" in why(
        guarded[1], **wrong | {"sasl_mechanism": "SCRAM-SHA-256"}
    )
    assert "METER_SECURITY_PROTOCOL=SASL_PLAINTEXT: nobody authenticates" in why(guarded[0], **wrong)
    assert "no TLS at this port? METER_SECURITY_PROTOCOL=SSL" in why(guarded[0], security_protocol="SSL")
    assert why(guarded[1], **wrong | {"sasl_password": "secret"}) == ""


def settings(server: str = "127.0.0.1:1", security_protocol: str = "SSL", **others: object) -> Settings:
    values = {"bootstrap_servers": server, "security_protocol": security_protocol, **others}
    return Settings.model_validate(values)


def why(server: str, **others: object) -> str:
    """Why no client gets in; nothing where one does."""

    async def look() -> None:
        async with admin(settings(server, **others)):  # type: ignore[arg-type]
            pass

    try:
        asyncio.run(look())
    except BrokerLostError as error:
        return str(error)
    return ""
