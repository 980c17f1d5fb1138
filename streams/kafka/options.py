"""What every aiokafka client of this process is given, by the settings."""

from importlib.util import find_spec
from typing import Any

from aiokafka.abc import AbstractTokenProvider

from streams.errors import SettingError
from streams.kafka.tls import ssl_context
from streams.settings import Settings


def client_options(settings: Settings) -> dict[str, Any]:
    """The keyword arguments that every aiokafka client of this process takes."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        options["ssl_context"] = ssl_context(settings)
    if settings.security_protocol.startswith("SASL"):
        options |= _sasl(settings)
    return options


def _sasl(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_kerberos_service_name": settings.sasl_kerberos_service_name,
        "sasl_kerberos_domain_name": settings.sasl_kerberos_domain_name,
    }
    if settings.sasl_mechanism == "OAUTHBEARER":
        if settings.sasl_oauth_token is None:
            raise SettingError("METER_SASL_MECHANISM=OAUTHBEARER needs METER_SASL_OAUTH_TOKEN")
        options["sasl_oauth_token_provider"] = _bearer(settings.sasl_oauth_token.get_secret_value())
    elif settings.sasl_mechanism == "GSSAPI":
        if find_spec("gssapi") is None:
            raise SettingError("METER_SASL_MECHANISM=GSSAPI needs the package gssapi: pip install gssapi")
    else:
        if settings.sasl_username is None or settings.sasl_password is None:
            raise SettingError(
                f"METER_SASL_MECHANISM={settings.sasl_mechanism} needs METER_SASL_USERNAME and METER_SASL_PASSWORD"
            )
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    return options


def _bearer(token: str) -> Any:
    class Bearer(AbstractTokenProvider):
        async def token(self) -> str:
            return token

    return Bearer()
