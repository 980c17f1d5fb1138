"""Where a webhook may go: a URL is looked at when it is added, and the address behind it before each request.

Names are resolved by us and the request goes to the address that was looked at, so that a name which changes in
between leads nowhere else. Private and loopback addresses only with METER_WEBHOOK_PRIVATE_ADDRESSES; link-local ones,
where clouds keep their machines' credentials, never.
"""

import asyncio
import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from streams.errors import SettingError

MAX_URL_CHARS = 2_000
_PORTS = {"https": 443, "http": 80}


class Target(NamedTuple):
    """Where a request goes: the address, and the name and port that the URL says."""

    address: str
    host: str
    port: int


class AddressError(Exception):
    """A webhook may not go there, or its name leads nowhere."""


class UnresolvedError(AddressError):
    """Its name leads nowhere, for now or from here."""


def read_url(url: str) -> SplitResult:
    """The parts of a webhook's URL. Raises SettingError with what is wrong."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise SettingError(f"{url[:200]!r} is no URL: {error}") from error
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise SettingError(f"a webhook is an https:// URL (http:// within a private network), got {url[:200]!r}")
    if parts.username is not None or parts.password is not None:
        raise SettingError("a webhook's URL has no user or password: its requests are signed")
    if len(url) > MAX_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        raise SettingError(f"a webhook's URL has at most {MAX_URL_CHARS} characters, all of them printable ASCII")
    return parts


async def find_target(url: str, private: bool) -> Target:
    """The address to send to. Raises AddressError."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UnresolvedError(f"{host} cannot be resolved: {error.strerror or error}") from error
    for *_, place in found:
        check_address(str(place[0]), parts.scheme, private)
    return Target(str(found[0][4][0]), host, port)


def check_address(text: str, scheme: str, private: bool) -> None:
    """See that a webhook may go to an address. Raises AddressError."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        # One of version 4 in other clothes is judged as what it is.
        address = address.ipv4_mapped or address.sixtofour or address
    if address.is_link_local or address.is_multicast or address.is_unspecified or _reserved(address):
        raise AddressError(f"{address} is no address for webhooks")
    if not address.is_global and not private:
        raise AddressError(f"{address} is private: METER_WEBHOOK_PRIVATE_ADDRESSES=true allows that")
    if address.is_global and scheme != "https":
        raise AddressError(f"{address} is public: it needs https://")


def _reserved(address: IPv4Address | IPv6Address) -> bool:
    """Loopback is reserved too in version 6; it is private here. Site-local is what `fc00::/7` was before."""
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    return site_local or (address.is_reserved and not address.is_loopback)
