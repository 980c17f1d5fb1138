"""Identity before position: an offset means something only in the log that it was taken in.

Names and offsets come again when a topic is made anew, is cut off and grows again, or is copied to another cluster. So
whoever keeps a position keeps with it which topic of which cluster it is of, and what the record below it was.
"""

from collections.abc import Mapping
from typing import NamedTuple

from xxhash import xxh3_64

from meter.records import Record


class Identity(NamedTuple):
    """Which log it is: the id of its cluster, and of each topic by its name without the deployment's prefix."""

    cluster: str
    topics: Mapping[str, str]

    def beside(self, known: "Identity | None") -> "Identity":
        """This one, with the ids that were known before of topics whose ids are not told now."""
        return self if known is None else self._replace(topics={**known.topics, **self.topics})


class Seal(NamedTuple):
    """A record as a proof of the log that holds it: its offset, record time in ms, and a checksum of its content."""

    offset: int
    timestamp: int
    checksum: str


def seal(record: Record) -> Seal:
    """The seal of a record."""
    return Seal(record.offset, record.timestamp, checksum(record.key, record.value, *_flat(record)))


def checksum(*parts: bytes | None) -> str:
    """64 bits of all parts, as hexadecimal digits; where one ends and the next begins counts."""
    digest = xxh3_64()
    for part in parts:
        digest.update(b"-" if part is None else b"%d:%b" % (len(part), part))
    return digest.hexdigest()


def _flat(record: Record) -> list[bytes | None]:
    """Names and values of the headers in their order."""
    return [part for name, value in record.headers for part in (name.encode(errors="surrogatepass"), value)]
