"""TLS: what the settings' files give a client, and which of them is wrong."""

import ssl
import time
from pathlib import Path
from typing import Any

from aiokafka.helpers import create_ssl_context

from streams.errors import SettingError
from streams.settings import Settings

#: The standard library reads certificates, and has no public name for it.
_decoded: Any = ssl._ssl._test_decode_cert  # type: ignore[attr-defined]  # noqa: SLF001


def ssl_context(settings: Settings) -> ssl.SSLContext:
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
        _need_in_time(cert)
    context.check_hostname = settings.ssl_check_hostname
    return context


def _need_readable(name: str, path: Path | None) -> None:
    try:
        if path is not None:
            path.open("rb").close()
    except OSError as error:
        raise SettingError(f"METER_SSL_{name}_FILE: {path}: {error.strerror}") from error


def _need_in_time(cert: Path) -> None:
    """A server says no more than that it does not take a certificate; when it ends is known here."""
    known = _decoded(str(cert))
    for name, is_wrong in (("notBefore", "is not valid before"), ("notAfter", "has expired: it was valid until")):
        instant = str(known[name])
        is_late = ssl.cert_time_to_seconds(instant) < time.time()
        if is_late is (name == "notAfter"):
            raise SettingError(f"METER_SSL_CERT_FILE: {cert} {is_wrong} {instant}")


def _wrong_in_chain(cert: Path, key: Path | None, error: Exception) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cert)
    except ssl.SSLError:
        return f"METER_SSL_CERT_FILE: {cert}: no certificate in PEM: {error}"
    if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
        return f"METER_SSL_KEY_FILE: {key or cert} is not the key of {cert} (METER_SSL_CERT_FILE)"
    return f"METER_SSL_KEY_FILE: {key or cert}: no key in PEM, or METER_SSL_KEY_PASSWORD is not its password: {error}"
