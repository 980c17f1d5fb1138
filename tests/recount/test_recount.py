"""Hand-made partitions: dedupe, conflicts, rerouting, and that each kind of difference is found."""

import base64
import json
from copy import deepcopy
from typing import Any

import pytest

from tests.recount.compare import Published, Reroutes, differences, fold_journal, reroute_differences
from tests.recount.count import COMPLETED, REROUTED, PartitionCount, Record
from tests.recount.placement import owner
from tests.recount.rules import money
from tests.recount.test_rules import GUIDE

NOW_MS = 1_546_308_300_000  # 2019-01-01T10:05+08:00, five minutes after the guide's job
HOME = owner("A", 8)
AWAY = (HOME + 1) % 8


def record(offset: int, topic: str = COMPLETED, partition: int = HOME, at_ms: int = NOW_MS, **changes: Any) -> Record:
    return Record(topic, partition, offset, at_ms, json.dumps(GUIDE | changes).encode())


def counted(*records: Record, partition: int = HOME) -> PartitionCount:
    count = PartitionCount(partition, 8)
    count.fold(records)
    return count


def codes(count: PartitionCount) -> dict[int, str]:
    return {offset: refused.code for (_, _, offset), refused in count.refused.items()}


def step(seq: int, counts: dict[str, int], *ranges: tuple[str, int, int]) -> dict[str, Any]:
    inputs = [{"topic": topic, "from": start, "to": end} for topic, start, end in ranges]
    zeros = dict.fromkeys(("read", "priced", "duplicate", "rejected", "rerouted", "commands"), 0)
    return {"v": 1, "kind": "step", "seq": seq, "inputs": inputs} | zeros | counts


def published(count: PartitionCount) -> Published:
    """What a faultless meter would have put out."""
    keys = ("account_id", "region", "day")
    daily = {
        key: dict(zip(keys, key, strict=True))
        | {"v": 1, "jobs": jobs, "minutes": minutes, "amount": money(amount), "currency": "CNY"}
        for key, (jobs, minutes, amount) in count.totals.items()
    }
    rejected = [
        {
            "code": refused.code,
            "record": base64.b64encode(refused.record.value or b"").decode(),
            "source": dict(zip(("topic", "partition", "offset"), place, strict=True))
            | {"timestamp": refused.record.timestamp_ms},
        }
        | ({"amount_at_risk": refused.amount} if refused.amount else {})
        for place, refused in count.refused.items()
    ]
    return Published([], deepcopy(list(count.priced.values())), daily, rejected)


def test_duplicates_and_conflicts() -> None:
    count = counted(
        record(0),
        record(1, duration_s="3600.0", completed_at="2019-01-01T02:00:00Z"),
        record(2, duration_s=3601),
        record(3, account_id="A", job_id="j2"),
        record(4),
    )
    assert count.outcomes == {"read": 5, "priced": 2, "duplicate": 2, "rejected": 1}
    assert codes(count) == {2: "conflict"}
    assert count.totals[("A", "Mainland China", "2019-01-01")][:2] == (2, 120)


def test_record_time_decides_late_and_future() -> None:
    horizon_ms = 35 * 24 * 3600 * 1000
    completed_ms = NOW_MS - 300_000
    count = counted(
        record(0, job_id="on the edge of the future", at_ms=completed_ms - 300_000),
        record(1, job_id="future", at_ms=completed_ms - 300_001),
        record(2, job_id="on the edge of the past", at_ms=completed_ms + horizon_ms),
        record(3, job_id="past", at_ms=completed_ms + horizon_ms + 1),
    )
    assert codes(count) == {1: "in_future", 3: "too_old"}


REMEMBER_MS = 35 * 24 * 3600 * 1000 + 5 * 60 * 1000


def test_refused_records_leave_no_trace_and_old_ids_are_forgotten() -> None:
    later: dict[str, Any] = {"completed_at": "2019-02-05T10:05:00+08:00"}
    count = counted(
        record(0, duration_s=0),
        record(1),
        record(2, at_ms=NOW_MS + REMEMBER_MS, **later),
        record(3, at_ms=NOW_MS + REMEMBER_MS + 1, **later),
    )
    assert codes(count) == {0: "bad_duration", 2: "conflict"}
    assert count.outcomes["priced"] == 2


