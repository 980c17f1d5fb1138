"""The meter's promise as properties: order, chunks, duplicates and crashes change no total and no price."""

from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meter import topics
from meter.models import KINDS, DayTotal, PricedJob
from meter.records import Chunk
from meter.regions import REGION_CODES, ZONE_OF
from meter.rules import Rules
from tests.builders import NOON_MS, RULES, Input, Partition, completion, encode, rejects_of

JOB_TOPICS = (topics.REROUTED, topics.COMPLETED)
GUIDE_PRICES = {"Mainland China": Decimal("0.28"), "Silicon Valley, Virginia": Decimal("0.308")}
OTHERS_PRICE = Decimal("0.3136")


def rfc3339(age_minutes: int, hours_east: int) -> str:
    moment = datetime.fromisoformat("2026-01-01T04:00:00+00:00") - timedelta(minutes=age_minutes)
    return (moment + timedelta(hours=hours_east)).strftime(f"%Y-%m-%dT%H:%M:%S+{hours_east:02d}:00")


jobs = st.builds(
    lambda account, number, region, kinds, duration_ms, age_minutes: {
        "account_id": account,
        "job_id": f"job-{number}",
        "region": region,
        "kinds": sorted(kinds),
        "duration_ms": duration_ms,
        "age_minutes": age_minutes,
    },
    st.sampled_from(["A", "B", "账户"]),
    st.integers(0, 20),
    st.sampled_from(sorted(REGION_CODES)),
    st.sets(st.sampled_from(KINDS), min_size=1),
    st.one_of(st.integers(1, 200_000), st.integers(1, 31_536_000_000)),
    st.integers(0, 34 * 24 * 60),
)
job_sets = st.lists(jobs, min_size=1, max_size=12, unique_by=lambda job: (job["account_id"], job["job_id"]))
crashes = st.sampled_from([None, None, None, "before the commit", "after the commit"])


def in_words(job: dict[str, Any], turn: int) -> dict[str, Any]:
    """A completion of a job; each time it is sent it says the same in other words."""
    seconds = Decimal(job["duration_ms"]) / 1000
    return completion(
        account_id=job["account_id"],
        job_id=job["job_id"],
        region=job["region"] if turn % 2 else REGION_CODES[job["region"]],
        kinds=job["kinds"][:: -1 if turn % 2 else 1] + job["kinds"][: turn % 3],
        duration_s=f"{seconds:.{3 + turn % 4}f}",
        completed_at=rfc3339(job["age_minutes"], turn % 3 * 4),
    )


def expected(job: dict[str, Any]) -> tuple[str, str, str, str, int, Decimal]:
    """What a job costs, reckoned without the meter."""
    region = REGION_CODES[job["region"]]
    shanghai = datetime.fromisoformat(rfc3339(job["age_minutes"], 8))
    minutes = (job["duration_ms"] + 59_999) // 60_000
    price = GUIDE_PRICES.get(ZONE_OF[region], OTHERS_PRICE)
    return job["account_id"], job["job_id"], region, shanghai.date().isoformat(), minutes, minutes * price


def as_priced(value: bytes) -> tuple[str, str, str, str, int, Decimal]:
    job = PricedJob.read(value)
    return job.account_id, job.job_id, job.region, job.day, job.minutes, Decimal(job.amount)


def expected_totals(priced: set[tuple[str, str, str, str, int, Decimal]]) -> dict[Any, tuple[int, int, Decimal]]:
    totals: dict[Any, tuple[int, int, Decimal]] = {}
    for account, _, region, day, minutes, amount in priced:
        before = totals.get((account, region, day), (0, 0, Decimal(0)))
        totals[account, region, day] = before[0] + 1, before[1] + minutes, before[2] + amount
    return totals


def totals_of(partition: Partition) -> dict[Any, tuple[int, int, Decimal]]:
    daily = [DayTotal.read(value) for value in partition.daily_topic.values()]
    return {(t.account_id, t.region, t.day): (t.jobs, t.minutes, Decimal(t.amount)) for t in daily}


