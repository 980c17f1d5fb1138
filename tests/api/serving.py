"""The API as a real server on loopback, in a thread of the test run, and clients for it."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import quote

import httpx

from streams.http.callers import Role
from streams.http.serve import server_of
from streams.http.tokens import create_token
from streams.settings import Settings
from streams.store.database import open_engine, writing
from streams.store.migrate import migrate
from tests.integration.running import Meter, until

JSON = {"content-type": "application/json"}


class Api:
    """A server, within `with`. `settings` are those of a meter, with a store; `console`: with its pages."""

    def __init__(self, settings: Settings, *, console: bool = False) -> None:
        self.settings = settings
        self.tokens: dict[str, str] = {}
        self._server = server_of(settings, console=console)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],))

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self._server.started or not self._thread.is_alive(), "the API to start")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @contextmanager
    def client(self, token: str | None = None) -> Iterator[httpx.Client]:
        """A client that shows a token, if one is given."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # Nothing here is TLS: reading the system's certificates would cost more than most requests.
        with httpx.Client(base_url=self.url, headers=headers, timeout=60, verify=False) as client:
            yield client


def settings_of(meter: Meter, url: str, **more: Any) -> Settings:
    """A meter's settings, with a store that has its tables."""
    settings = Settings(
        bootstrap_servers=meter.bootstrap_servers,
        topic_prefix=meter.prefix,
        app_id=meter.app_id,
        data_dir=meter.data_dir,
        database_url=url,
        http_port=0,
        **({"http_requests_per_s": 0} | more),
    )
    engine = open_engine(settings)
    migrate(engine)
    engine.dispose()
    return settings


def make_token(settings: Settings, role: Role, account_id: str | None = None, **more: Any) -> str:
    """The text of a new token."""
    engine = open_engine(settings)
    try:
        with writing(engine) as connection:
            return create_token(connection, role, account_id, **more).text
    finally:
        engine.dispose()


def at(account_id: str, rest: str = "") -> str:
    """The path of an account, and of what belongs to it."""
    return f"/v1/accounts/{quote(account_id, safe='')}{rest}"


def problem(answer: httpx.Response, status: int) -> Mapping[str, Any]:
    """The problem that an answer is, with this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: Mapping[str, Any] = json.loads(answer.text)
    assert found["status"] == status
    return found
