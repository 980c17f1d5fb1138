"""Who gets in: whoever has the secret of the data directory, which is in a file that its owner alone can read.

Clients prove by SCRAM that they have it, without sending it, and Kafka proves the same to them: a program that takes
the port of a Kafka that is down learns nothing. The controllers know the secret's proof from Kafka's own log. Where it
is not there yet (a new Kafka, one from before there were secrets, a secret that was lost), the one that starts Kafka
tells them: at their own door, whose password (PLAIN) is made anew for each start.
"""

import asyncio
import hashlib
import logging
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from aiokafka.conn import create_conn
from aiokafka.protocol.types import CompactArray, CompactBytes, CompactString, Int8, Int16, Int32, Schema, TaggedFields

from streams.broker.config import CONTROLLER, HOST, MECHANISM, USER, Files, Node
from streams.broker.errors import BrokerError
from streams.broker.probe import asked
from streams.kafka.protocol import message
from streams.process.private import write

ITERATIONS = 4096
PATIENCE_S = 5.0
_SCRAM_SHA_512 = 2
_log = logging.getLogger("aiokafka.conn")
_SECRET = re.compile(r"[A-Za-z0-9_-]{32,}")


def new_secret() -> str:
    """256 random bits, as text that needs no quotes anywhere."""
    return secrets.token_urlsafe(32)


def secret_of(files: Files) -> str | None:
    """The secret of a data directory; None where there is none yet. Raises BrokerError for a file that is damaged."""
    try:
        text = files.secret.read_text("utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(f"{files.secret} cannot be read: {error}") from error
    if not text:  # a crash came between the file and what was to be in it
        return None
    if not _SECRET.fullmatch(text):
        raise BrokerError(f"{files.secret} is damaged: without it the next start of Kafka makes a new one")
    return text


def kept_secret(files: Files) -> str:
    """The secret of a data directory, made where there is none. For whoever starts Kafka."""
    found = secret_of(files)
    if found is None:
        found = new_secret()
        part = files.secret.with_suffix(".part")
        write(part, f"{found}\n")
        part.replace(files.secret)
    return found


def write_client_properties(files: Files, servers: str, secret: str) -> None:
    """How another client connects, as Kafka's own tools take it."""
    login = f'org.apache.kafka.common.security.scram.ScramLoginModule required username="{USER}" password="{secret}";'
    lines = (
        f"bootstrap.servers={servers}",
        "security.protocol=SASL_PLAINTEXT",
        f"sasl.mechanism={MECHANISM}",
        f"sasl.jaas.config={login}",
    )
    part = files.client_properties.with_suffix(".part")
    write(part, "".join(f"{line}\n" for line in lines))
    part.replace(files.client_properties)


def secret_for(data_dir: Path, servers: str) -> str | None:
    """The secret of the Kafka of a data directory, if these are addresses of it, whether it runs now or not."""
    wanted = {server.replace("localhost:", f"{HOST}:") for server in servers.split(",")}
    for files in (Files.of(data_dir), Files.of_node(data_dir, 1)):
        with suppress(OSError, UnicodeDecodeError):
            lines = files.client_properties.read_text("utf-8").splitlines()
            known = next((line for line in lines if line.startswith("bootstrap.servers=")), "")
            if wanted <= set(known.partition("=")[2].split(",")):
                return secret_of(files)
    return None


def admit(node: Node) -> None:
    """Have the controllers take note of the secret's proof. Whether they did shows at the door for clients."""
    _log.addFilter(_is_no_news)
    try:
        asked(lambda: _admit(node))
    finally:
        _log.removeFilter(_is_no_news)


def _is_no_news(record: logging.LogRecord) -> bool:
    """Not the client library's warning of a password in the clear: it goes to a port of this machine, for one start."""
    return not str(record.msg).startswith("Sending username and password")


async def _admit(node: Node) -> None:
    salt = os.urandom(32)
    salted = hashlib.pbkdf2_hmac("sha512", node.secret.encode(), salt, ITERATIONS)
    request = _AlterScram([], [(USER, _SCRAM_SHA_512, ITERATIONS, salt, salted, {})], {})
    for port in node.controllers.values():
        # They may not be there yet, and only the one in charge takes it: it is tried again.
        with suppress(Exception):
            async with asyncio.timeout(PATIENCE_S):
                connection = await create_conn(
                    HOST,
                    port,
                    client_id="meter-start",
                    security_protocol="SASL_PLAINTEXT",
                    sasl_mechanism="PLAIN",
                    sasl_plain_username=CONTROLLER,
                    sasl_plain_password=node.controllers_password,
                )
                try:
                    await connection.send(request)
                finally:
                    connection.close()


_AlterScram = message(
    51,
    0,
    asks=Schema(
        ("deletions", CompactArray(("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields))),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    ),
    answers=Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    ),
)
