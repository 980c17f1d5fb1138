"""Settings by environment (METER_*) and `meter.toml`. What changes money is in the rules record and not here."""

import difflib
import os
import tomllib
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from streams.errors import SettingError
from streams.text.formats import BOM, no_text

PREFIX = "METER_"
Network = IPv4Network | IPv6Network
_NAME = r"^[a-zA-Z0-9._-]*$"
#: Kafka looks so often for transactions that have outlived their timeout.
ABORTS_WITHIN_S = 10.0


# So many fields: one for each setting.
class Settings(BaseSettings):
    """How this process reaches Kafka and where it keeps its files. The environment goes before `meter.toml`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, toml_file="meter.toml", extra="forbid", frozen=True)

    bootstrap_servers: str | None = Field(None, description="Kafka, as host:port,...; none: the embedded broker")
    data_dir: Path = Field(Path(".meter"), description="embedded broker, dedupe index")
    app_id: Annotated[str, Field(pattern=_NAME, min_length=1, max_length=200)] = Field(
        "recognition-meter", description="consumer group; transactional ids are <app id>-<partition>"
    )
    topic_prefix: Annotated[str, Field(pattern=_NAME, max_length=100)] = Field(
        "", description="put before every topic's name, for several meters on one cluster"
    )
    instance_id: Annotated[str, Field(pattern=_NAME, max_length=200)] | None = Field(
        None, description="static membership: a restart within the session timeout keeps its partitions"
    )
    standby: bool = Field(
        True, description="keep the dedupe index of a share of the others' partitions ready, for taking them over"
    )
    session_timeout_s: Annotated[float, Field(ge=1, le=300)] = Field(
        10.0, description="a worker that is silent for longer loses its partitions"
    )
    transaction_timeout_s: Annotated[float, Field(ge=1, le=60)] = Field(
        15.0, description="a step's transaction that is open for longer is aborted by the broker"
    )
    database_url: SecretStr | None = Field(
        None,
        description="the read model: postgresql://... or sqlite:///file; none: a file in the data directory",
    )
    web_host: str = Field("127.0.0.1", description="address of /metrics, /healthz, /readyz")
    web_port: Annotated[int, Field(ge=0, le=65535)] = Field(8321, description="their port; 0: none")
    stalled_after_s: Annotated[float, Field(gt=0)] = Field(
        60.0, description="/readyz fails when a partition with lag has not moved for this long"
    )
    webhook_timeout_s: Annotated[float, Field(ge=1, le=60)] = Field(
        15.0, description="how long a webhook's receiver may take to answer"
    )
    webhook_private_addresses: bool = Field(
        False, description="whether webhooks may go to private and loopback addresses"
    )
    http_host: str = Field("127.0.0.1", description="address of the API and the console")
    http_port: Annotated[int, Field(ge=0, le=65535)] = Field(8300, description="their port; 0: any free one")
    http_requests_per_s: Annotated[float, Field(ge=0)] = Field(
        200.0, description="what each token may ask of the API; more is answered with 429; 0: no limit"
    )
    http_body_limit_bytes: Annotated[int, Field(ge=1 << 20)] = Field(
        4 << 20, description="a larger body of completions is answered with 413"
    )
    http_access_log: bool = Field(True, description="whether each request to the API and the console is a line")
    http_trusted_proxies: str = Field(
        "", description="addresses and networks of proxies, with commas, whose X-Forwarded-* headers are believed"
    )
    http_wait_s: Annotated[float, Field(ge=0, le=60)] = Field(
        10.0, description="how long a request waits for the meter's answer to a command"
    )
    parties_file: Path | None = Field(
        None, description="issuer and customers of printed bills, TOML; none: bills name the account alone"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    cache_dir: Path | None = Field(None, description="where the embedded broker keeps Kafka's jars")

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_ca_file: Path | None = None
    ssl_cert_file: Path | None = None
    ssl_key_file: Path | None = None
    ssl_key_password: SecretStr | None = None
    ssl_check_hostname: bool = True
    sasl_mechanism: Literal["PLAIN", "GSSAPI", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_kerberos_service_name: str = "kafka"
    sasl_kerberos_domain_name: str | None = None
    sasl_oauth_token: SecretStr | None = Field(None, description="a bearer token for OAUTHBEARER")

    @field_validator(
        "data_dir", "parties_file", "cache_dir", "ssl_ca_file", "ssl_cert_file", "ssl_key_file", mode="before"
    )
    @classmethod
    def _home_and_name(cls, value: Any) -> Any:
        return value if value is None else _path(value)

    @field_validator("http_trusted_proxies")
    @classmethod
    def _known_networks(cls, value: str) -> str:
        _networks_of(value)
        return value

    @field_validator("bootstrap_servers")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        return value if value is None else ",".join(_server(server, value) for server in value.split(","))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file."""
        return init_settings, env_settings, _File(settings_cls)

    @property
    def request_timeout_s(self) -> float:
        """How long a request of a transaction waits for its answer: Kafka has aborted the transaction before."""
        return self.transaction_timeout_s + ABORTS_WITHIN_S + 5.0

    @property
    def publish_timeout_s(self) -> float:
        """How long all of a transaction may take, and what comes before one. Then its process ends."""
        return self.transaction_timeout_s + self.request_timeout_s

    @property
    def trusted_proxies(self) -> tuple[Network, ...]:
        """The networks of `http_trusted_proxies`."""
        return _networks_of(self.http_trusted_proxies)

    def topic(self, name: str) -> str:
        """The full name of a topic of the contract."""
        return self.topic_prefix + name

    def bare(self, topic: str) -> str:
        """The contract's name of a topic of this meter."""
        return topic.removeprefix(self.topic_prefix)


