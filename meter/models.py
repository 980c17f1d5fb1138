"""The public contract as pydantic models: what comes in and what goes out.

Schemas, the HTTP API and error messages come from here. Outputs are canonical JSON: fields in the order of the
model, no spaces, decimals as strings. `meter.outputs` writes the same bytes faster; a test holds the two together.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from meter.durations import DURATION_STRING, NumberLiteral, duration_ms, duration_text
from meter.money import decimal_text
from meter.periods import MAX_INSTANT_CHARS, instant_us, is_leap_second
from meter.regions import REGION_CODES

KINDS = ("face", "frame_tag", "opening_ending", "speech", "text")

Id = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=128)]


def _said(value: str) -> str:
    if value.encode(errors="replace").decode() != value:
        raise ValueError("must be whole characters")
    return value


#: Text without half a character in it: JSON can write one, and UTF-8 cannot.
Said = Annotated[str, AfterValidator(_said)]

CLOUD_EVENT_TYPE = "recognition.job.completed.v1"

_INSTANT_SCHEMA = {"type": "string", "format": "date-time", "maxLength": MAX_INSTANT_CHARS}


def _kinds(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(kind, str) for kind in value):
        raise ValueError("must be a non-empty list of strings")
    unknown = sorted({kind for kind in value if kind not in KINDS})
    if unknown:
        raise PydanticCustomError("unknown_kind", "unknown kind {kind}", {"kind": repr(unknown[0][:128])})
    return tuple(sorted(set(value)))


def _region(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    code = REGION_CODES.get(value)
    if code is None:
        raise PydanticCustomError("unknown_region", "unknown region {region}", {"region": repr(value[:128])})
    return code


def _duration(value: Any) -> int:
    """Milliseconds of a JSON number (as written), a decimal string, or an int or Decimal of a Python caller."""
    if isinstance(value, str):
        literal = value if DURATION_STRING.fullmatch(value) else None
    elif isinstance(value, NumberLiteral):
        literal = value.text
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        literal = str(value)  # type: ignore[decimal-text] # as a literal may be: with an exponent
    else:
        raise ValueError("must be a number or a decimal string")
    result = duration_ms(literal) if literal is not None else None
    if result is None:
        wrong = {"value": (literal or repr(value))[:64]}
        if literal is None:
            raise PydanticCustomError("bad_duration", "must be a plain number of seconds, got {value}", wrong)
        raise PydanticCustomError(
            "bad_duration", "must be more than 0 and at most 31536000 seconds, got {value}", wrong
        )
    return result


def _completed_at(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    if instant_us(value) is None:
        wrong = {"value": repr(value[:64])}
        if is_leap_second(value):
            raise PydanticCustomError("no_offset", "cannot be a leap second, got {value}", wrong)
        raise PydanticCustomError("no_offset", "must be an RFC 3339 date-time with an offset, got {value}", wrong)
    return value


Instant = Annotated[str, BeforeValidator(_completed_at), WithJsonSchema(_INSTANT_SCHEMA)]


class JobCompleted(BaseModel):
    """A finished job, as a service reports it. Unknown extra fields do no harm.

    A job is charged once, whatever number of kinds it ran (the guide has one billing item).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    job_id: Id
    account_id: Id
    region: Annotated[str, BeforeValidator(_region), WithJsonSchema({"type": "string", "enum": sorted(REGION_CODES)})]
    kinds: Annotated[
        tuple[str, ...],
        BeforeValidator(_kinds),
        WithJsonSchema({"type": "array", "minItems": 1, "items": {"type": "string", "enum": list(KINDS)}}),
    ]
    duration_ms: Annotated[
        int,
        BeforeValidator(_duration),
        Field(alias="duration_s", description="length of the source video in seconds, read to the millisecond"),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "number", "exclusiveMinimum": 0, "maximum": 31_536_000},
                    {"type": "string", "pattern": f"^{DURATION_STRING.pattern}$"},
                ]
            }
        ),
    ]
    completed_at: Instant

    @property
    def completed_us(self) -> int:
        """The instant of completion in microseconds since the epoch."""
        instant = instant_us(self.completed_at)
        assert instant is not None  # the validator has read it
        return instant


