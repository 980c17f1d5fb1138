"""Who issues bills and who is billed, for printed bills: a TOML file, `METER_PARTIES_FILE`.

    [issuer]
    name = "示例云计算有限公司"
    tax_number = "91110000000000000X"

    [customers."A"]
    name = "Example Video Ltd"

The file is looked at again when it has changed, so a customer's address needs no restart. One that has become wrong
meanwhile leaves what was read before in force, and is logged.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from streams.errors import SettingError

log = structlog.get_logger(__name__)

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
AccountId = Annotated[str, StringConstraints(min_length=1, max_length=128)]
_VARIABLE = "METER_PARTIES_FILE"


class Party(BaseModel):
    """An issuer or a customer, as a bill names it; all but the name may be left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Line
    address: Line | None = None
    tax_number: Line | None = None
    phone: Line | None = None
    email: Line | None = None
    bank: Line | None = None
    bank_account: Line | None = None


class Parties(BaseModel):
    """All that the file says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: Party | None = None
    customers: Mapping[AccountId, Party] = Field(default_factory=dict)


class PartiesFile:
    """The file, read when it is another one than before. Raises SettingError where it is wrong at the start."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._parties = Parties()
        if path is not None:
            self._read(path)

    def parties(self) -> Parties:
        """What the file says now."""
        if self._path is not None:
            try:
                self._read(self._path)
            except SettingError as error:
                log.error("the file of issuer and customers is wrong: bills are printed as before", why=str(error))
        return self._parties

    def _read(self, path: Path) -> None:
        try:
            status = path.stat()
            seen = status.st_mtime_ns, status.st_size
            if seen != self._seen:
                self._seen = seen
                self._parties = read_parties(path)
        except OSError as error:
            raise SettingError(f"{_VARIABLE}: {path}: {error.strerror}") from error


def read_parties(path: Path) -> Parties:
    """A file's parties. Raises SettingError, as one line, and OSError."""
    try:
        return Parties.model_validate(tomllib.loads(path.read_bytes().decode("utf-8-sig")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingError(f"{_VARIABLE}: {path}: {where}: {first['msg']}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{_VARIABLE}: {path}: {error}") from error
