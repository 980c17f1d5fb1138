"""Header names that are not UTF-8 stop nothing: the batch is read, whatever its codec."""

import pytest
from aiokafka.codec import gzip_encode, zstd_encode
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from streams.kafka.records import LenientRecords

NONE, GZIP, ZSTD = 0, 1, 4


def batch(codec: int, names: list[str]) -> bytes:
    """A batch as a producer writes it; a name `bad` gets a byte that is no UTF-8."""
    builder = _DefaultRecordBatchBuilderPy(2, NONE, 0, -1, -1, -1, 1 << 20)
    for offset, name in enumerate(names):
        builder.append(offset, timestamp=5, key=b"k", value=b"v%d" % offset, headers=[(name, b"1"), ("x", None)])
    data = bytes(builder.build()).replace(b"bad", b"b\xffd")
    if codec == NONE:
        return data
    head = bytearray(data[:61])
    body = {GZIP: gzip_encode, ZSTD: zstd_encode}[codec](data[61:])
    head[22] = codec
    head[8:12] = (49 + len(body)).to_bytes(4, "big")
    return bytes(head) + body


@pytest.mark.parametrize("codec", [NONE, GZIP, ZSTD])
def test_a_header_name_that_is_not_utf_8_is_written_in_escapes(codec: int) -> None:
    records = LenientRecords(batch(codec, ["good", "bad"]) + batch(codec, ["good"]))
    found = []
    while records.has_next():
        found += [(record.offset, record.value, record.headers) for record in records.next_batch()]
    assert found == [
        (0, b"v0", [("good", b"1"), ("x", None)]),
        (1, b"v1", [("b\\xffd", b"1"), ("x", None)]),
        (0, b"v0", [("good", b"1"), ("x", None)]),
    ]
