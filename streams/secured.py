"""TLS and SASL: what the settings give a client, and which of them is wrong when it does not get in."""

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.helpers import create_ssl_context

from streams.errors import SettingError

if TYPE_CHECKING:
    from streams.settings import Settings

LOOK_PATIENCE_S = 5.0


def ssl_context(settings: "Settings") -> ssl.SSLContext:
    """The context of the settings' files. Raises SettingError, which names the one that is wrong."""
    ca, cert, key = settings.ssl_ca_file, settings.ssl_cert_file, settings.ssl_key_file
    for name, path in (("CA", ca), ("CERT", cert), ("KEY", key)):
        _need_readable(name, path)
    try:
        context: ssl.SSLContext = create_ssl_context(cafile=ca and str(ca))
    except (OSError, ssl.SSLError) as error:
        raise SettingError(f"METER_SSL_CA_FILE: {ca}: no certificates in PEM: {error}") from error
    if cert is not None:
        password = settings.ssl_key_password
        try:
            # Never None: OpenSSL would ask for the password at the terminal.
            context.load_cert_chain(cert, key, password.get_secret_value() if password else "")
        except (OSError, ssl.SSLError, ValueError) as error:
            raise SettingError(_wrong_in_chain(cert, key, error)) from error
    context.check_hostname = settings.ssl_check_hostname
    return context


def _need_readable(name: str, path: Path | None) -> None:
    try:
        if path is not None:
            path.open("rb").close()
    except OSError as error:
        raise SettingError(f"METER_SSL_{name}_FILE: {path}: {error.strerror}") from error


def _wrong_in_chain(cert: Path, key: Path | None, error: Exception) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cert)
    except ssl.SSLError:
        return f"METER_SSL_CERT_FILE: {cert}: no certificate in PEM: {error}"
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"METER_SSL_KEY_FILE: {key or cert} is not the key of {cert} (METER_SSL_CERT_FILE)"
    return f"METER_SSL_KEY_FILE: {key or cert}: no key in PEM, or METER_SSL_KEY_PASSWORD is not its password: {error}"


async def why_not(settings: "Settings") -> str | None:
    """Which setting a Kafka that answers does not like; None where it does not answer, or likes them all.

    The client tries the servers in turn and says no more than that none would do.
    """
    if settings.security_protocol == "PLAINTEXT":
        return None
    options = settings.client()
    for server in str(options.pop("bootstrap_servers")).split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            async with asyncio.timeout(LOOK_PATIENCE_S):
                connection = await create_conn(host.strip("[]"), int(port), **options)
                connection.close()
        except (OSError, KafkaError) as error:
            if (wrong := _wrong_setting(settings, error)) is not None:
                return f"{server.strip()}: {wrong}"
    return None


def _wrong_setting(settings: "Settings", error: Exception) -> str | None:
    if settings.security_protocol.endswith("SSL") and (wrong := _wrong_tls(settings, error)):
        return wrong
    mechanism = f"METER_SASL_MECHANISM={settings.sasl_mechanism}"
    match error:
        case SaslAuthenticationFailed() | AuthenticationFailedError():
            return f"authentication failed: {_credentials(settings)} ({mechanism}): {_said(error)}"
        case UnsupportedSaslMechanismError():
            return f"authentication failed: {mechanism} is not enabled there"
        case IllegalSaslStateError():
            return f"METER_SECURITY_PROTOCOL={settings.security_protocol}: nobody authenticates at this port"
    return None


def _wrong_tls(settings: "Settings", error: Exception) -> str | None:
    """A server that wants another certificate of the client may only cut the connection once hands are shaken."""
    protocol = f"METER_SECURITY_PROTOCOL={settings.security_protocol}"
    match error:
        case ssl.SSLCertVerificationError():
            setting = "METER_SSL_CHECK_HOSTNAME" if "match" in error.verify_message else "METER_SSL_CA_FILE"
            return f"its certificate is not trusted: {setting}: {error.verify_message}"
        case ssl.SSLError() if "ALERT" in (error.reason or ""):
            return f"it does not take the client's certificate: METER_SSL_CERT_FILE: {error.reason}"
        case ssl.SSLError() | ConnectionResetError() | ConnectionAbortedError():
            return f"no TLS at this port? {protocol}: {_said(error)}"
        case KafkaConnectionError():
            return f"cut after the handshake of TLS; does it want a client's certificate (METER_SSL_CERT_FILE)? {error}"
    return None


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _credentials(settings: "Settings") -> str:
    match settings.sasl_mechanism:
        case "OAUTHBEARER":
            return "METER_SASL_OAUTH_TOKEN"
        case "GSSAPI":
            return "METER_SASL_KERBEROS_SERVICE_NAME"
    return "METER_SASL_USERNAME or METER_SASL_PASSWORD"