def _exact(value: Any) -> str:
    """Money in an output: a Decimal, or its canonical text. A float is refused."""
    if isinstance(value, str):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        raise ValueError("must be an exact decimal")
    return decimal_text(value)


Amount = Annotated[
    str,
    BeforeValidator(_exact),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+\.[0-9]{2,}$", "description": "exact decimal"}),
]
Day = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
DurationText = Annotated[str, BeforeValidator(lambda v: duration_text(v) if isinstance(v, int) else v)]


class OutputRecord(BaseModel):
    """A record of an output topic: version 1 of its contract."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1

    def canonical(self) -> bytes:
        """Canonical JSON: fields in order, no spaces, absent fields left out."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()

    @classmethod
    def read(cls, value: bytes) -> Self:
        """The record of an output topic. Version 1 only gains fields, so unknown ones are left aside."""
        return cls.model_validate_json(value, extra="ignore")


class Source(BaseModel):
    """Where a record was read: topic (without the deployment's prefix), partition, offset, record time in ms."""

    model_config = ConfigDict(frozen=True)

    topic: str
    partition: int
    offset: int
    timestamp: int


class Origin(BaseModel):
    """Where a rerouted completion first came in."""

    model_config = ConfigDict(frozen=True)

    topic: str
    partition: int
    offset: int


# So many fields: the record has them.
class PricedJob(OutputRecord):
    """`usage.priced`: each accepted job once. Key: the account id."""

    job_id: Id
    account_id: Id
    region: str
    kinds: tuple[str, ...]
    completed_at: str
    day: Day
    duration_s: DurationText
    minutes: int
    unit_price: Amount
    amount: Amount
    currency: Literal["CNY"] = "CNY"
    price_version: str
    source: Source
    origin: Origin | None = None


class DayTotal(OutputRecord):
    """`usage.daily`: totals by account, region and billing day. Key: `["account","region","day"]`."""

    account_id: Id
    region: str
    day: Day
    jobs: int
    minutes: int
    amount: Amount
    currency: Literal["CNY"] = "CNY"


class Header(BaseModel):
    """A header of a refused record."""

    model_config = ConfigDict(frozen=True)

    key: str
    value: str | None = Field(default=None, description="base64; absent when it was null")


class Truncated(BaseModel):
    """What is left to identify an original that did not fit: its length in bytes and its SHA-256."""

    model_config = ConfigDict(frozen=True)

    bytes: int
    sha256: str


class Rejected(OutputRecord):
    """`usage.rejected`: a refused record, whole, with the reason and the money at risk."""

    code: str
    message: str
    account_id: str | None = None
    job_id: str | None = None
    amount_at_risk: Amount | None = None
    currency: Literal["CNY"] | None = None
    key: str | None = Field(default=None, description="the record's key, base64")
    record: str | None = Field(default=None, description="the record's value, base64; absent when it was null")
    truncated: Truncated | None = None
    headers: tuple[Header, ...] = ()
    source: Source


class PriceBookCommand(BaseModel):
    """`meter.commands`: publish a price book, the same record on every partition, from a billing day on."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = 1
    command_id: Id
    type: Literal["price_book"] = "price_book"
    issued_at: Instant
    version: Id
    effective_from: Day
    currency: Literal["CNY"] = "CNY"
    prices: dict[Said, Said] = Field(description="price zone -> CNY per minute, a decimal string")


class CommandResult(OutputRecord):
    """`meter.command-results`: one answer a command and partition. Key: the command id."""

    command_id: str
    account_id: str | None = None
    partition: int
    status: Literal["done", "refused"]
    code: str | None = None
    message: str | None = None
    digest: str | None = Field(default=None, description="of the content of the command that is answered")
    source: Source
