"""TLS files and credentials that are wrong, or that Kafka does not like: one line, which names the setting."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from streams.broker.config import Extras, Listener
from streams.broker.ports import free_port
from streams.errors import BrokerLostError, BrokerRefusesError, SettingError
from streams.kafka.clients import admin, wait_for_broker
from streams.kafka.options import client_options
from streams.settings import Settings
from tests.integration.running import Meter
from tests.open_kafka import OpenBroker

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
        (
            {"ssl_cert_file": "expired.pem", "ssl_key_file": "server.key"},
            "METER_SSL_CERT_FILE: {}/expired.pem has expired",
        ),
        ({"ssl_cert_file": "server.pem"}, "METER_SSL_KEY_FILE: {}/server.pem: no key in PEM"),
        ({"ssl_cert_file": "server.pem", "ssl_key_file": "locked.key"}, "or METER_SSL_KEY_PASSWORD is not its"),
        ({"ssl_cert_file": "server.pem", "ssl_key_file": "locked.key", "ssl_key_password": "x"}, "METER_SSL_KEY_PASS"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_setting(wrong: dict[str, str], message: str) -> None:
    given: dict[str, Any] = {name: FILES / at if name.endswith("_file") else at for name, at in wrong.items()}
    with pytest.raises(SettingError) as raised:
        client_options(settings(**given))
    assert message.format(FILES) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_key_behind_a_password_is_read() -> None:
    files: dict[str, Any] = {"ssl_cert_file": FILES / "server.pem", "ssl_key_file": FILES / "locked.key"}
    assert client_options(settings(**files, ssl_key_password="secret"))["ssl_context"]


@contextmanager
def tls_server(needs_client: bool = False, certificate: str = "server.pem") -> Iterator[str]:
    """Something on loopback that speaks TLS, and with those who get in nothing more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FILES / certificate, FILES / "server.key")
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


@pytest.mark.parametrize("sasl", ["", "SASL_"])
def test_a_port_that_speaks_tls_is_named_to_those_who_do_not(sasl: str) -> None:
    with tls_server() as server:
        said = why(server, security_protocol=f"{sasl}PLAINTEXT", sasl_username="meter", sasl_password="guess")
    wanted = f"METER_SECURITY_PROTOCOL={sasl}PLAINTEXT should be {sasl}SSL"
    assert said == f"Kafka at {server}: this port speaks TLS: {wanted}"


def test_a_servers_certificate_that_has_expired_is_not_ours_to_change() -> None:
    with tls_server(certificate="expired.pem") as server:
        said = why(server, security_protocol="SSL", ssl_ca_file=FILES / "expired.pem")
    assert said == f"no Kafka at {server}: its certificate has expired: certificate has expired"


def test_waiting_ends_where_it_does_not_help() -> None:
    """A worker, and whatever waits as it does."""
    with tls_server() as server, pytest.raises(BrokerRefusesError, match="this port speaks TLS") as raised:
        asyncio.run(asyncio.wait_for(wait_for_broker(settings(server, "PLAINTEXT"), print), 30))
    assert raised.value.code == 2


@pytest.mark.parametrize("command", [["worker"], ["projector"], ["webhooks", "run"], ["api"], ["totals"]])
def test_every_process_says_it_in_one_line_and_ends(tmp_path: Path, command: list[str]) -> None:
    with tls_server() as server, Meter(server, tmp_path, web_port=0, http_port=0) as meter:
        done = meter.execute(*command)
    said = [line for line in done.stderr.splitlines() if "this port speaks TLS" in line]
    assert (done.returncode, len(said)) == (2, 1), done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A Kafka's addresses: one where everybody gets in, one for `meter` with the password `secret`."""
    port = free_port()
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_meter="secret";'
    extras = Extras(
        settings={
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.guarded.plain.sasl.jaas.config": login,
        },
        listeners=[Listener("GUARDED", port, port, "SASL_PLAINTEXT")],
    )
    with OpenBroker(tmp_path_factory.mktemp("guarded"), extras=extras) as address:
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
    assert "no TLS at this port: METER_SECURITY_PROTOCOL=SSL should be PLAINTEXT" in why(
        guarded[0], security_protocol="SSL"
    )
    assert (
        "clients authenticate at this port (PLAIN): METER_SECURITY_PROTOCOL=PLAINTEXT should be SASL_PLAINTEXT"
        in why(guarded[1], security_protocol="PLAINTEXT")
    )
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
