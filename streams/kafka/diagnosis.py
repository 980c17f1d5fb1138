"""Why no client gets into Kafka: asked where it has failed, since the client says no more than that no server would do.

Each server is looked at in turn: its name, its port, what is spoken there, what it says to the settings' TLS and SASL.
"""

import asyncio
import os
import re
import socket
import ssl
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import SaslHandShakeRequest

from streams.kafka.options import client_options

if TYPE_CHECKING:
    from streams.settings import Settings

LOOK_PATIENCE_S: Final = 5.0
SPEAK_PATIENCE_S: Final = 2.0
KAFKA, TLS = "Kafka", "TLS"
REFUSAL_S: Final = 0.5
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")
#: ApiVersions, version 0, of a client without a name: any Kafka answers it, whoever asks, with the same number.
_NUMBER: Final = b"\x00\x00\x12\x67"
_ASK: Final = struct.pack(">ihh", 10, 18, 0) + _NUMBER + struct.pack(">h", -1)
#: A record of TLS: an alert or a handshake.
_TLS_RECORDS: Final = (b"\x15\x03", b"\x16\x03")
#: Kafka's code for a mechanism that is not enabled: only a port where clients authenticate gives it.
_UNSUPPORTED_MECHANISM: Final = 33


class Wrong(NamedTuple):
    """What is wrong with one server, and whether a setting has to change: trying again does not help then."""

    server: str
    what: str
    is_setting: bool = False


async def why_not(settings: "Settings") -> list[Wrong]:
    """What is wrong with the servers, one after the other; nothing of those that like the settings."""
    options = client_options(settings)
    servers = [server.strip() for server in str(options.pop("bootstrap_servers")).split(",")]
    found = [await _look(server, settings, options) for server in servers]
    return [each for each in found if each is not None]


async def _look(server: str, settings: "Settings", options: dict[str, object]) -> Wrong | None:
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    try:
        async with asyncio.timeout(LOOK_PATIENCE_S):
            what = await _wrong_port(host, int(port), settings)
            what = what or await _wrong_setting(host, int(port), settings, options)
    except socket.gaierror as error:
        return Wrong(server, f"the name cannot be resolved: {error.strerror}")
    except TimeoutError:
        return Wrong(server, f"no answer within {LOOK_PATIENCE_S:g} s")
    except (OSError, KafkaError) as error:
        return Wrong(server, _said(error))
    return None if what is None else Wrong(server, what, is_setting=True)


async def _wrong_port(host: str, port: int, settings: "Settings") -> str | None:
    """What is spoken there, where that is not what the settings say."""
    wants_tls = settings.security_protocol.endswith("SSL")
    spoken = await _spoken(host, port)
    own = f"METER_SECURITY_PROTOCOL={settings.security_protocol}"
    if spoken == TLS and not wants_tls:
        return f"this port speaks TLS: {own} should be {settings.security_protocol.replace('PLAINTEXT', 'SSL')}"
    if spoken == KAFKA and wants_tls:
        return f"no TLS at this port: {own} should be {settings.security_protocol.replace('SSL', 'PLAINTEXT')}"
    if spoken not in (TLS, KAFKA, ""):
        return f"no Kafka answers at this port, but {spoken!r}"
    return None


