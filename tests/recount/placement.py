"""Which partition owns an account: Kafka's Java client places a key by murmur2 of its bytes."""

MASK = 0xFFFFFFFF
SEED = 0x9747B28C
M = 0x5BD1E995
R = 24


def murmur2(data: bytes) -> int:
    """The 32-bit hash of org.apache.kafka.common.utils.Utils.murmur2, as an unsigned number."""
    h = SEED ^ len(data)
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little")
        k = (k * M) & MASK
        k ^= k >> R
        k = (k * M) & MASK
        h = ((h * M) & MASK) ^ k
    tail = data[whole:]
    if tail:
        h ^= int.from_bytes(tail, "little")
        h = (h * M) & MASK
    h ^= h >> 13
    h = (h * M) & MASK
    return h ^ (h >> 15)


def owner(account_id: str, partitions: int) -> int:
    """The partition of an account: `toPositive(murmur2(utf-8)) mod partitions`."""
    return (murmur2(account_id.encode()) & 0x7FFFFFFF) % partitions
