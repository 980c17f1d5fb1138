"""What is kept of a partition: rules, journal, state. Each is read back as it was written, or refused."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from meter import topics
from meter.journal import Counts, DueRun, InputRange, JournalStep, read_entry
from meter.rules import Clock, Rules
from meter.snapshot import IDENTITY, POSITION, VERSION, StateError, StateReader
from meter.state import PartitionState
from streams.kafka.specs import SPECS
from tests.builders import RULES, Partition, completion, price_book

TOTAL = b'["total","A","ap-tokyo","2026-01-01"]'
COMMAND = b'["command","c"]'
BOOK = b'["book",0]'
GOOD = {
    TOTAL: b'[1,60,"16.80"]',
    COMMAND: b"[null,null,5]",
    BOOK: b'{"version":"x","from":"2026-01-01","prices":{"Mainland China":"1"}}',
    IDENTITY: b'{"cluster":"c","topics":{"meter.commands":"t"}}',
    POSITION: (
        b'{"v":2,"seq":1,"record_time":5,"due_until":0,"memory":[0,0],"metered_day":"","next":{"meter.commands":1},'
        b'"last":{"meter.commands":[0,5,"0123456789abcdef"]}}'
    ),
}


def facts(state: PartitionState) -> dict[str, Any]:
    at = state.position
    kept = {"next": at.next, "last": at.last, "seq": at.seq, "record_time": at.record_time, "identity": state.identity}
    return kept | {"totals": state.totals.rows, "commands": state.commands, "books": state.terms.books.published}


def read(records: dict[Any, bytes | None]) -> StateReader:
    reader = StateReader(PartitionState(RULES, 0))
    for key, value in records.items():
        reader.read(key, value)
    return reader


def test_the_state_is_read_back_as_it_was() -> None:
    partition = Partition()
    partition.fold(price_book(), price_book(), b"{", topic=topics.COMMANDS)
    partition.fold(price_book(command_id="2", version="v2", effective_from="2026-01-09"), topic=topics.COMMANDS)
    partition.fold(completion(), completion(job_id='"\u2028😀', account_id='"\\'), b"junk")
    partition.fold(completion(job_id="job-2", region="ap-tokyo"), topic=topics.REROUTED)
    before = facts(partition.state)
    partition.reopen()
    assert facts(partition.state) == before
    assert len(before["books"]) == 2
    assert [before["next"][topic] for topic in topics.INPUTS] == [4, 1, 3]


def test_compaction_may_leave_the_books_in_any_order() -> None:
    partition = Partition()
    for number in range(12):
        command = price_book(command_id=str(number), version=f"v{number}")
        partition.fold(command, topic=topics.COMMANDS)
    reader = read(dict(reversed(partition.state_topic.items())))
    assert reader.finish().terms.books.published == partition.state.terms.books.published


def test_a_state_without_a_position_is_none() -> None:
    for records, found in (({}, False), ({TOTAL: GOOD[TOTAL]}, False), (GOOD, True)):
        reader = read(dict(records))
        reader.finish()
        assert reader.found is found


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, b"{}"),
        (b"", b"{}"),
        (b"junk", b"{}"),
        (b"\xff", b"{}"),
        (b"{}", b"{}"),
        (b"[]", b"{}"),
        (b'["bill",1]', b"{}"),
        (b'["total","A"]', GOOD[TOTAL]),
        *((key, value) for key in GOOD for value in (b"", b"junk", b"\xff", b"[]", b"[1]", b"{}", b"1", b'"x"')),
        (TOTAL, b'[1,60,"much"]'),
        (TOTAL, b'[1,60,"16.80",1]'),
        (COMMAND, b"[null,null]"),
        (BOOK, GOOD[BOOK].replace(b'"1"', b'"one"')),
        (BOOK, GOOD[BOOK].replace(b'{"Mainland China":"1"}', b"[1]")),
        (b'["book","x"]', GOOD[BOOK]),
        (POSITION, GOOD[POSITION].replace(b'"v":%d' % VERSION, b'"v":%d' % (VERSION - 1))),
        (POSITION, GOOD[POSITION].replace(b'"v":%d,' % VERSION, b"")),
        (POSITION, GOOD[POSITION].replace(b'{"meter.commands":1}', b"7")),
        (POSITION, GOOD[POSITION].replace(b"[0,5,", b"[5,")),
        (POSITION, GOOD[POSITION].replace(b'"metered_day":"",', b"")),
        (POSITION, GOOD[POSITION].replace(b'"last"', b'"lest"')),
    ],
)
def test_a_record_that_is_not_of_this_version_is_refused(key: bytes | None, value: bytes | None) -> None:
    read(dict(GOOD)).finish()
    with pytest.raises(StateError, match="cannot read the record with key"):
        read({key: value}).finish()


names = st.text(min_size=1, max_size=8)
steps = st.builds(
    JournalStep,
    read=st.integers(0, 9),
    seq=st.integers(1, 2**53),
    record_time=st.integers(0, 2**53),
    inputs=st.lists(
        st.builds(InputRange, topic=names, start=st.integers(0, 2**62), next=st.integers(0, 2**62)), max_size=3
    ).map(tuple),
    due=st.none() | st.builds(DueRun, until=st.integers(0, 2**53), actions=st.integers(0, 99)),
    meter_version=names,
)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_journal_entries_are_read_back_as_they_were(step: JournalStep) -> None:
    assert read_entry(step.canonical()) == step


def test_a_journal_entry_says_from_where_to_where() -> None:
    partition = Partition()
    entry = json.loads(partition.fold(completion(), completion(), b"junk").journal_entry().canonical())
    assert entry["inputs"] == [{"topic": topics.COMPLETED, "from": 0, "to": 3}]
    assert {name: entry[name] for name in Counts.model_fields} == {
        "read": 3, "priced": 1, "duplicate": 1, "rejected": 1, "rerouted": 0, "commands": 0,
    }  # fmt: skip
    assert (entry["v"], entry["kind"], entry["seq"]) == (1, "step", 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.update(v=2),
        lambda entry: entry.update(kind="bill"),
        lambda entry: entry.pop("kind"),
        lambda entry: entry.update(seq=0),
        lambda entry: entry.pop("inputs"),
        lambda entry: entry.update(inputs=[{"topic": "t", "from": -1, "to": 0}]),
        lambda entry: entry.pop("record_time"),
        lambda entry: entry.update(priced="many"),
    ],
)
def test_a_journal_entry_that_is_none_is_refused(change: Callable[[dict[str, Any]], Any]) -> None:
    entry = json.loads(Partition().fold(completion()).journal_entry().canonical())
    change(entry)
    with pytest.raises(ValidationError):
        read_entry(json.dumps(entry).encode())


@pytest.mark.parametrize("value", [b"", b"junk", b"null", b"[]", b"{}"])
def test_garbage_is_no_journal_entry(value: bytes) -> None:
    with pytest.raises(ValidationError):
        read_entry(value)


def test_rules_are_read_back_as_they_were_and_told_from_steps() -> None:
    rules = Rules(meter_id="m", partitions=5, time_zone="America/New_York", horizon_days=7, clock=Clock.SIMULATED)
    assert read_entry(rules.model_dump_json().encode()) == rules


def test_the_rules_that_are_promised_without_a_choice() -> None:
    rules = Rules(meter_id="m")
    assert (rules.partitions, rules.time_zone, rules.clock) == (8, "Asia/Shanghai", Clock.BROKER)
    assert (rules.horizon_ms, rules.future_tolerance_ms, rules.price_notice_s) == (35 * 86_400_000, 300_000, 3600)


@pytest.mark.parametrize(
    "choice",
    [
        {"time_zone": "Mars/Olympus"}, {"time_zone": ""}, {"time_zone": "/etc/passwd"}, {"time_zone": "../x"},
        {"partitions": 0}, {"partitions": -1}, {"partitions": 1025}, {"meter_id": ""}, {"meter_id": "x" * 65},
        {"horizon_days": 0}, {"horizon_days": 366}, {"future_tolerance_s": -1}, {"price_notice_s": -1},
        {"rules_version": 2}, {"v": 2}, {"clock": "sundial"}, {"discount": 1},
    ],
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused(choice: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Rules(**({"meter_id": "m"} | choice))


def test_rules_never_change() -> None:
    with pytest.raises(ValidationError):
        RULES.partitions = 2  # type: ignore[misc]


def test_the_identity_is_of_all_topics() -> None:
    assert set(topics.ALL) == {spec.name for spec in SPECS}
