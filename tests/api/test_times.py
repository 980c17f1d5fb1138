"""Completions that the meter would refuse by its clock are refused where they come in."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from meter.rules import Rules
from streams.http.ingest import Item, check_items
from streams.http.problems import Problem
from tests.integration.running import job


@pytest.mark.parametrize(
    ("age", "code"), [(timedelta(days=35, seconds=9), "too_old"), (-timedelta(seconds=309), "in_future")]
)
async def test_what_the_meter_would_refuse_by_its_time_is_refused_at_once(age: timedelta, code: str) -> None:
    rules = Rules(meter_id="m")
    at = (datetime.now(UTC) - age).isoformat()
    with pytest.raises(Problem) as refused:
        await check_items([Item(json.dumps(job(completed_at=at)).encode(), [])], rules)
    assert (refused.value.status_code, refused.value.code) == (409, code)
    close = (datetime.now(UTC) - age * 0.9).isoformat()
    assert len(await check_items([Item(json.dumps(job(completed_at=close)).encode(), [])], rules)) == 1
