"""The journal: what each step folded, in which order, so that its outputs can be recomputed from the inputs."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from meter.rules import Rules


class InputRange(BaseModel):
    """A range of one input's log, as the consumer's positions saw it: `from` is the first, `to` one past the last."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    topic: str
    start: Annotated[int, Field(alias="from", ge=0)]
    next: Annotated[int, Field(alias="to", ge=0)]


class DueRun(BaseModel):
    """The first so many actions that were due by an instant, in the order of the agenda: bills and stops."""

    model_config = ConfigDict(frozen=True)

    until: Annotated[int, Field(ge=0)]
    actions: Annotated[int, Field(ge=0)]


class Counts(BaseModel):
    """What became of the records that a step read: read = priced + duplicate + rejected + rerouted + commands."""

    model_config = ConfigDict(frozen=True)

    read: int = 0
    priced: int = 0
    duplicate: int = 0
    rejected: int = 0
    rerouted: int = 0
    commands: int = 0


# So many fields: the journal's record has them.
class JournalStep(Counts):
    """One step: one transaction of the partition's single writer."""

    v: Literal[1] = 1
    kind: Literal["step"] = "step"
    seq: Annotated[int, Field(ge=1)]
    record_time: int = Field(description="the latest record time folded so far, in ms")
    not_after: int | None = Field(
        default=None, description="the record time in ms after which this step refused records, where it refused any"
    )
    inputs: tuple[InputRange, ...]
    due: DueRun | None = None
    bills: Annotated[int, Field(ge=0)] = 0
    notes: Annotated[int, Field(ge=0)] = 0
    entries: Annotated[int, Field(ge=0)] = 0
    daily: Annotated[int, Field(ge=0, description="totals changed")] = 0
    notices: Annotated[int, Field(ge=0)] = 0
    services: Annotated[int, Field(ge=0, description="records of account.service")] = 0
    meter_version: str

    def canonical(self) -> bytes:
        """Canonical JSON."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()

    @property
    def counts(self) -> Counts:
        """The counts alone."""
        return Counts(**{name: getattr(self, name) for name in Counts.model_fields})


JournalEntry = Annotated[Rules | JournalStep, Field(discriminator="kind")]
_ENTRY: TypeAdapter[Rules | JournalStep] = TypeAdapter(JournalEntry)


def read_entry(value: bytes) -> Rules | JournalStep:
    """A record of `meter.journal`. Raises pydantic's ValidationError when it is none."""
    return _ENTRY.validate_json(value)
