"""`python -m bench.peers.kafka_streams.pin`: pin Kafka Streams of the embedded broker's version in `jars.lock`."""

import tempfile
from pathlib import Path

from bench.peers.kafka_streams import LOCK_FILE
from streams.broker.jars import kafka_version, maven_context, read_lock
from streams.broker.pin import lock_line


def main() -> None:
    """Fetch into an empty cache, so that what is pinned is what the repository serves."""
    coordinates = f"org.apache.kafka:kafka-streams:{kafka_version(read_lock())}"
    with tempfile.TemporaryDirectory() as cache:
        context = maven_context(Path(cache))
        roots, closure = context.resolver.resolve([context.create_dependency(coordinates)])
        artifacts = sorted((d.artifact for d in roots + closure), key=lambda a: (a.groupId, a.artifactId))
        header = "# The class path of the Kafka Streams program. Written by: python -m bench.peers.kafka_streams.pin\n"
        LOCK_FILE.write_text(header + "".join(map(lock_line, artifacts)), "utf-8")


if __name__ == "__main__":
    main()
