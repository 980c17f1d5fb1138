"""Sessions of the console: one a browser, a few a token, over with their token, and under a new id now and then."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from streams.http import sessions
from streams.http.app import create_app
from streams.http.callers import Role
from streams.http.sessions import COOKIE, SECURE_COOKIE
from streams.http.tokens import NewToken, create_token, revoke_token
from streams.settings import Settings
from streams.store.database import open_engine, writing
from streams.store.kept_tables import console_session
from streams.store.migrate import migrate

LOOK = "/console/reopened"  # a page that asks who looks, and nothing of the meter


class Site:
    """A console, its store, and browsers in front of it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.engine = open_engine(Settings(data_dir=folder))
        migrate(self.engine)
        options = Settings(bootstrap_servers="127.0.0.1:9", data_dir=folder, http_requests_per_s=0, **settings)
        self.app: FastAPI = create_app(options, console=True)

    def token(self) -> NewToken:
        with writing(self.engine) as connection:
            return create_token(connection, Role.OPERATOR)

    def browser(self, scheme: str = "http", peer: str = "127.0.0.1") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(peer, 4711))
        return httpx.AsyncClient(transport=transport, base_url=f"{scheme}://meter.example")

    def csrf(self) -> str:
        """The forms' secret of the one session that there is."""
        with self.engine.connect() as connection:
            return str(connection.execute(select(console_session.c.csrf).distinct()).scalar_one())

    def count(self) -> int:
        with self.engine.connect() as connection:
            return len(connection.execute(select(console_session)).all())


async def sign_in(browser: httpx.AsyncClient, token: NewToken) -> httpx.Response:
    answer = await browser.post("/console/sign-in", data={"token": token.text})
    assert answer.status_code == 303
    return answer


async def is_in(browser: httpx.AsyncClient) -> bool:
    answer = await browser.get(LOOK)
    assert answer.status_code in {200, 303}
    return answer.status_code == 200


async def test_over_tls_the_cookie_is_this_hosts_alone_and_no_other_counts(tmp_path: Path) -> None:
    site = Site(tmp_path)
    async with site.browser("https") as browser, site.browser("https") as other:
        set_cookie = (await sign_in(browser, site.token())).headers["set-cookie"]
        assert set_cookie.startswith(f"{SECURE_COOKIE}=")
        parts = {part.strip().lower() for part in set_cookie.split(";")[1:]}
        assert {"secure", "httponly", "path=/", "samesite=strict"} < parts
        assert not any(part.startswith("domain") for part in parts)
        assert await is_in(browser)
        other.cookies.set(COOKIE, browser.cookies[SECURE_COOKIE])
        assert not await is_in(other)
        looks = (await browser.post("/console/look", data={"language": "zh"})).headers["set-cookie"]
        assert "Secure" in looks


async def test_tls_of_a_trusted_proxy_is_tls(tmp_path: Path) -> None:
    site = Site(tmp_path, http_trusted_proxies="10.0.0.5")
    token = site.token()
    for peer, name in (("10.0.0.5", SECURE_COOKIE), ("10.0.0.6", COOKIE)):
        async with site.browser(peer=peer) as browser:
            browser.headers.update({"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"})
            assert (await sign_in(browser, token)).headers["set-cookie"].startswith(f"{name}=")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_second_sign_in_ends_the_first_session_of_a_browser(tmp_path: Path, scheme: str) -> None:
    site = Site(tmp_path)
    first, second = site.token(), site.token()
    async with site.browser(scheme) as browser, site.browser(scheme) as old, site.browser(scheme) as elsewhere:
        await sign_in(elsewhere, first)
        await sign_in(browser, first)
        old.cookies.update(browser.cookies)
        assert await is_in(old)
        await sign_in(browser, second)
        assert [await is_in(each) for each in (browser, old, elsewhere)] == [True, False, True]
        assert site.count() == 2


async def test_a_token_has_a_few_sessions_and_the_oldest_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_OF_A_TOKEN", 3)
    site = Site(tmp_path)
    token, other = site.token(), site.token()
    browsers = [site.browser() for _ in range(5)]
    await sign_in(browsers[0], other)
    for browser in browsers[1:]:
        await sign_in(browser, token)
    assert [await is_in(each) for each in browsers] == [True, False, True, True, True]
    assert site.count() == 4


async def test_sessions_end_with_their_token(tmp_path: Path) -> None:
    site = Site(tmp_path)
    token = site.token()
    site.token()
    async with site.browser() as browser:
        await sign_in(browser, token)
        with writing(site.engine) as connection:
            revoke_token(connection, token.token_id)
        assert (await is_in(browser), site.count()) == (False, 0)


async def test_an_id_is_renewed_and_the_session_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path)
    async with site.browser() as browser, site.browser() as on_its_way:
        await sign_in(browser, site.token())
        first = browser.cookies[COOKIE]
        assert await is_in(browser)
        assert browser.cookies[COOKIE] == first
        monkeypatch.setattr(sessions, "RENEWED_AFTER", timedelta(0))
        on_its_way.cookies.update(browser.cookies)
        assert await is_in(browser)
        second = browser.cookies[COOKIE]
        assert second != first
        # What was sent with the old id just before is still answered, and gives no third one.
        assert await is_in(on_its_way)
        assert on_its_way.cookies[COOKIE] == first
        monkeypatch.setattr(sessions, "STILL_TAKEN", timedelta(seconds=-1))
        assert await is_in(browser)
        async with site.browser() as thief:
            thief.cookies.set(COOKIE, second)
            assert not await is_in(thief)
        assert await is_in(browser)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_session_that_is_signed_out_of_is_over_under_all_its_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Also where the request to sign out is the one that has the id renewed."""
    site = Site(tmp_path)
    token = site.token()
    async with site.browser(scheme) as browser, site.browser(scheme) as thief:
        await sign_in(browser, token)
        monkeypatch.setattr(sessions, "RENEWED_AFTER", timedelta(0))
        assert await is_in(browser)
        thief.cookies.update(browser.cookies)
        csrf = site.csrf()
        answer = await browser.post("/console/sign-out", data={"csrf": csrf})
        assert answer.status_code == 303
        assert not await is_in(browser)
        assert not await is_in(thief)
        assert site.count() == 0


async def test_a_second_sign_in_ends_the_first_session_under_all_its_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path)
    token = site.token()
    async with site.browser() as browser, site.browser() as old:
        await sign_in(browser, token)
        old.cookies.update(browser.cookies)
        with monkeypatch.context() as patch:
            patch.setattr(sessions, "RENEWED_AFTER", timedelta(0))
            assert await is_in(browser)
        await sign_in(browser, token)
        assert [await is_in(each) for each in (browser, old)] == [True, False]
        assert site.count() == 1
