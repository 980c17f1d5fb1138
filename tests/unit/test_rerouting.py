"""Keys that lie: a completion on another account's partition is sent on, once, and metered where it belongs."""

import json
from typing import Any

from meter import topics
from meter.records import MAX_REROUTED_BYTES, ORIGIN_HEADER, Chunk, Rerouted
from meter.routing import owner
from meter.rules import Rules
from meter.step import Step
from tests.builders import NOON_MS, Headers, Input, Partition, completion, encode, price_book, priced_of, rejects_of

RULES = Rules(meter_id="test", partitions=4)
HOME = owner("A", 4)
ASTRAY = (HOME + 1) % 4
#: What a broker adds to a record beside its own bytes.
OVERHEAD_BYTES = 100


def rerouted(value: Any, headers: Headers = ()) -> tuple[Step, Rerouted]:
    step = Partition(RULES, ASTRAY).fold(value, headers=headers)
    (sent_on,) = step.outputs.rerouted
    return step, sent_on


def arrived(sent_on: Rerouted, partition: Partition, at: int = NOON_MS + 1000) -> Step:
    """The step of the partition that the record was sent to."""
    start = partition.state.position.next[topics.REROUTED]
    record = Input(start, at, sent_on.key, sent_on.value, sent_on.headers)
    step = partition.prepare_chunks(Chunk(topics.REROUTED, start, start + 1, [record]))
    partition.publish(step)
    partition.state.apply(step.changes, partition.seen)
    return step


def test_a_misplaced_completion_is_sent_to_its_accounts_partition_with_its_origin() -> None:
    value = encode(completion())
    step, sent_on = rerouted(value, headers=(("trace", b"1"), ("null", None)))
    assert (step.counts.read, step.counts.rerouted, step.counts.priced) == (1, 1, 0)
    assert (sent_on.partition, sent_on.key, sent_on.value, sent_on.timestamp) == (HOME, b"A", value, NOON_MS)
    origin = json.dumps({"topic": topics.COMPLETED, "partition": ASTRAY, "offset": 0}, separators=(",", ":")).encode()
    assert sent_on.headers == [("trace", b"1"), ("null", None), (ORIGIN_HEADER, origin)]


def test_it_is_metered_there_and_tells_where_it_first_came_in() -> None:
    _, sent_on = rerouted(completion())
    (job,) = priced_of(arrived(sent_on, Partition(RULES, HOME)))
    assert job.amount == "16.80"
    assert job.source.model_dump() == {
        "topic": topics.REROUTED, "partition": HOME, "offset": 0, "timestamp": NOON_MS + 1000,
    }  # fmt: skip
    assert job.origin is not None
    assert job.origin.model_dump() == {"topic": topics.COMPLETED, "partition": ASTRAY, "offset": 0}


def test_the_same_job_by_both_ways_is_billed_once() -> None:
    _, sent_on = rerouted(completion())
    home = Partition(RULES, HOME)
    assert arrived(sent_on, home).counts.priced == 1
    assert home.fold(completion()).counts.duplicate == 1
    assert arrived(sent_on, home).counts.duplicate == 1
    ((_, total),) = home.state.totals.rows.items()
    assert total.jobs == 1


def test_both_ways_in_one_step_are_one_job_too() -> None:
    home = Partition(RULES, HOME)
    records = [Input(0, NOON_MS, None, encode(completion()), ())]
    step = home.prepare_chunks(Chunk(topics.REROUTED, 0, 1, records), Chunk(topics.COMPLETED, 0, 1, records))
    assert (step.counts.priced, step.counts.duplicate) == (1, 1)


def test_one_that_is_misplaced_again_is_rejected_and_goes_no_further() -> None:
    _, sent_on = rerouted(completion())
    step = arrived(sent_on, Partition(RULES, (HOME + 2) % 4))
    (reject,) = rejects_of(step)
    assert (reject.code, reject.amount_at_risk, step.outputs.rerouted) == ("misplaced", "16.80", [])


def test_a_forged_origin_does_not_travel() -> None:
    forged = encode({"topic": "elsewhere", "partition": 9, "offset": 9})
    _, sent_on = rerouted(completion(), headers=((ORIGIN_HEADER, forged), ("x", b"1"), (ORIGIN_HEADER, None)))
    assert [name for name, _ in sent_on.headers] == ["x", ORIGIN_HEADER]
    (job,) = priced_of(arrived(sent_on, Partition(RULES, HOME)))
    assert job.origin is not None
    assert job.origin.partition == ASTRAY


def test_an_origin_on_a_completion_that_was_not_rerouted_is_ignored() -> None:
    forged = ((ORIGIN_HEADER, encode({"topic": "elsewhere", "partition": 9, "offset": 9})),)
    (job,) = priced_of(Partition(RULES, HOME).fold(completion(), headers=forged))
    assert job.origin is None


def test_an_origin_that_cannot_be_read_is_left_out() -> None:
    for junk in (None, b"", b"junk", b"{}", b'{"topic":"t","partition":"x","offset":0}'):
        home = Partition(RULES, HOME)
        (job,) = priced_of(home.fold(completion(), topic=topics.REROUTED, headers=((ORIGIN_HEADER, junk),)))
        assert job.origin is None


def test_what_is_too_large_to_be_sent_on_is_rejected() -> None:
    value = encode(completion()) or b""
    room = MAX_REROUTED_BYTES - len(value) - OVERHEAD_BYTES * 3
    _, sent_on = rerouted(value[:-1] + b" " * room + b"}")
    size = len(sent_on.key) + len(sent_on.value) + sum(len(k) + len(v or b"") for k, v in sent_on.headers)
    assert size + OVERHEAD_BYTES < 4 << 20
    for large, headers in ((value[:-1] + b" " * MAX_REROUTED_BYTES + b"}", ()), (value, (("x", b"x" * 4_200_000),))):
        step = Partition(RULES, ASTRAY).fold(large, headers=headers)
        (reject,) = rejects_of(step)
        assert (reject.code, reject.account_id, reject.amount_at_risk) == ("too_large", "A", "16.80")
        assert reject.truncated is not None
        assert step.outputs.rerouted == []


def test_rejects_stay_on_the_partition_where_they_were_read() -> None:
    astray = Partition(RULES, ASTRAY)
    step = astray.fold(completion(region="Mars"), b"junk")
    assert [reject.source.partition for reject in rejects_of(step)] == [ASTRAY, ASTRAY]
    assert step.outputs.rerouted == []


def test_time_is_judged_where_the_account_is_at_home() -> None:
    late = completion(completed_at="2025-11-01T00:00:00Z")
    _, sent_on = rerouted(late)
    (reject,) = rejects_of(arrived(sent_on, Partition(RULES, HOME)))
    assert reject.code == "too_old"


def test_a_book_is_accepted_on_every_partition() -> None:
    for partition in range(4):
        step = Partition(RULES, partition).fold(price_book(), topic=topics.COMMANDS)
        assert len(step.changes.terms.books.published) == 1