def test_rerouted_to_the_owner() -> None:
    misplaced = record(0, partition=AWAY)
    here, home = counted(misplaced, partition=AWAY), counted(record(0, REROUTED))
    assert here.outcomes == {"read": 1, "rerouted": 1}
    assert home.outcomes == {"read": 1, "priced": 1}
    assert codes(counted(record(0, REROUTED, AWAY), partition=AWAY)) == {0: "misplaced"}
    assert codes(counted(record(0, partition=AWAY, duration_s=0), partition=AWAY)) == {0: "bad_duration"}

    out = published(home)
    out.priced[0]["origin"] = {"topic": COMPLETED, "partition": AWAY, "offset": 0}
    reroutes = Reroutes({}, {}, [])
    reroutes.add(here, published(here))
    reroutes.add(home, out)
    assert [*differences(home, out), *reroute_differences(reroutes)] == []
    out.priced[0]["origin"]["offset"] = 1
    assert len(list(reroute_differences(reroutes))) == 1
    reroutes.arrived.clear()
    assert "missing there" in " ".join(reroute_differences(reroutes))


def test_journal_order_decides_which_of_two_is_the_conflict() -> None:
    inputs = {COMPLETED: [record(0)], REROUTED: [record(0, REROUTED, duration_s=60)]}
    counts = {"read": 2, "priced": 1, "rejected": 1}
    for order in ((COMPLETED, REROUTED), (REROUTED, COMPLETED)):
        count = PartitionCount(HOME, 8)
        journal = [{"kind": "rules"}, step(1, counts, *((topic, 0, 1) for topic in order))]
        assert list(fold_journal(count, inputs, journal)) == []
        assert list(count.refused) == [(order[1], HOME, 0)]


@pytest.mark.parametrize(
    ("journal", "words"),
    [
        ([], "does not begin with the rules"),
        ([step(1, {"read": 2, "priced": 2}, (COMPLETED, 0, 9))], "does not begin with the rules"),
        ([{"kind": "rules"}, step(1, {"read": 1, "priced": 1}, (COMPLETED, 1, 9))], "where 0 was next"),
        ([{"kind": "rules"}, step(1, {"read": 1, "priced": 1}, (COMPLETED, 0, 1))], "1 records of"),
        ([{"kind": "rules"}, step(1, {"read": 2, "priced": 1}, (COMPLETED, 0, 9))], "says priced 1"),
        (
            [
                {"kind": "rules"},
                step(1, {"read": 1, "priced": 1}, (COMPLETED, 0, 1)),
                step(3, {"read": 1, "priced": 1}, (COMPLETED, 1, 9)),
            ],
            "from seq 1 to 3",
        ),
    ],
)
def test_journal_faults_are_found(journal: list[dict[str, Any]], words: str) -> None:
    inputs = {COMPLETED: [record(0), record(5, job_id="j2")], REROUTED: []}
    assert words in " ".join(fold_journal(PartitionCount(HOME, 8), inputs, journal))


def sample() -> tuple[PartitionCount, Published]:
    count = counted(record(0), record(1, duration_s=60), record(2, job_id="j2"), record(3, region="?"))
    return count, published(count)


def test_a_faultless_meter_shows_no_difference() -> None:
    assert list(differences(*sample())) == []


def test_each_kind_of_fault_is_found() -> None:
    def after(change: Any) -> str:
        count, out = sample()
        change(out)
        return " ".join(differences(count, out))

    key = ("A", "Mainland China", "2019-01-01")
    assert "priced 2 times" in after(lambda out: out.priced.append(out.priced[0]))
    assert "never priced" in after(lambda out: out.priced.pop())
    assert "not owed" in after(lambda out: out.priced.append(out.priced[0] | {"job_id": "ghost"}))
    assert "minutes is 61" in after(lambda out: out.priced[0].update(minutes=61))
    assert "origin" in after(lambda out: out.priced[0].update(origin={}))
    assert "jobs is 3" in after(lambda out: out.daily[key].update(jobs=3))
    assert "total missing" in after(lambda out: out.daily.clear())
    assert "total without a job" in after(lambda out: out.daily.update({("B", "x", "y"): {}}))
    assert "neither priced nor refused" in after(lambda out: out.rejected.pop())
    assert "refused 2 times" in after(lambda out: out.rejected.append(out.rejected[0]))
    assert "recounted conflict" in after(lambda out: out.rejected[0].update(code="too_old"))
    assert "at risk" in after(lambda out: out.rejected[0].update(amount_at_risk="1.00"))
    assert "other bytes" in after(lambda out: out.rejected[0].update(record="AAAA"))
