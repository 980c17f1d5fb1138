"""Who is at the other end where a proxy stands in front: what it says counts where a setting names it, nowhere else.

Read are `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`; `Forwarded` (RFC 7239) is not. Each proxy adds
to the right of what it was sent, and everybody can send anything, so the list is read from the right: the first address
that is no trusted proxy's is the caller's, and what stands to the left of it is what the caller says of itself.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from streams.settings import Network

Address = IPv4Address | IPv6Address

#: More proxies than these stand before nothing; what is further to the left is not looked at.
MAX_HOPS = 10
MAX_HOST_CHARS = 255
_HOST = re.compile(rb"[A-Za-z0-9._\-]+(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?")


class Proxies:
    """Puts the caller's address, scheme and host in place of a trusted proxy's."""

    def __init__(self, app: ASGIApp, trusted: tuple[Network, ...]) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._trusted and self._is_trusted(_peer(scope)):
            scope = {**scope, **self._said(scope)}
        await self._app(scope, receive, send)

    def _is_trusted(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)

    def _said(self, scope: Scope) -> dict[str, Any]:
        changes: dict[str, Any] = {"client": (str(self._caller(scope)), 0)}
        scheme = _last(scope, b"x-forwarded-proto").lower()
        if scheme in {b"http", b"https"}:
            changes["scheme"] = scheme.decode()
        host = _last(scope, b"x-forwarded-host")
        if len(host) <= MAX_HOST_CHARS and _HOST.fullmatch(host):
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            changes["headers"] = [(b"host", host), *others]
        return changes

    def _caller(self, scope: Scope) -> Address | None:
        """The right-most address that is no trusted proxy's; where an entry is none, the proxy that passed it on."""
        known = _peer(scope)
        entries = b",".join(_values(scope, b"x-forwarded-for")).rsplit(b",", MAX_HOPS)[-MAX_HOPS:]
        for entry in reversed(entries):
            address = _read(entry.decode("latin-1").strip())
            if address is None:
                return known
            known = address
            if not self._is_trusted(address):
                return known
        return known


def _values(scope: Scope, wanted: bytes) -> list[bytes]:
    return [value for name, value in scope["headers"] if name == wanted]


def _last(scope: Scope, wanted: bytes) -> bytes:
    """What the nearest proxy says: the last part of a header that may be there several times."""
    values = _values(scope, wanted)
    return values[-1].rpartition(b",")[2].strip() if values else b""


def _peer(scope: Scope) -> Address | None:
    client = scope.get("client")
    return _read(client[0]) if client else None


def _read(text: str) -> Address | None:
    """An address, with or without a port; one of version 4 in the clothes of version 6 is of version 4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])  # a zone may be of any length, and is of this machine alone
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped
