"""`python -m streams.broker.pin [VERSION]`: resolve Apache Kafka and write `jars.lock` anew."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from streams.broker.jars import BROKER_PROJECT, LOCK_FILE, kafka_version, maven_context, read_lock, sha256_of

HEADER = "# The broker's class path. Written by: python -m streams.broker.pin VERSION\n"
LOG4J = "org.apache.logging.log4j"
#: slf4j's way to it.
LOG_BACKEND = "log4j-slf4j-impl"
#: For a Kafka that names none: 3.9, which writes to log4j 1 and so gets the bridge from it as well, up to 4.2.
LOG4J_ITSELF, LOG4J_VERSION = ("log4j-api", "log4j-core", "log4j-1.2-api"), "2.25.4"


def resolve(context: Any, version: str) -> list[Any]:
    """Kafka's run-time closure as jgo artifacts, and the slf4j backend of Kafka's own distribution.

    The backend is added by hand, with the version of the log4j that Kafka asks for: as a second input of the
    resolver its dependency management would override Kafka's own versions (kafka-clients 3.9 beside a 4.3 broker).
    """
    roots, closure = context.resolver.resolve([context.create_dependency(":".join((*BROKER_PROJECT, version)))])
    artifacts = [dependency.artifact for dependency in roots + closure]
    log4j = next((artifact.version for artifact in artifacts if artifact.artifactId == "log4j-core"), None)
    names = [LOG_BACKEND] if log4j else [LOG_BACKEND, *LOG4J_ITSELF]
    artifacts += [context.project(LOG4J, name).at_version(log4j or LOG4J_VERSION).artifact() for name in names]
    return sorted(artifacts, key=lambda artifact: (artifact.groupId, artifact.artifactId))


def lock_line(artifact: Any) -> str:
    """`sha256  group:artifact:version[:classifier]` of a fetched artifact."""
    parts = [artifact.groupId, artifact.artifactId, artifact.version, artifact.classifier]
    return f"{sha256_of(artifact.resolve())}  {':'.join(part for part in parts if part)}\n"


def main() -> None:
    """Fetch into an empty cache, so that what is pinned is what the repository serves."""
    version = sys.argv[1] if len(sys.argv) > 1 else kafka_version(read_lock())
    with tempfile.TemporaryDirectory() as cache:
        artifacts = resolve(maven_context(Path(cache)), version)
        LOCK_FILE.write_text(HEADER + "".join(lock_line(artifact) for artifact in artifacts), "utf-8")
    print(f"{LOCK_FILE.name}: {len(artifacts)} jars")


if __name__ == "__main__":
    main()
