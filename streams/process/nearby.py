"""What is on this machine: its addresses, and the pages that its processes serve, past any proxy that the environment
names.
"""

import ipaddress
from collections.abc import Iterable
from typing import IO
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

#: Headers by which a proxy says that it speaks for somebody else; `x-forwarded-*` too.
OF_PROXIES = frozenset({"forwarded", "via", "x-real-ip"})

_opener = build_opener(ProxyHandler({}))


def open_page(url: str, timeout_s: float) -> IO[bytes]:
    """The answer to a GET. Raises OSError (HTTPError for 4xx and 5xx) and http.client.HTTPException."""
    answer: IO[bytes] = _opener.open(url, timeout=timeout_s)
    return answer


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, is this machine, seen from itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def asks_this_machine(host_header: str) -> bool:
    """Whether a request is for this machine by its own address, and not by a name that leads here (DNS rebinding)."""
    try:
        return is_loopback(urlsplit(f"//{host_header}").hostname or "")
    except ValueError:  # of a bracket without its other one
        return False


def is_forwarded(headers: Iterable[str]) -> bool:
    """Whether a proxy has passed a request on, by the names of its headers in lower case."""
    return any(name in OF_PROXIES or name.startswith("x-forwarded-") for name in headers)
