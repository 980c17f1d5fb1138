"""What each topic of a meter must be like, in Kafka's words: what `topics create` sets and every start checks."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from meter import topics
from meter.rules import Clock

DAY_MS = 86_400_000
FOR_EVER = -1
#: Records of 4 MiB and their batch. The inputs keep the broker's own limit.
LARGE_BYTES = 5 << 20
#: Compaction leaves the last segment alone, and begins where as much is superseded as not: opening a partition reads
#: its live state twice at most, and so much more.
COMPACTED_SEGMENT_BYTES = 32 << 20


class TopicSpec(NamedTuple):
    """What one topic must be like. `retention_ms` -1: for ever."""

    name: str
    compact: bool = False
    retention_ms: int = 400 * DAY_MS
    max_message_bytes: int | None = LARGE_BYTES
    is_input: bool = False

    def config(self, clock: Clock, replicas: int) -> dict[str, str]:
        """The configuration of the topic with so many replicas."""
        append_time = not (self.is_input and clock is Clock.SIMULATED)
        config = {
            "cleanup.policy": "compact" if self.compact else "delete",
            "message.timestamp.type": "LogAppendTime" if append_time else "CreateTime",
            # Two copies before a record counts, and none that lacks some may become the one that counts.
            "min.insync.replicas": str(min(2, replicas)),
            "unclean.leader.election.enable": "false",
        }
        if self.compact:
            config |= _COMPACTION
        else:
            config["retention.ms"] = str(self.retention_ms)
            config["retention.bytes"] = "-1"
        if self.max_message_bytes is not None:
            config["max.message.bytes"] = str(self.max_message_bytes)
        if not append_time:
            # Records of a simulated 2019 must neither expire at once nor be refused for their stamps.
            config["retention.ms"] = str(FOR_EVER)
            config["message.timestamp.before.max.ms"] = config["message.timestamp.after.max.ms"] = str(2**63 - 1)
        return config


#: Said even where it is Kafka's default: a cluster may have defaults of its own.
_COMPACTION = {
    "segment.bytes": str(COMPACTED_SEGMENT_BYTES),
    "min.cleanable.dirty.ratio": "0.5",
    "min.compaction.lag.ms": "0",
    "delete.retention.ms": str(DAY_MS),
}


def unfit(wanted: Mapping[str, str], actual: Mapping[str, str | None], replicas: int) -> Iterator[str]:
    """The names of what a configuration has otherwise than is wanted, where that does harm."""
    for name, value in wanted.items():
        found = actual.get(name)
        if found is None or not _FITS.get(name, _equal)(found, value):
            yield name
        elif name == "min.insync.replicas" and int(found) > replicas:
            yield name  # nothing could ever be written


def _equal(actual: str, wanted: str) -> bool:
    return actual == wanted


def _at_least(actual: str, wanted: str) -> bool:
    return float(actual) >= float(wanted)


def _at_most(actual: str, wanted: str) -> bool:
    return float(actual) <= float(wanted)


def _as_long(actual: str, wanted: str) -> bool:
    """More room and longer retention than promised do no harm."""
    return int(actual) == FOR_EVER or (int(wanted) != FOR_EVER and int(actual) >= int(wanted))


_FITS: Mapping[str, Callable[[str, str], bool]] = {
    "retention.ms": _as_long,
    "retention.bytes": _as_long,
    "max.message.bytes": _as_long,
    "min.insync.replicas": _at_least,
    "segment.bytes": _at_most,
    "min.cleanable.dirty.ratio": _at_most,
    "min.compaction.lag.ms": _at_most,
    "delete.retention.ms": _at_least,
}

SPECS = (
    TopicSpec(topics.COMPLETED, max_message_bytes=None, is_input=True),
    TopicSpec(topics.REROUTED, is_input=True),
    TopicSpec(topics.COMMANDS, retention_ms=FOR_EVER, max_message_bytes=None, is_input=True),
    TopicSpec(topics.COMMAND_RESULTS),
    TopicSpec(topics.PRICED),
    TopicSpec(topics.DAILY, compact=True),
    TopicSpec(topics.REJECTED),
    TopicSpec(topics.BILLS, retention_ms=FOR_EVER),
    TopicSpec(topics.NOTES, retention_ms=FOR_EVER),
    TopicSpec(topics.LEDGER, retention_ms=FOR_EVER),
    TopicSpec(topics.NOTICES, retention_ms=FOR_EVER),
    TopicSpec(topics.SERVICE, compact=True),
    TopicSpec(topics.JOURNAL, retention_ms=FOR_EVER),
    TopicSpec(topics.STATE, compact=True),
)
