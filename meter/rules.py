"""The rules record: what decides money and is fixed when a meter is created. It is the first record of its journal."""

from enum import StrEnum
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

#: How long after the horizon a day's totals and ids are kept.
FORGET_AFTER_MS = 2 * 86_400_000


class Clock(StrEnum):
    """Where record time comes from: the broker's append time, or (test and demo meters) the producer's stamp."""

    BROKER = "broker"
    SIMULATED = "simulated"


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("there is no such time zone; names are such as Asia/Shanghai") from error
    return name


class Rules(BaseModel):
    """Fixed by `meter topics create` and kept in the log; a worker takes them from there and from nowhere else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    kind: Literal["rules"] = "rules"
    rules_version: Literal[1] = 1
    meter_id: Annotated[str, Field(min_length=1, max_length=64)]
    partitions: Annotated[int, Field(ge=1, le=1024)] = 8
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "Asia/Shanghai"
    horizon_days: Annotated[int, Field(ge=1, le=365)] = 35
    future_tolerance_s: Annotated[int, Field(ge=0, le=86_400)] = 300
    price_notice_s: Annotated[int, Field(ge=0)] = 3_600
    settlement_spread_s: Annotated[int, Field(ge=0, le=21_600)] = 3_600
    clock: Clock = Clock.BROKER

    @model_validator(mode="after")
    def _no_price_of_a_metered_day(self) -> Self:
        if self.future_tolerance_s > self.price_notice_s:
            raise ValueError("future_tolerance_s must not exceed price_notice_s: a price could start on a metered day")
        return self

    @property
    def horizon_ms(self) -> int:
        """How late a completion may come, in milliseconds of record time."""
        return self.horizon_days * 86_400_000

    @property
    def remember_ms(self) -> int:
        """How long an id is remembered, in milliseconds of record time: as long as its job could still be in time.

        A job may be recorded before it is completed, by the tolerance; it is not too old until that much later.
        """
        return self.horizon_ms + self.future_tolerance_ms

    def forgotten_ms(self, due_until: int) -> int:
        """Jobs completed before this instant, in ms, are refused once settlement has come to `due_until`.

        So what belongs to them need not be kept, whatever the clocks say: their days' totals, and their ids, which
        were recorded no earlier than the tolerance before it.
        """
        return due_until - self.horizon_ms - FORGET_AFTER_MS

    @property
    def future_tolerance_ms(self) -> int:
        """How far `completed_at` may lie after record time, in milliseconds."""
        return self.future_tolerance_s * 1000
