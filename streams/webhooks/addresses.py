"""Where a webhook may go: a URL is looked at when it is added, and the address behind it before each request.

Names are resolved by us and the request goes to the address that was looked at, so that a name which changes in
between leads nowhere else. Private and loopback addresses only with METER_WEBHOOK_PRIVATE_ADDRESSES; whatever else is
no global unicast address never, nor those where clouds keep their machines' credentials.

The tables are those of IANA's registries of special-purpose addresses (RFC 6890). Python's own differ from version to
version, and call some global that a cloud serves to its own machines.
"""

import re
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from streams.errors import SettingError
from streams.process.waiting import in_daemon_thread

MAX_URL_CHARS = 2_000
_PORTS = {"https": 443, "http": 80}
#: A name of a host (RFC 1123), also with the underscores of names within private networks.
NAME = "[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{NAME}(\.{NAME})*\.?")
_PRIVATE = [
    *map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8")),
    *map(ip_network, ("fc00::/7", "::1/128")),
]
_GLOBAL_6 = ip_network("2000::/3")
#: Of version 4 all that is not here is global unicast; of version 6 what is in `_GLOBAL_6` and not here.
_NEVER = [
    *map(ip_network, ("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")),
    # Protocol assignments, relays, benchmarks and documentation.
    *map(ip_network, ("192.0.0.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.175.48.0/24")),
    *map(ip_network, ("198.18.0.0/15", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")),
    # Teredo and other protocol assignments, 6to4, documentation: the first and third lead to addresses of version 4.
    *map(ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")),
    # Where Alibaba Cloud, Azure, AWS and Google Cloud serve a machine its credentials, besides 169.254.0.0/16.
    *map(ip_network, ("100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::/32", "fd20:ce::254/128")),
]
#: Translates to the address of version 4 in its last 32 bits (RFC 6052).
_NAT64 = ip_network("64:ff9b::/96")


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
    if ":" not in parts.hostname and not _HOST.fullmatch(parts.hostname):  # of version 6 urlsplit sees to it
        raise SettingError(f"{parts.hostname[:200]!r} is no name of a host")
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
        # In a thread of its own: names that nobody answers for would hold all those that others wait for.
        found = await in_daemon_thread(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except OSError as error:
        raise UnresolvedError(f"{host} cannot be resolved: {error.strerror or error}") from error
    except UnicodeError as error:  # of a name with an empty or endless part
        raise UnresolvedError(f"{host[:200]} is no name: {error}") from error
    for *_, place in found:
        check_address(str(place[0]), parts.scheme, private)
    return Target(str(found[0][4][0]), host, port)


def check_address(text: str, scheme: str, private: bool) -> None:
    """See that a webhook may go to an address. Raises AddressError."""
    address = _plain(ip_address(text.partition("%")[0]))
    private_one = any(address in network for network in _PRIVATE)
    is_global = address.version == 4 or address in _GLOBAL_6
    if any(address in network for network in _NEVER) or not (private_one or is_global):
        raise AddressError(f"{address} is no address for webhooks")
    if private_one and not private:
        raise AddressError(f"{address} is private: METER_WEBHOOK_PRIVATE_ADDRESSES=true allows that")
    if not private_one and scheme != "https":
        raise AddressError(f"{address} is public: it needs https://")


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """One of version 4 in other clothes is judged as what it is."""
    if isinstance(address, IPv4Address):
        return address
    mapped = IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else address.ipv4_mapped
    return address if mapped is None else mapped
