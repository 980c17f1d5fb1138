"""Three real brokers with TLS, SCRAM and ACLs: users with the rights of the table in docs/operating.md."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from meter import topics
from streams.broker.cluster import NODES, distinct
from streams.broker.config import CONTROLLER, USER, Extras, Listener
from tests.docs.markdown import rows, section
from tests.integration.running import Meter
from tests.open_kafka import OpenCluster

OPERATING = Path(__file__).parents[2] / "docs" / "operating.md"
TLS = Path(__file__).with_name("tls")
PASSWORD = "a password of these tests"
TOPIC_NAME = re.compile(r"[a-z]+\.[a-z.-]+")


class Grant(NamedTuple):
    """One right of one who is named in the table. `name` has the deployment's own names in it."""

    who: str
    kind: ResourceType
    name: str
    operation: AclOperation
    is_prefix: bool = False

    def binding(self) -> AclBinding:
        pattern = ResourcePatternType.PREFIXED if self.is_prefix else ResourcePatternType.LITERAL
        user = f"User:{user_of(self.who)}"
        return AclBinding(self.kind, self.name, pattern, user, "*", self.operation, AclPermissionType.ALLOW)


def user_of(who: str) -> str:
    """Each who is named has a user of its own."""
    return re.sub(r"\W+", "-", who.lower())[:60].strip("-")


def grants(app_id: str, prefix: str) -> list[Grant]:
    """The table of rights, line by line."""
    found: list[Grant] = []
    who = ""
    for first, resource, operations in rows(section(OPERATING.read_text("utf-8"), "Rights"))[1:]:
        who = first or who
        for operation in operations.split(", "):
            found += [
                Grant(who, kind, name, _operation(operation), is_prefix)
                for kind, name, is_prefix in _resources(resource, app_id, prefix)
            ]
    return found


def _operation(text: str) -> AclOperation:
    return AclOperation[re.sub(r"(?<!^)(?=[A-Z])", "_", text).upper()]


def _resources(text: str, app_id: str, prefix: str) -> Iterator[tuple[ResourceType, str, bool]]:
    named = text.replace("<app id>", app_id)
    if text == "cluster":
        yield ResourceType.BROKER, "kafka-cluster", False
    elif match := re.fullmatch(r"group (\S+)", named):
        yield ResourceType.GROUP, match[1], False
    elif match := re.fullmatch(r"transactional ids? (\S+)( \(prefix\))?", named):
        yield ResourceType.TRANSACTIONAL_ID, match[1], bool(match[2])
    else:
        for topic in _topics(text):
            yield ResourceType.TOPIC, prefix + topic, False


def _topics(text: str) -> Iterable[str]:
    listed = TOPIC_NAME.findall(text)
    if not text.startswith("all topics"):
        assert text == ", ".join(listed), text
        return listed
    assert text in ("all topics", f"all topics but {', '.join(listed)}"), text
    return [topic for topic in topics.ALL if topic not in listed]


@contextmanager
def secured_cluster(data_dir: Path) -> Iterator["Secured"]:
    """A door with TLS and SCRAM on each broker; the plain one is the administrator's."""
    keys = data_dir / "keys.pem"
    keys.write_text((TLS / "server.key").read_text() + (TLS / "server.pem").read_text())
    ports = distinct(NODES)
    guarded = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": f"User:ANONYMOUS;User:{USER};User:{CONTROLLER}",
        "transaction.max.timeout.ms": 30_000,
        "listener.name.secured.sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.secured.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "listener.name.secured.ssl.keystore.type": "PEM",
        "listener.name.secured.ssl.keystore.location": keys,
    }
    extras = {
        number: Extras(settings=guarded, listeners=[Listener("SECURED", port, port, "SASL_SSL")])
        for number, port in enumerate(ports, 1)
    }
    with OpenCluster(data_dir, extras=extras) as cluster:
        yield Secured(cluster, ",".join(f"127.0.0.1:{port}" for port in ports))


class Secured:
    """What the administrator of such a cluster does."""

    def __init__(self, cluster: OpenCluster, doors: str) -> None:
        self.cluster = cluster
        self.doors = doors
        self._admin = AdminClient({"bootstrap.servers": cluster.bootstrap_servers, "log_level": 0})

    def add_users(self, names: Iterable[str]) -> None:
        how = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        wanted = [UserScramCredentialUpsertion(name, how, PASSWORD.encode()) for name in names]
        _all(self._admin.alter_user_scram_credentials(wanted))

    def give(self, given: Iterable[Grant]) -> None:
        _all(self._admin.create_acls([grant.binding() for grant in given]))

    def take(self, taken: Iterable[Grant]) -> None:
        _all(self._admin.delete_acls([_exactly(grant.binding()) for grant in taken]))


def _exactly(given: AclBinding) -> AclBindingFilter:
    pattern = given.resource_pattern_type
    return AclBindingFilter(
        given.restype, given.name, pattern, given.principal, given.host, given.operation, given.permission_type
    )


def _all(answers: dict[Any, Any]) -> None:
    for answer in answers.values():
        answer.result(30)


class SecuredMeter(Meter):
    """A meter whose commands come in through the secured door, each as a user of its own."""

    def __init__(self, secured: Secured, root: Path, partitions: int) -> None:
        super().__init__(secured.cluster.bootstrap_servers, root, partitions)
        self._doors = secured.doors

    def environment(self, **settings: object) -> dict[str, str]:
        who = settings.pop("who", None)
        if who is None:
            return super().environment(**settings)
        door = {
            "bootstrap_servers": self._doors,
            "security_protocol": "SASL_SSL",
            "ssl_ca_file": TLS / "server.pem",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": user_of(str(who)),
            "sasl_password": PASSWORD,
        }
        return super().environment(**(door | settings))
