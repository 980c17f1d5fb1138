"""The secret of an embedded Kafka: where it is kept, and who finds it."""

import stat
from pathlib import Path

import pytest

from streams.broker import BrokerError, secret_for
from streams.broker.config import Files
from streams.broker.connect import embedded, settings_of_command
from streams.broker.secret import kept_secret, secret_of, write_client_properties
from streams.errors import SettingError
from streams.kafka.options import client_options
from streams.process.private import make_folder
from streams.settings import Settings

ADDRESS = "127.0.0.1:19092"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Those of a Kafka that was started once at an address."""
    found = Files.of(tmp_path / "data")
    make_folder(found.root)
    write_client_properties(found, ADDRESS, kept_secret(found))
    return found


def test_it_is_kept_and_its_owners_alone(files: Files) -> None:
    assert len(kept_secret(files)) >= 43
    assert kept_secret(files) == kept_secret(files)
    assert kept_secret(files) != kept_secret(Files(files.root.parent))
    for path in (files.secret, files.client_properties):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_a_crash_has_left_empty_is_made_anew_and_what_is_damaged_is_said(files: Files) -> None:
    before = kept_secret(files)
    files.secret.write_text("")
    assert secret_of(files) is None
    assert kept_secret(files) != before
    files.secret.write_text("not a secret")
    with pytest.raises(BrokerError, match="secret is damaged: without it the next start of Kafka makes a new one"):
        kept_secret(files)


@pytest.mark.parametrize("servers", [ADDRESS, "localhost:19092"])
def test_it_is_found_by_the_address_also_while_kafka_is_down(files: Files, servers: str) -> None:
    assert secret_for(files.root.parent, servers) == secret_of(files)


@pytest.mark.parametrize("servers", ["127.0.0.1:19093", "kafka:19092", f"{ADDRESS},kafka:9092"])
def test_it_is_for_no_other_kafka(files: Files, servers: str) -> None:
    assert secret_for(files.root.parent, servers) is None
    assert secret_for(files.root, ADDRESS) is None


def test_a_part_of_a_clusters_addresses_will_do(tmp_path: Path) -> None:
    node = Files.of_node(tmp_path, 3)
    make_folder(node.root)
    write_client_properties(node, "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3", kept_secret(node))
    assert node.secret == Files.of_node(tmp_path, 1).secret
    assert secret_for(tmp_path, "127.0.0.1:2,127.0.0.1:3") == secret_of(node)


def test_commands_are_let_in_by_the_address_alone(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METER_BOOTSTRAP_SERVERS", ADDRESS)
    monkeypatch.setenv("METER_DATA_DIR", str(files.root.parent))
    options = client_options(settings_of_command())
    assert options["security_protocol"] == "SASL_PLAINTEXT"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"  # which sends no password
    assert options["sasl_plain_password"] == secret_of(files)
    monkeypatch.setenv("METER_SECURITY_PROTOCOL", "PLAINTEXT")
    assert "sasl_mechanism" not in client_options(settings_of_command())  # somebody has said how


def test_another_kafkas_security_is_refused_for_the_embedded_one() -> None:
    given = Settings.model_validate({"security_protocol": "SASL_SSL"})
    with pytest.raises(SettingError, match="METER_SECURITY_PROTOCOL is for a Kafka that METER_BOOTSTRAP_SERVERS names"):
        embedded(given, ADDRESS, "secret")


def test_it_is_shown_nowhere(files: Files) -> None:
    settings = embedded(Settings(), ADDRESS, kept_secret(files))
    assert kept_secret(files) not in repr(settings)
