"""The compose file fits the product: its image, its settings, its commands. Docker itself is not needed for that."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.broker.config import Node, server_properties
from streams.broker.jars import kafka_version, read_lock
from streams.settings import PREFIX, Settings
from tests.docs.test_reference import COMMANDS

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name not in {"kafka", "postgres"}}
READERS = ("projector", "webhooks", "api")
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def test_there_are_kafka_its_topics_two_workers_and_who_reads() -> None:
    assert set(SERVICES) == {"kafka", "topics", "worker-0", "worker-1", "postgres", *READERS}


def test_readers_find_the_database_and_wait_for_it() -> None:
    made = SERVICES["postgres"]["environment"]
    user, password, name = (made[f"POSTGRES_{part}"] for part in ("USER", "PASSWORD", "DB"))
    for reader in READERS:
        service = OURS[reader]
        assert service["environment"]["METER_DATABASE_URL"] == f"postgresql://{user}:{password}@postgres:5432/{name}"
        assert service["depends_on"]["postgres"] == {"condition": "service_healthy"}
        assert service["depends_on"]["topics"] == {"condition": "service_completed_successfully"}
        assert service["restart"] == "on-failure"
    port = Settings.model_fields["http_port"].default
    assert OURS["api"]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_kafka_is_the_one_that_is_embedded() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka_version(read_lock())}"


def test_kafka_has_the_settings_of_the_one_that_is_embedded() -> None:
    embedded = dict(line.split("=", 1) for line in server_properties(Node(1, {1: 2}, "", "")).splitlines())
    addresses = ("listener", "voters", "log.dirs")
    for variable, value in SERVICES["kafka"]["environment"].items():
        name = variable.removeprefix("KAFKA_").replace("_", ".").lower()
        assert name in embedded
        assert any(word in name for word in addresses) or str(value) == embedded[name]


def test_kafka_is_reached_where_it_says_it_is() -> None:
    environment = SERVICES["kafka"]["environment"]
    advertised = dict(item.split("://") for item in environment["KAFKA_ADVERTISED_LISTENERS"].split(","))
    listeners = dict(item.split("://") for item in environment["KAFKA_LISTENERS"].split(","))
    protocols = dict(item.split(":") for item in environment["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert set(listeners) == set(protocols) == {*advertised, environment["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert all(address.endswith(listeners[name]) for name, address in advertised.items())
    assert {service["environment"]["METER_BOOTSTRAP_SERVERS"] for service in OURS.values()} == {advertised["PLAINTEXT"]}
    assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] == f"1@kafka{listeners['CONTROLLER']}"
    (published,) = SERVICES["kafka"]["ports"]
    assert published.endswith(f"{listeners['OUTSIDE']}{listeners['OUTSIDE']}")
    assert advertised["OUTSIDE"] == f"localhost{listeners['OUTSIDE']}"


@pytest.mark.parametrize("name", OURS)
def test_what_a_service_is_told_are_settings_and_a_command(name: str) -> None:
    service = OURS[name]
    assert " ".join(["meter", *service["command"]]) in COMMANDS
    values = {setting.removeprefix(PREFIX).lower(): value for setting, value in service["environment"].items()}
    assert all(setting.startswith(PREFIX) for setting in service["environment"])
    assert Settings(**values).bootstrap_servers == "kafka:9092"


def test_workers_have_names_and_indexes_of_their_own_and_start_again() -> None:
    workers = [OURS["worker-0"], OURS["worker-1"]]
    for different in ("volumes", "ports"):
        assert workers[0][different] != workers[1][different]
    assert {worker["environment"]["METER_INSTANCE_ID"] for worker in workers} == {"worker-0", "worker-1"}
    assert all(worker["restart"] == "on-failure" for worker in workers)
    named = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert named == set(COMPOSE["volumes"])


def test_a_service_starts_when_what_it_needs_is_there() -> None:
    assert OURS["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    for worker in ("worker-0", "worker-1"):
        assert OURS[worker]["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}
    assert "healthcheck" in SERVICES["kafka"]


def test_pages_are_served_on_the_port_that_is_published() -> None:
    port = Settings.model_fields["web_port"].default
    for worker in ("worker-0", "worker-1"):
        assert OURS[worker]["ports"][0].endswith(f":{port}")
        assert OURS[worker]["environment"]["METER_WEB_HOST"] == "0.0.0.0"


def test_the_image_is_built_from_files_that_are_there_and_sent() -> None:
    copies = [line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY")]
    copied = [word for words in copies if not words[0].startswith("--from") for word in words]
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored
    assert 'ENTRYPOINT ["meter"]' in DOCKERFILE


def pins(name: str) -> dict[str, str]:
    """The packages of a lock, each with its line and hashes."""
    text = "\n".join(line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#"))
    return {entry.split(" ", 1)[0]: entry for entry in re.split(r"\n(?=\S)", text)}


def test_the_image_has_what_runs_and_nothing_that_tests() -> None:
    everything, run, build = map(pins, ("requirements.lock", "requirements-run.lock", "requirements-build.lock"))
    assert run.items() | build.items() <= everything.items()
    names = {pin.partition("==")[0] for pin in run}
    assert names >= {"faust-streaming", "aiokafka", "fastapi", "psycopg", "pyarrow"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tools = {re.split(r"[^a-z0-9-]", each)[0] for each in project["dependency-groups"]["dev"]}
    assert len(tools) > 10
    assert tools & names == set()
    installed = re.findall(r"install .*--require-hashes -r (\S+)", DOCKERFILE)
    assert installed == ["requirements-build.lock", "requirements-run.lock"]


def test_the_image_is_built_on_a_base_that_cannot_change_and_runs_without_root() -> None:
    _, build, run = DOCKERFILE.split("\nFROM ")
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim@sha256:[0-9a-f]{64}", bases[0])
    assert "COPY --from=build /opt/meter /opt/meter" in run
    assert " pip " not in run
    assert "requirements" not in run
    assert "/opt/meter/bin/pip uninstall" in build
    (user,) = re.findall(r"^USER (\S+)", run, re.MULTILINE)
    assert user.isdecimal()
    assert int(user) > 0
    assert f"--uid {user} meter" in run


def test_a_container_of_ours_can_write_nowhere_but_to_its_data_and_gains_no_rights() -> None:
    (user,) = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)
    for name, service in OURS.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "/tmp" in service["tmpfs"], name
        owned = f"/data:uid={user},mode=0700" in service["tmpfs"]
        assert owned or any(volume.endswith(":/data") for volume in service.get("volumes", ())), name
    for name, service in SERVICES.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name


@pytest.mark.parametrize("name", sorted(set(OURS) - {"topics"}))
def test_each_process_that_runs_says_how_it_is(name: str) -> None:
    """The page that is asked is one that the process serves; the image has no curl."""
    check = OURS[name]["healthcheck"]
    assert check["retries"] * duration_s(check["interval"]) <= 60
    program, flag, code = check["test"][1:]
    assert (program, flag) == ("python", "-c")
    compile(code, name, "exec")
    (port, page) = re.findall(r"http://127\.0\.0\.1:(\d+)(/\S+)'", code)[0]
    served = "http_port" if name == "api" else "web_port"
    assert int(port) == Settings.model_fields[served].default
    assert page == "/readyz"
    assert int(re.findall(r"timeout_s=(\d+)", code)[0]) < duration_s(check["timeout"])


def duration_s(text: str) -> int:
    return int(text.removesuffix("s"))