def run(draw: Any, rules: Rules, logs: dict[str, list[bytes | None]]) -> Partition:
    """Fold two inputs to their ends, in drawn chunks, dying where chance says so; record time goes on with offsets."""
    partition = Partition(rules)
    records = {t: [Input(n, NOON_MS + n, b"k", v, ()) for n, v in enumerate(values)] for t, values in logs.items()}
    while any(partition.state.position.next[topic] < len(records[topic]) for topic in JOB_TOPICS):
        chunks = []
        for topic in JOB_TOPICS:
            start = partition.state.position.next[topic]
            cuts = sorted({start, *(min(start + n, len(records[topic])) for n in draw(CUTS))})
            chunks += [Chunk(topic, a, b, records[topic][a:b]) for a, b in pairwise(cuts)]
        step = partition.prepare_chunks(*chunks)
        crash = draw(crashes)
        if crash != "before the commit":
            partition.publish(step)
        if crash is None:
            partition.state.apply(step.changes, partition.seen)
        else:
            partition.reopen()
    return partition


CUTS = st.lists(st.integers(1, 9), min_size=1, max_size=2)


@settings(max_examples=120, deadline=None)
@given(job_sets, st.data())
def test_order_chunks_duplicates_and_crashes_change_no_total_and_no_price(
    wanted: list[dict[str, Any]], data: st.DataObject
) -> None:
    sent = [in_words(job, turn) for job in wanted for turn in range(data.draw(st.integers(1, 4)))]
    logs: dict[str, list[bytes | None]] = {topic: [] for topic in JOB_TOPICS}
    for job in data.draw(st.permutations(sent)):
        logs[data.draw(st.sampled_from(JOB_TOPICS))].append(encode(job))

    partition = run(data.draw, RULES, logs)

    priced = [as_priced(value) for value in partition.priced_topic]
    assert sorted(priced) == sorted(map(expected, wanted))
    assert totals_of(partition) == expected_totals(set(map(expected, wanted)))
    assert sum(step.counts.duplicate for step in partition.steps) == len(sent) - len(wanted)


@settings(max_examples=120, deadline=None)
@given(job_sets, st.data())
def test_every_record_has_one_outcome_and_the_sums_agree(wanted: list[dict[str, Any]], data: st.DataObject) -> None:
    """With conflicts, broken, untimely and misplaced records among them: which job comes first is left open."""
    rules = Rules(meter_id="test", partitions=3)  # some of the accounts belong elsewhere
    pool = [in_words(job, 0) for job in wanted]
    pool += [{**job, "duration_s": 7} for job in pool] + [
        {**job, "completed_at": "2025-01-01T00:00:00Z"} for job in pool
    ]
    values = st.one_of(st.sampled_from(pool), st.sampled_from([None, b"{", b"[]", b"{}", completion(region="Mars")]))
    logs = {topic: [encode(v) for v in data.draw(st.lists(values, max_size=15))] for topic in JOB_TOPICS}

    partition = run(data.draw, rules, logs)

    counts = Counter[str]()
    for step in partition.steps:
        counts.update(step.counts.model_dump())
    outcomes = counts["priced"] + counts["duplicate"] + counts["rejected"] + counts["rerouted"] + counts["commands"]
    assert counts["read"] == outcomes == sum(map(len, logs.values()))
    priced = [as_priced(value) for value in partition.priced_topic]
    assert len({(account, job) for account, job, *_ in priced}) == len(priced) == counts["priced"]
    assert totals_of(partition) == expected_totals(set(priced))
    assert sum(row[-1] for row in priced) == sum(amount for _, _, amount in totals_of(partition).values())
    conflicts = [r for step in partition.steps for r in rejects_of(step) if r.code == "conflict"]
    assert {(r.account_id, r.job_id) for r in conflicts} <= {(account, job) for account, job, *_ in priced}
