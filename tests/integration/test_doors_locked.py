"""The embedded Kafka answers those who have the secret of its data directory, at each of its doors, and nobody else."""

import socket
import stat
import struct
import subprocess
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.broker import MECHANISM, USER, BrokerAddress
from streams.broker.config import Files
from streams.broker.probe import STRANGER, answer_at
from streams.broker.secret import secret_for
from tests.integration.running import METER, clean_environment

METADATA = struct.pack(">hhih", 3, 4, 7, -1) + struct.pack(">i", -1) + b"\0"
ANSWERED_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def files(kafka_address: BrokerAddress) -> Files:
    return Files(kafka_address.log_file.parents[1])


def doors(files: Files) -> dict[str, int]:
    """The doors that Kafka has, but for the open one of these tests."""
    settings = dict(line.split("=", 1) for line in (files.root / "server.properties").read_text().splitlines())
    listeners = (listener.partition("://") for listener in settings["listeners"].split(","))
    return {name: int(address.rpartition(":")[2]) for name, _, address in listeners if name != "OPEN"}


def answers(port: int) -> bytes:
    """What a question for all topics is answered with by one who does not say who they are: nothing, and a cut."""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWERED_WITHIN_S) as client:
        client.sendall(struct.pack(">i", len(METADATA)) + METADATA)
        try:
            return client.recv(1 << 16)
        except ConnectionResetError:
            return b""


def test_whoever_does_not_say_who_they_are_gets_nothing_at_any_door(kafka: str, files: Files) -> None:
    assert answers(int(kafka.rpartition(":")[2])) != b""  # the question is one that an open door answers
    assert doors(files).keys() == {"CLIENTS", "CONTROLLER"}
    for name, port in doors(files).items():
        assert answers(port) == b"", name


def test_a_guess_is_refused(kafka_address: BrokerAddress, files: Files) -> None:
    assert answer_at(kafka_address.port, "a guess") == STRANGER
    for mechanism, user, password in (
        (MECHANISM, USER, "a guess"),
        (MECHANISM, "CONTROLLER", kafka_address.secret),
        ("PLAIN", USER, kafka_address.secret),
        ("SCRAM-SHA-256", USER, kafka_address.secret),
    ):
        client = AdminClient(login(doors(files)["CLIENTS"], mechanism, user, password))
        with pytest.raises(KafkaException):
            client.list_topics(timeout=2)


def login(port: int, mechanism: str, user: str, password: str) -> dict[str, object]:
    return {
        "bootstrap.servers": f"127.0.0.1:{port}",
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": password,
        "log_level": 0,
    }


def test_another_client_comes_in_with_the_file_that_the_command_names(files: Files) -> None:
    lines = dict(line.split("=", 1) for line in files.client_properties.read_text().splitlines())
    secret = files.secret.read_text().strip()
    assert lines.pop("sasl.jaas.config").endswith(f'username="{USER}" password="{secret}";')
    found = AdminClient({**lines, "sasl.username": USER, "sasl.password": secret, "log_level": 0})
    assert found.list_topics(timeout=20).cluster_id


async def test_what_takes_the_port_of_a_kafka_that_is_down_does_not_learn_the_secret(files: Files) -> None:
    """SCRAM sends no password, which PLAIN would."""
    secret = files.secret.read_text().strip()
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=f"127.0.0.1:{taken.getsockname()[1]}", security_protocol="SASL_PLAINTEXT",
            sasl_mechanism=MECHANISM, sasl_plain_username=USER, sasl_plain_password=secret, request_timeout_ms=500,
        )  # fmt: skip
        with pytest.raises(Exception, match="bootstrap"):
            await consumer.start()
        await consumer.stop()
        client, _ = taken.accept()
        with client:
            heard += client.recv(1 << 16)
    assert heard
    assert secret.encode() not in heard


@pytest.mark.parametrize("named", [True, False], ids=["by its address", "by its data directory"])
def test_the_commands_of_its_data_directory_find_the_secret(
    kafka_address: BrokerAddress, files: Files, tmp_path: Path, named: bool
) -> None:
    address = f"localhost:{kafka_address.port}" if named else ""
    assert secret_for(files.root.parent, f"127.0.0.1:{kafka_address.port}") == kafka_address.secret
    named_by = {"bootstrap_servers": address} if named else {}
    environment = clean_environment(data_dir=files.root.parent, topic_prefix="nowhere.", **named_by)
    done = subprocess.run(
        [METER, "topics", "check"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert "is missing: run `meter topics create`" in done.stderr


def test_nothing_that_it_keeps_is_open_to_others(files: Files) -> None:
    everything = [files.root, *files.root.rglob("*")]
    assert {files.secret, files.client_properties, files.log, files.root / "server.properties"} <= set(everything)
    assert [path for path in everything if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077] == []