def _networks_of(text: str) -> tuple[Network, ...]:
    """Addresses and networks, joined by commas. Raises ValueError for what is none."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


def _path(value: Any) -> Any:
    """A path whose `~` is the home directory, as no shell has made it in a file. Raises ValueError for an empty one."""
    if not isinstance(value, str | Path):
        raise ValueError(f"is a path, as text, got {value!r}")
    if value == "":
        raise ValueError("is empty: leave it out, or give a path")  # it would be the working directory
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{value!r}: {error}") from error


class _File(TomlConfigSettingsSource):
    """`meter.toml`, as whatever editor has saved it in UTF-8."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        text: bytes = file_path.read_bytes()
        if (wrong := no_text(text, file_path.name, "")) is not None:
            raise SettingError(f"{file_path}: {wrong.partition(':')[0]}, and no TOML")
        return tomllib.loads(text.removeprefix(BOM).decode())


def _server(server: str, among: str) -> str:
    """One server without what surrounds it. Raises ValueError for what is none: `host:port`, `[IPv6 address]:port`."""
    host, _, port = server.strip().rpartition(":")
    is_literal = host.startswith("[") and host.endswith("]") and len(host) > 2
    is_host = is_literal or not set(host) & set(":[]/@ \t")
    if "://" in server:
        raise ValueError(f"takes no scheme: {server.strip()!r} is {server.strip().partition('://')[2].rstrip('/')!r}")
    if (
        not host
        or not is_host
        or not (port.isascii() and port.isdigit() and len(port) <= 5)
        or not 0 < int(port) < 65536
    ):
        raise ValueError(
            f"needs host:port[,host:port...], got {among!r}; an IPv6 address stands in brackets: [::1]:9092"
        )
    return f"{host}:{port}"


def load_settings(**arguments: Any) -> Settings:
    """The settings of this process. Raises SettingError with one line that names the setting and what is wrong."""
    _refuse_unknown_variables()
    file = Path("meter.toml")
    if os.path.lexists(file) and not file.is_file():  # such as the directory that Docker mounts for a file not there
        raise SettingError(f"{file} is no file, and is not read: take it away")
    try:
        return Settings(**{name: value for name, value in arguments.items() if value is not None})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            raise SettingError(f"meter.toml: there is no setting {name!r}{_did_you_mean(name)}") from error
        raise SettingError(f"{PREFIX}{name.upper()} ({name} in meter.toml): {message}") from error
    except (OSError, ValueError) as error:
        raise SettingError(f"meter.toml: {_said(error)}") from error


def _said(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return (
        f"no TOML, in which texts stand in quotes: {error}"
        if isinstance(error, tomllib.TOMLDecodeError)
        else str(error)
    )


def _refuse_unknown_variables() -> None:
    """A misspelt variable must not quietly start an embedded broker beside the cluster that was meant."""
    for variable in os.environ:
        name = variable.removeprefix(PREFIX).lower()
        if variable.startswith(PREFIX) and name not in Settings.model_fields:
            raise SettingError(f"there is no setting {variable}{_did_you_mean(name, PREFIX)}")


def _did_you_mean(name: str, prefix: str = "") -> str:
    near = difflib.get_close_matches(name.lower(), list(Settings.model_fields), n=1)
    if not near:
        return ""
    return f"; did you mean {prefix}{near[0].upper() if prefix else near[0]}?"
