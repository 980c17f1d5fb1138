"""The process `meter api`: waits for the store, binds where it may, serves until it is asked to stop."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import structlog
import uvicorn
from aiokafka.errors import KafkaError
from sqlalchemy import Engine

from streams.errors import BrokerRefusesError, MeterError, SettingError
from streams.http.app import create_app
from streams.http.connections import MAX_CONNECTIONS, Connection, room_with, with_room_for
from streams.http.kafka import PATIENCE_S, transactional_id
from streams.http.tokens import any_token
from streams.kafka.rights import API, MissingRightsError
from streams.kafka.topics import check
from streams.process.files import raise_file_limit
from streams.process.life import begin, live
from streams.process.nearby import is_loopback
from streams.process.retrying import patiently
from streams.process.waiting import in_daemon_thread, unless
from streams.settings import Settings
from streams.store.database import StoreLostError, is_store_away, opened_store, store_errors, store_is_made
from streams.store.migrate import migrate

log = structlog.get_logger(__name__)

Say = Callable[[str], None]

#: How long requests may go on after the process was asked to stop.
GRACE_S = 10
BACKLOG = 1024


def run_api(settings: Settings, say: Say, *, console: bool = True) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code. Raises SettingError for an address that cannot be."""
    return live(settings, partial(_run, settings, say, console))


async def _run(settings: Settings, say: Say, console: bool, asked: asyncio.Event) -> None:
    with opened_store(settings) as engine:
        has_tokens = await store_has_tokens(engine, asked)
    await _need_rights(settings)
    _need_tokens(settings, has_tokens)
    with _bound(settings) as listener:
        server = server_of(settings, console=console, room=room_with(raise_file_limit()))
        _announce(listener, has_tokens, say)
        begin()
        stopping = asyncio.create_task(_stop_when(asked, server))
        await server.serve(sockets=[listener])
        stopping.cancel()


async def store_has_tokens(engine: Engine, asked: asyncio.Event) -> bool:
    """Whether there are tokens, once the store is there and has this version's tables.

    Raises StoreRefusedError, and AskedToStop.
    """

    def say(error: Exception, delay_s: float) -> None:
        log.warning("waiting for the store", reason=str(error), retry_in_s=delay_s)

    def look() -> Awaitable[bool]:
        return in_daemon_thread(lambda: _look_at_store(engine))

    return await unless(asked, patiently(look, partial(is_store_away, starting=True), say))


def _look_at_store(engine: Engine) -> bool:
    migrate(engine)
    with store_errors(engine), engine.begin() as connection:
        return any_token(connection)


async def _need_rights(settings: Settings) -> None:
    """Raises MissingRightsError, SettingError and BrokerRefusesError.

    A Kafka that is away may be so: what needs it is answered with 503.
    """
    try:
        await asyncio.wait_for(check(settings, API, [transactional_id(settings)]), PATIENCE_S)
    except (MissingRightsError, SettingError, BrokerRefusesError):
        raise
    except (TimeoutError, KafkaError, OSError, MeterError) as error:
        log.warning("Kafka is not as it must be: what needs it is answered with 503", reason=str(error) or repr(error))


def look_at_tokens(settings: Settings) -> None:
    """See, before anything is started, that the API may listen where it is to. Raises SettingError.

    Of a store that is away nothing is known: the API waits for it, and looks then. Raises RefusalToStartError for one
    of a newer version.
    """
    has_tokens = False
    if store_is_made(settings):
        try:
            with opened_store(settings) as engine:
                has_tokens = _look_at_store(engine)
        except StoreLostError:
            return
    _need_tokens(settings, has_tokens)


def _need_tokens(settings: Settings, has_tokens: bool) -> None:
    if not has_tokens and not is_loopback(settings.http_host):
        raise SettingError(
            f"METER_HTTP_HOST={settings.http_host} is open to others, and without tokens anybody could do anything: "
            "make one first, with `meter token create --role operator`"
        )


@contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    """A listening socket. Raises SettingError where the address cannot be had."""
    host, port = settings.http_host, settings.http_port
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingError(f"METER_HTTP_HOST={host}, METER_HTTP_PORT={port}: {error.strerror or error}") from error
    with listener:
        yield listener


def _announce(listener: socket.socket, has_tokens: bool, say: Say) -> None:
    host, port = listener.getsockname()[:2]
    say(f"the API and the console are at http://{f'[{host}]' if ':' in host else host}:{port}")
    if not has_tokens:
        say("there are no tokens yet: whoever is on this machine may do everything (`meter token create` ends that)")


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours: uvicorn would end the process by the signal, and its exit code would not be 0."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; once in a second connections are looked at."""
        if counter % 10 == 0:
            now_s = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.look(now_s)
        return await super().on_tick(counter)


def server_of(settings: Settings, *, console: bool, room: int = MAX_CONNECTIONS) -> uvicorn.Server:
    """The server of an application, with room for so many connections; it is given the sockets to listen on."""
    config = uvicorn.Config(
        create_app(settings, console=console),
        http=with_room_for(room),
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # by default it believes whoever is on this machine; see `proxies`
        timeout_graceful_shutdown=GRACE_S,
    )
    return _Server(config)


async def _stop_when(asked: asyncio.Event, server: uvicorn.Server) -> None:
    await asked.wait()
    server.should_exit = True
