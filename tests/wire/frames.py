"""What passes: requests and answers, as Kafka frames them (a length of four bytes, then so many bytes)."""

import asyncio
import struct
from typing import NamedTuple

#: Api keys, as the protocol numbers them.
PRODUCE, FETCH, METADATA, FIND_COORDINATOR, HEARTBEAT, API_VERSIONS = 0, 1, 3, 10, 12, 18
INIT_PRODUCER_ID, ADD_PARTITIONS_TO_TXN, END_TXN = 22, 24, 26

_LENGTH = struct.Struct(">i")
_REQUEST = struct.Struct(">ihhih")
_ANSWER = struct.Struct(">ii")


class Request(NamedTuple):
    """The header of a request, and the node that it is for."""

    node: int
    api_key: int
    api_version: int
    correlation_id: int
    client_id: str


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame with its length, None at the end of the stream, also where that is in the middle of one."""
    try:
        length = await reader.readexactly(_LENGTH.size)
        return length + await reader.readexactly(_LENGTH.unpack(length)[0])
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def request_of(node: int, frame: bytes) -> Request:
    """The header of a request's frame."""
    _, api_key, api_version, correlation_id, length = _REQUEST.unpack_from(frame)
    client_id = frame[_REQUEST.size : _REQUEST.size + max(0, length)].decode("utf-8", "replace")
    return Request(node, api_key, api_version, correlation_id, client_id)


def correlation_of(frame: bytes) -> int:
    """Which request a frame answers."""
    return int(_ANSWER.unpack_from(frame)[1])
