"""Which partition owns an account: the same that Java's and aiokafka's producers choose for its id as the key."""

import pytest
from aiokafka.partitioner import murmur2 as reference_murmur2
from hypothesis import given, settings
from hypothesis import strategies as st

from meter.routing import murmur2, owner


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=300))
def test_murmur2_is_aiokafkas_for_any_bytes(data: bytes) -> None:
    assert murmur2(data) == reference_murmur2(data) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "java"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_javas(data: bytes, java: int) -> None:
    """The vectors of Kafka's own UtilsTest."""
    assert murmur2(data) == java & 0xFFFFFFFF


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=128), st.integers(1, 1024))
def test_the_owner_is_where_a_producer_puts_the_key(account_id: str, partitions: int) -> None:
    assert owner(account_id, partitions) == (reference_murmur2(account_id.encode()) & 0x7FFFFFFF) % partitions