async def _spoken(host: str, port: int) -> str:
    """`KAFKA`, `TLS`, the first words of something else, or nothing for one that says nothing."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_ASK)
        async with asyncio.timeout(SPEAK_PATIENCE_S):
            answer = await reader.read(64)
    except (TimeoutError, ConnectionError):
        answer = b""
    finally:
        writer.close()
    if answer[4:8] == _NUMBER:
        return KAFKA
    if answer.startswith(_TLS_RECORDS) or (not answer and await _shakes_hands(host, port)):
        return TLS
    return answer.decode(errors="backslashreplace").split("\n")[0].strip()[:40]


async def _shakes_hands(host: str, port: int) -> bool:
    """Whether a server answers the first words of TLS, whoever it is."""
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(SPEAK_PATIENCE_S):
            _, writer = await asyncio.open_connection(host, port, ssl=anyone)
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _wrong_setting(host: str, port: int, settings: "Settings", options: dict[str, object]) -> str | None:
    """What the settings' TLS and SASL come to. Raises OSError and KafkaError for what is no setting's fault."""
    if settings.security_protocol.endswith("SSL") and (wrong := await _wrong_tls(host, port, options)):
        return wrong
    mechanism = f"METER_SASL_MECHANISM={settings.sasl_mechanism}"
    try:
        connection = await create_conn(host, port, **options)
    except (SaslAuthenticationFailed, AuthenticationFailedError) as error:
        return f"authentication failed: {_credentials(settings)} ({mechanism}): {_said(error)}"
    except UnsupportedSaslMechanismError:
        return f"authentication failed: {mechanism} is not enabled there"
    except IllegalSaslStateError:
        return f"METER_SECURITY_PROTOCOL={settings.security_protocol}: nobody authenticates at this port"
    try:
        if not settings.security_protocol.startswith("SASL"):
            return await _wanted_mechanisms(connection, settings)
    finally:
        connection.close()
    return None


async def _wanted_mechanisms(connection: AIOKafkaConnection, settings: "Settings") -> str | None:
    """A port where clients have to authenticate only cuts those that do not; it says how to those that ask."""
    answer = await connection.send(SaslHandShakeRequest("any"))
    if answer.error_code != _UNSUPPORTED_MECHANISM:
        return None
    own, enabled = settings.security_protocol, ", ".join(answer.enabled_mechanisms)
    return (
        f"clients authenticate at this port ({enabled}): "
        f"METER_SECURITY_PROTOCOL={own} should be SASL_{own}, with METER_SASL_MECHANISM"
    )


async def _wrong_tls(host: str, port: int, options: dict[str, object]) -> str | None:
    """What TLS comes to. What a server says of the client's certificate may only come once hands are shaken."""
    context = options["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    try:
        await _see_that_it_stays(*await asyncio.open_connection(host, port, ssl=context))
    except ssl.SSLCertVerificationError as error:
        if "expired" in error.verify_message:
            raise ConnectionError(f"its certificate has expired: {error.verify_message}") from error
        setting = "METER_SSL_CHECK_HOSTNAME" if "match" in error.verify_message else "METER_SSL_CA_FILE"
        return f"its certificate is not trusted: {setting}: {error.verify_message}"
    except ssl.SSLError as error:
        if "ALERT" in (error.reason or ""):
            return f"it does not take the client's certificate: METER_SSL_CERT_FILE: {error.reason}"
        raise
    return None


async def _see_that_it_stays(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server speaks when it was asked. One that does not like a certificate says so, or ends, by itself."""
    try:
        async with asyncio.timeout(REFUSAL_S):
            await reader.read(1)
    except TimeoutError:
        return
    except ConnectionError:
        pass
    finally:
        writer.close()
    raise ConnectionError("it ends once hands are shaken in TLS: does it want a client's certificate, another one?")


def _said(error: BaseException) -> str:
    """Its text, or what the system calls it: asyncio has its own words for that, one for each address of a name."""
    text = str(error)
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        numbers = [error.errno] if error.errno else [int(number) for number in _ERRNO.findall(text)]
        text = ", ".join(dict.fromkeys(map(os.strerror, numbers))) or text
    return " ".join(text.split()) or type(error).__name__


def _credentials(settings: "Settings") -> str:
    match settings.sasl_mechanism:
        case "OAUTHBEARER":
            return "METER_SASL_OAUTH_TOKEN"
        case "GSSAPI":
            return "METER_SASL_KERBEROS_SERVICE_NAME"
    return "METER_SASL_USERNAME or METER_SASL_PASSWORD"
