"""Where a webhook may go: to global unicast addresses over TLS, and elsewhere only where that is allowed or never."""

import asyncio
import ipaddress
import socket
import threading
from typing import Any

import pytest

from streams.errors import SettingError
from streams.webhooks.addresses import AddressError, check_address, find_target, read_url

NEVER = [
    # "This network", link-local (where most clouds serve credentials), protocol assignments, relays.
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "192.0.0.1", "192.0.0.8", "192.0.0.170", "192.0.0.192",
    "192.88.99.1", "192.31.196.1", "192.52.193.1", "192.175.48.1",
    # Documentation, benchmarks, multicast, reserved, broadcast.
    "192.0.2.1", "198.51.100.1", "203.0.113.9", "198.18.0.1", "198.19.255.255", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255",
    # What clouds serve to their own machines.
    "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
    # Version 6: unspecified, compatible, link-local, site-local, multicast, discard-only, segment routing.
    "::", "::7f00:1", "::a9fe:a9fe", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1", "5f00::1",
    # Documentation, ORCHID, Teredo, 6to4, and NAT64 with a prefix of its own.
    "2001:db8::1", "3fff::1", "2001:10::1", "2001:20::1", "2001::1", "2001:0:7f00:1::", "2001:1::1",
    "2002:a00:1::1", "2002:a9fe:a9fe::1", "2002:101:101::1", "64:ff9b:1::1",
    # Of version 4 in other clothes.
    "::ffff:0.0.0.0", "::ffff:169.254.169.254", "::ffff:100.100.100.200", "::ffff:198.18.0.1",
    "64:ff9b::169.254.169.254", "64:ff9b::224.0.0.1", "64:ff9b::0.0.0.1",
]  # fmt: skip
PRIVATE = [
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "127.0.0.1", "127.255.255.254", "100.64.0.1",
    "100.127.255.255", "fd00::1", "fc00::1", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "192.0.1.1", "198.17.255.255", "223.255.255.255",
    "2606:4700::1111", "2400:3200::1", "64:ff9b::1.1.1.1", "::ffff:1.1.1.1",
]  # fmt: skip


@pytest.mark.parametrize("address", NEVER)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("private", [False, True])
def test_what_is_no_global_unicast_address_and_no_private_one_is_never_sent_to(
    address: str, scheme: str, private: bool
) -> None:
    with pytest.raises(AddressError, match="no address for webhooks"):
        check_address(address, scheme, private)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_only_where_that_is_allowed(address: str) -> None:
    for scheme in ("http", "https"):
        with pytest.raises(AddressError, match="private"):
            check_address(address, scheme, private=False)
        check_address(address, scheme, private=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_over_tls_alone(address: str) -> None:
    for private in (False, True):
        check_address(address, "https", private)
        with pytest.raises(AddressError, match="needs https"):
            check_address(address, "http", private)


def test_whatever_python_calls_special_is_not_public() -> None:
    """Its tables are others; what either knows as special is never sent to as if it were anybody's."""
    for first in range(256):
        for rest in ("0.0.1", "0.0.8", "64.0.1", "168.0.1", "254.1.1", "51.100.7", "18.0.1"):
            text = f"{first}.{rest}"
            if not ipaddress.ip_address(text).is_global:
                with pytest.raises(AddressError):
                    check_address(text, "https", private=False)


def test_a_name_is_looked_up_before_each_request() -> None:
    with pytest.raises(AddressError, match="private"):
        asyncio.run(find_target("https://localhost/", private=False))
    assert asyncio.run(find_target("http://localhost:8080/", private=True))[1:] == ("localhost", 8080)
    with pytest.raises(AddressError, match="cannot be resolved"):
        asyncio.run(find_target("https://nowhere.invalid/", private=False))


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "017700000001", "[::ffff:7f00:1]"])
def test_an_address_in_other_spellings_is_what_it_is(host: str) -> None:
    with pytest.raises(AddressError):
        asyncio.run(find_target(f"https://{host}/", private=False))


def test_of_a_name_with_several_addresses_all_are_looked_at_and_one_that_was_is_gone_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def target(*answers: str) -> str:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, 443)) for answer in answers]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        return asyncio.run(find_target("https://several.example/", private=False)).address

    assert target("1.1.1.1", "1.0.0.1") == "1.1.1.1"
    for answers in (("1.1.1.1", "169.254.169.254"), ("10.0.0.1", "1.1.1.1")):
        with pytest.raises(AddressError):
            target(*answers)


def test_names_that_nobody_answers_for_hold_up_no_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender's queue is read and written in threads of the loop, of which there are few."""
    answered = threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        answered.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    async def main() -> None:
        lookups = [asyncio.ensure_future(find_target("https://hangs.example/", private=False)) for _ in range(64)]
        await asyncio.sleep(0)
        try:
            await asyncio.wait_for(asyncio.to_thread(lambda: None), 20)
        finally:
            answered.set()
            await asyncio.gather(*lookups, return_exceptions=True)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    asyncio.run(main())


def test_a_url_that_is_none_is_a_wrong_argument() -> None:
    for url in (
        "https://exa mple.com/",
        "https://[::1/",
        "https://example.com/\n",
        "https://é.com/",
        "https://a.dev*",
        "https://a..b/",
    ):
        with pytest.raises(SettingError):
            read_url(url)
