"""Every log that was ever kept, replayed and recounted with today's code: each output is the same, byte for byte."""

from collections import Counter
from pathlib import Path

import pytest

from meter import topics
from meter.journal import InputRange, JournalStep, read_entry
from meter.published import OUTPUTS
from meter.records import Keyed, Record
from meter.replay import replay
from meter.rules import Rules
from meter.snapshot import BEFORE, IDENTITY, StateReader, changes
from meter.state import PartitionState
from tests.golden.golden import LOGS, Golden
from tests.recount.recount import recount_log

KEPT = sorted(LOGS.glob("*.jsonl.xz"))
#: What a log must hold to prove anything.
AT_LEAST = {
    "usage", "late", "daily", "monthly", "refund", "charge", "credit_note", "payment_reversed", "arrears", "stopped",
    "restored", "contract", "guide-2023-09-19", "2026-02",
}  # fmt: skip


@pytest.fixture(scope="module", params=KEPT, ids=lambda path: path.name.split(".")[0])
def golden(request: pytest.FixtureRequest) -> Golden:
    path: Path = request.param
    return Golden(path)


def journal_of(golden: Golden, partition: int) -> tuple[Rules, list[JournalStep]]:
    entries = [read_entry(record.value or b"") for record in golden.records(topics.JOURNAL, partition)]
    rules, *steps = entries
    assert isinstance(rules, Rules)
    return rules, [entry for entry in steps if isinstance(entry, JournalStep)]


def test_it_replays_byte_for_byte(golden: Golden) -> None:
    for partition in range(golden.partitions()):
        rules, journal = journal_of(golden, partition)

        def read(span: InputRange, p: int = partition) -> list[Record]:
            return list(golden.between(span.topic, p, span.start, span.next))

        rows: dict[str, list[Keyed]] = {output.topic: [] for output in OUTPUTS}
        state: dict[bytes, bytes | None] = {}
        assert journal
        for entry, step, _ in replay(rules, partition, journal, read):
            assert step.journal_entry().canonical() == entry.canonical()
            state.update(changes(step))
            for output in OUTPUTS:
                rows[output.topic] += output.rows(step)
        for topic, replayed in rows.items():
            assert replayed == [(r.key, r.value) for r in golden.records(topic, partition)], topic
        kept = golden.latest(topics.STATE, partition)
        assert {key: value for key, value in state.items() if value is not None} == {
            key: value for key, value in kept.items() if key not in {BEFORE, IDENTITY}
        }


def test_its_state_is_read_and_goes_on(golden: Golden) -> None:
    for partition in range(golden.partitions()):
        rules, journal = journal_of(golden, partition)
        reader = StateReader(PartitionState(rules, partition))
        for key, value in golden.latest(topics.STATE, partition).items():
            reader.read(key, value)
        state = reader.finish()
        assert reader.found
        assert state.position.seq == journal[-1].seq
        assert state.position.next == {**state.position.next, **{span.topic: span.next for span in journal[-1].inputs}}


def test_it_is_what_the_recount_finds(golden: Golden) -> None:
    report = recount_log(golden)
    assert report.first == []
    assert report.outcomes["priced"] > 100


def test_the_logs_hold_all_that_there_is() -> None:
    met: Counter[str] = Counter()
    for golden in map(Golden, KEPT):
        for partition in range(golden.partitions()):
            for bill in golden.rows(topics.BILLS, partition):
                met.update([bill["mode"], *(line["kind"] for line in bill["lines"])])
            met.update(entry["cause"] for entry in golden.rows(topics.LEDGER, partition))
            met.update(notice["kind"] for notice in golden.rows(topics.NOTICES, partition))
            prices = (row["price_version"].partition(":")[0] for row in golden.rows(topics.PRICED, partition))
            met.update("contract" if price == "contract" else price for price in prices)
    assert AT_LEAST - set(met) == set()
