"""What a topic must be like, by how many replicas it has, and which other configurations do no harm."""

import pytest

from meter.rules import Clock
from streams.kafka.specs import SPECS, TopicSpec, unfit

PRICED = next(spec for spec in SPECS if spec.name == "usage.priced")
STATE = next(spec for spec in SPECS if spec.name == "meter.state")


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, "1"), (2, "2"), (3, "2"), (5, "2")])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_two_copies_before_a_record_counts_where_there_are_two(spec: TopicSpec, replicas: int, in_sync: str) -> None:
    config = spec.config(Clock.BROKER, replicas)
    assert config["min.insync.replicas"] == in_sync
    assert config["unclean.leader.election.enable"] == "false"
    assert list(unfit(config, config, replicas)) == []


@pytest.mark.parametrize(
    ("spec", "name", "found", "fits"),
    [
        (PRICED, "min.insync.replicas", "1", False),
        (PRICED, "min.insync.replicas", "3", True),
        (PRICED, "min.insync.replicas", "4", False),
        (PRICED, "unclean.leader.election.enable", "true", False),
        (PRICED, "retention.ms", "-1", True),
        (PRICED, "retention.ms", "1000", False),
        (PRICED, "retention.bytes", "1000000", False),
        (PRICED, "max.message.bytes", str(10 << 20), True),
        (STATE, "cleanup.policy", "compact,delete", False),
        (STATE, "segment.bytes", str(1 << 30), False),
        (STATE, "segment.bytes", str(1 << 20), True),
        (STATE, "min.cleanable.dirty.ratio", "0.9", False),
        (STATE, "min.cleanable.dirty.ratio", "0.1", True),
        (STATE, "min.compaction.lag.ms", "1", False),
        (STATE, "delete.retention.ms", "1000", False),
        (STATE, "delete.retention.ms", str(7 * 86_400_000), True),
        (STATE, "message.timestamp.type", None, False),
    ],
)
def test_what_does_harm_is_named(spec: TopicSpec, name: str, found: str | None, fits: bool) -> None:
    wanted = spec.config(Clock.BROKER, 3)
    assert list(unfit(wanted, {**wanted, name: found}, 3)) == ([] if fits else [name])
