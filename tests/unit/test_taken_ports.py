"""Ports are looked at before anything starts: a taken one is one line with the setting that moves it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.broker.ports import free_port
from streams.broker.taken_ports import look_at_ports
from streams.errors import SettingError
from streams.settings import Settings


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def refusal(tmp_path: Path, workers: int = 2, kafka: int = 0, **settings: object) -> str:
    """Why nothing is started; nothing where it would be."""
    given = {"data_dir": tmp_path, "web_port": 0, "http_port": 0, **settings}
    try:
        look_at_ports(Settings.model_validate(given), workers, kafka)
    except SettingError as error:
        return str(error)
    return ""


def test_each_port_that_is_taken_names_its_setting(tmp_path: Path, taken: int) -> None:
    says = f"port {taken} on 127.0.0.1, for {{}}, is taken by another program: {{}} chooses another"
    assert refusal(tmp_path, kafka=taken) == says.format("Kafka", "--port")
    assert refusal(tmp_path, web_port=taken) == says.format("worker 0", "METER_WEB_PORT")
    assert refusal(tmp_path, web_port=taken - 1) == says.format("worker 1", "METER_WEB_PORT")
    assert refusal(tmp_path, web_port=taken - 2) == says.format("the projector", "METER_WEB_PORT")
    assert refusal(tmp_path, web_port=taken - 3) == says.format("the webhooks' sender", "METER_WEB_PORT")
    assert refusal(tmp_path, web_port=65533) == ""  # then the sender has none
    assert refusal(tmp_path, http_port=taken) == says.format("the API", "METER_HTTP_PORT")


def test_all_settings_that_must_be_others_are_named_at_once(tmp_path: Path, taken: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refusal(tmp_path, kafka=port, http_port=taken)
    assert [part.rpartition(": ")[2] for part in said.split("; ")] == [
        "--port chooses another", "METER_HTTP_PORT chooses another"
    ]  # fmt: skip


def test_no_port_is_no_matter(tmp_path: Path, taken: int) -> None:
    assert refusal(tmp_path) == ""
    assert refusal(tmp_path, kafka=taken, bootstrap_servers="kafka:9092") == ""


def test_two_of_its_own_on_one_port_are_named_with_both_settings(tmp_path: Path) -> None:
    port = free_port()
    said = refusal(tmp_path, web_port=port, http_port=port + 1)
    assert (
        said == f"port {port + 1} would be of worker 1 and of the API: move one with METER_WEB_PORT or METER_HTTP_PORT"
    )
    said = refusal(tmp_path, kafka=port, http_port=port)
    assert said == f"port {port} would be of Kafka and of the API: move one with --port or METER_HTTP_PORT"


def test_an_address_that_is_not_this_machines_is_said_as_it_is(tmp_path: Path) -> None:
    for host in ("192.0.2.1", "no.such.host.invalid", "http://localhost"):
        said = refusal(tmp_path, web_port=free_port(), web_host=host)
        assert said == f"METER_WEB_HOST: {host!r} is no address of this machine"
