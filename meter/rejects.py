"""Refusals: bad input is a value with a stable code, in the order in which the codes take precedence."""

from enum import StrEnum
from typing import NamedTuple


class Code(StrEnum):
    """Why a record was refused. The order is the order of precedence."""

    NOT_JSON = "not_json"
    DUPLICATE_KEY = "duplicate_key"
    BAD_FIELDS = "bad_fields"
    UNKNOWN_KIND = "unknown_kind"
    UNKNOWN_REGION = "unknown_region"
    BAD_DURATION = "bad_duration"
    NO_OFFSET = "no_offset"
    CLOCK_AHEAD = "clock_ahead"
    IN_FUTURE = "in_future"
    TOO_OLD = "too_old"
    CONFLICT = "conflict"
    MISPLACED = "misplaced"
    TOO_LARGE = "too_large"


#: Codes for which sending the same record again could only fail again.
FINAL_CODES = frozenset({Code.TOO_OLD, Code.CONFLICT})

PRECEDENCE = {code: place for place, code in enumerate(Code)}


def refused_at(code: str, recorded_ms: int, published_ms: int) -> int:
    """When a record was refused, in ms: at its record time, but where that is of a clock that was ahead."""
    return published_ms if code == Code.CLOCK_AHEAD else recorded_ms


class Refusal(NamedTuple):
    """Why something is not done: a stable code, a sentence for people, and of a completion what of it could be read.

    The code of a completion that is not metered is a `Code`; those of commands are in the contract.
    """

    code: str
    message: str
    account_id: str | None = None
    job_id: str | None = None
    region: str | None = None
    duration_ms: int | None = None
    completed_us: int | None = None
