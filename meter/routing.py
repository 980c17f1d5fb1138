"""Which partition owns an account: murmur2 of the account id, as Java's and aiokafka's producers place keys."""

from functools import lru_cache

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Kafka's 32-bit murmur2, unsigned."""
    length = len(data)
    h = _SEED ^ length
    full = length & ~3
    for start in range(0, full, 4):
        k = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if full != length:
        h = (h ^ int.from_bytes(data[full:], "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=262_144)
def owner(account_id: str, partitions: int) -> int:
    """The partition, 0 to partitions-1, that meters an account."""
    return (murmur2(account_id.encode()) & 0x7FFFFFFF) % partitions
