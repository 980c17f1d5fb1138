"""The dedupe index on disk: exact, never ahead of what is committed, and made anew rather than trusted in doubt."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_128_digest

from meter.dedupe import MemoryDedupeIndex, Sighting
from meter.identity import Seal
from streams.engine.disk_index import DiskIndex
from streams.engine.slots import (
    COPIED_AT_ONCE,
    HEADER_BYTES,
    MAX_LOAD,
    MIN_SLOTS,
    MOST_LOAD,
    SLOT_BYTES,
    SlotTable,
    drop_unused,
    is_in_use,
)
from tests.unit.index_writer import BATCH

ROOT = Path(__file__).parents[2]
HORIZON_MS = 1_000_000
FILL = int(MAX_LOAD * MIN_SLOTS)  # as many as the smallest table takes
#: Without its look at itself, once it has its lock, some of these tables were gone.
MADE_BESIDE_TIDYING = 1_000
OPENED_BESIDE_LOOKING = 200


Opener = Callable[..., DiskIndex]


def index(directory: Path, partition: int = 0, meter_id: str = "meter", log: str = "cluster/topic") -> DiskIndex:
    return DiskIndex.open(directory, partition, meter_id, log)


@pytest.fixture
def open_seen() -> Iterator[Opener]:
    """Opens indexes, and closes them all when the test is done."""
    opened: list[DiskIndex] = []

    def open_one(*arguments: Any, **choices: Any) -> DiskIndex:
        opened.append(index(*arguments, **choices))
        return opened[-1]

    yield open_one
    for seen in opened:
        seen.close()


def sightings(start: int, end: int, at: int | None = None) -> list[tuple[str, Sighting]]:
    return [(f"job-{n}", Sighting(n, n if at is None else at)) for n in range(start, end)]


def saved(directory: Path, end: int, priced_next: int | None = None) -> None:
    """An index of some jobs, saved and closed."""
    seen = index(directory)
    seen.add(sightings(0, end))
    seen.priced_next = end if priced_next is None else priced_next
    seen.save()
    seen.close()


keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(["a", "b", "c"])
found_once = st.builds(Sighting, st.integers(0, 2**64 - 1), st.integers(0, HORIZON_MS))
actions = st.one_of(
    st.tuples(st.just("add"), st.lists(st.tuples(keys, found_once), max_size=8)),
    st.tuples(st.just("find"), st.lists(keys, max_size=8)),
    st.tuples(st.just("grow"), st.none()),
    st.tuples(st.just("save"), st.none()),
    st.tuples(st.just("reopen"), st.none()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(actions, max_size=12))
def test_it_finds_what_memory_finds(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[str, list[Any]]]
) -> None:
    directory = tmp_path_factory.mktemp("seen")
    disk, memory = index(directory), MemoryDedupeIndex()
    filled = 0
    for action, given_ in plan:
        if action == "add":
            disk.add(given_)
            memory.add(given_)
        elif action == "find":
            assert disk.find(given_) == memory.find(given_)
        elif action == "grow":
            more = sightings(filled, filled + MIN_SLOTS, at=HORIZON_MS)
            disk.add(more)
            memory.add(more)
            filled += MIN_SLOTS
        elif action == "save":
            disk.save()
        else:
            disk.save()
            disk.close()
            disk = index(directory)
        assert len(disk) == len(memory)
    everything = [*memory, "never added"]
    assert disk.find(everything) == memory.find(everything)
    disk.close()


def test_what_was_not_added_is_never_said_to_be_seen(tmp_path: Path, open_seen: Opener) -> None:
    seen = open_seen(tmp_path)
    seen.add(sightings(0, 50_000))
    assert seen.find([f"other-{n}" for n in range(100_000)]) == {}
    assert seen.find([]) == {}
    found = seen.find([f"job-{n}" for n in range(50_000)])
    assert found == {n: Sighting(n, n) for n in range(50_000)}


@pytest.mark.parametrize("shared", [slice(0, 8), slice(8, 16)], ids=["first half", "second half"])
def test_ids_are_told_apart_by_their_whole_digest(
    tmp_path: Path, open_seen: Opener, monkeypatch: pytest.MonkeyPatch, shared: slice
) -> None:
    """With a hash that is as bad as can be, also when all ids start from one slot."""

    def half_a_digest(key: bytes, seed: int) -> bytes:
        digest = bytearray(xxh3_128_digest(key, seed))
        digest[shared] = b"\xffsame\xff\xff\xff"
        return bytes(digest)

    monkeypatch.setattr("streams.engine.disk_index.xxh3_128_digest", half_a_digest)
    seen = open_seen(tmp_path)
    for start in range(0, 600, 20):
        seen.add(sightings(start, start + 20))
    names = [f"job-{n}" for n in range(1200)]
    assert seen.find(names) == {n: Sighting(n, n) for n in range(600)}


def test_an_id_that_comes_again_is_replaced_and_counted_once(tmp_path: Path, open_seen: Opener) -> None:
    seen = open_seen(tmp_path)
    seen.add([("a", Sighting(1, 1)), ("b", Sighting(2, 2)), ("a", Sighting(3, 3))])
    seen.add([("b", Sighting(4, 4))])
    assert seen.find(["a", "b"]) == {0: Sighting(3, 3), 1: Sighting(4, 4)}
    assert len(seen) == 2


def test_it_is_there_again_after_a_restart(tmp_path: Path, open_seen: Opener) -> None:
    saved(tmp_path, 20_000)
    seen = open_seen(tmp_path)
    assert (len(seen), seen.priced_next) == (20_000, 20_000)
    assert seen.find(["job-19999", "job-20000"]) == {0: Sighting(19_999, 19_999)}


def test_what_was_not_saved_is_read_again_and_changes_nothing(tmp_path: Path, open_seen: Opener) -> None:
    saved(tmp_path, 100)
    seen = open_seen(tmp_path)
    seen.add(sightings(100, 20_000))  # grows: the mark still names the old table
    seen.priced_next = 20_000
    seen.close()
    seen = open_seen(tmp_path)
    assert seen.priced_next == 100
    seen.add(sightings(100, 20_000))
    seen.add(sightings(50, 15_000))
    assert len(seen) == 20_000
    assert len(seen.find([f"job-{n}" for n in range(20_000)])) == 20_000


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("*.json", Path.unlink),
        ("*.json", lambda path: path.write_bytes(b"")),
        ("*.json", lambda path: path.write_bytes(b"\xff\x00garbage")),
        ("*.json", lambda path: path.write_text("[]")),
        ("*.json", lambda path: path.write_text("{}")),
        ("*.json", lambda path: path.write_text(path.read_text().replace('"v": 2', '"v": 3'))),
        ("*.json", lambda path: path.write_text(path.read_text()[:-5])),
        ("*.json", lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": float("inf")}))),
        ("*.json", lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | {"file": "gone.table"}))),
        ("*.table", Path.unlink),
        ("*.table", cut_off),
        ("*.table", lambda path: os.truncate(path, 0)),
        ("*.table", lambda path: os.truncate(path, path.stat().st_size - 1)),
        ("*.table", lambda path: os.truncate(path, path.stat().st_size + SLOT_BYTES)),
    ],
)
def test_an_index_in_doubt_is_made_anew(
    tmp_path: Path, open_seen: Opener, name: str, damage: Callable[[Path], object]
) -> None:
    saved(tmp_path, 500)
    (path,) = tmp_path.glob(name)
    damage(path)
    seen = open_seen(tmp_path)
    assert (len(seen), seen.priced_next) == (0, 0)
    assert seen.find(["job-1"]) == {}
    seen.add(sightings(0, 500))
    seen.priced_next = 500
    seen.save()
    seen.close()
    seen = open_seen(tmp_path)
    assert (len(seen), seen.priced_next) == (500, 500)
    assert len(list(tmp_path.glob("*.table"))) == 1  # nothing of the damaged one is left behind


def test_the_index_of_another_meter_log_or_partition_is_not_its_own(tmp_path: Path, open_seen: Opener) -> None:
    saved(tmp_path, 500)
    others: list[dict[str, Any]] = [
        {"meter_id": "another"},
        {"log": "cluster/another"},
        {"log": "another/topic"},
        {"partition": 1},
    ]
    for other in others:
        seen = open_seen(tmp_path, **other)
        assert (len(seen), seen.priced_next) == (0, 0)
    assert len(open_seen(tmp_path)) == 500


def test_the_mark_of_another_partition_under_this_ones_name_is_not_its_own(tmp_path: Path, open_seen: Opener) -> None:
    saved(tmp_path, 500)
    (tmp_path / "seen-0.json").rename(tmp_path / "seen-1.json")
    assert len(open_seen(tmp_path, partition=1)) == 0


def test_another_table_under_a_tables_name_is_not_believed(tmp_path: Path, open_seen: Opener) -> None:
    """Its slots would be looked for by another seed, and nothing be found."""
    here, there = tmp_path / "here", tmp_path / "there"
    for place in (here, there):
        saved(place, 500)
    (mine,), (other,) = here.glob("*.table"), there.glob("*.table")
    other.replace(mine)
    seen = open_seen(here)
    assert (len(seen), seen.priced_next) == (0, 0)


def test_a_table_that_has_lost_some_of_its_slots_is_not_believed(tmp_path: Path, open_seen: Opener) -> None:
    """As a disk leaves it that did not write what it said it had."""
    saved(tmp_path, 5000)
    (path,) = tmp_path.glob("*.table")
    with path.open("r+b") as file:
        file.seek(HEADER_BYTES + 100 * 4096)
        file.write(bytes(4096))
    seen = open_seen(tmp_path)
    assert (len(seen), seen.priced_next) == (0, 0)


def test_the_record_below_the_position_is_kept_with_it(tmp_path: Path, open_seen: Opener) -> None:
    seen = open_seen(tmp_path)
    seen.priced_next, seen.below = 7, Seal(5, 1_000, "0123456789abcdef")
    seen.save()
    seen.close()
    seen = open_seen(tmp_path)
    assert (seen.priced_next, seen.below) == (7, Seal(5, 1_000, "0123456789abcdef"))


def test_a_save_on_its_way_is_of_what_was_true_when_it_began(tmp_path: Path, open_seen: Opener) -> None:
    """Whatever is added meanwhile, also where the table grows, and the old one is let go of."""
    seen = open_seen(tmp_path)
    seen.add(sightings(0, 100))
    seen.priced_next = 100
    saving = seen.saving()
    seen.add(sightings(100, 30_000))
    seen.priced_next = 30_000
    saving.run()
    seen.close()
    seen = open_seen(tmp_path)
    assert seen.priced_next == 100
    assert len(seen.find([f"job-{n}" for n in range(100)])) == 100
    seen.add(sightings(100, 30_000))
    seen.save()
    assert len(list(tmp_path.glob("*.table"))) == 1


def test_a_table_is_added_to_while_its_successor_is_made(tmp_path: Path, open_seen: Opener) -> None:
    """Beside the steps, in a thread: what is there is found all the time, and once, with its last content."""
    seen = open_seen(tmp_path)
    count = 0
    while seen.size_bytes <= HEADER_BYTES + 2 * COPIED_AT_ONCE * SLOT_BYTES:
        seen.add(sightings(count, count + 3000))
        count += 3000
        seen.add([(f"job-{n}", Sighting(n + 1, n + 1)) for n in range(count - 1500, count)])
        at = [count - 1, count - 1501, count // 2, 0]
        assert len(seen.find([f"job-{n}" for n in at])) == len(at)
    assert seen.find(["nobody"]) == {}
    found = seen.find([f"job-{n}" for n in range(count)])
    assert found == {n: Sighting(n + n // 1500 % 2, n + n // 1500 % 2) for n in range(count)}
    assert len(seen) == count
    seen.priced_next = count
    seen.save()
    seen.close()
    seen = open_seen(tmp_path)
    assert (len(seen), seen.priced_next) == (count, count)


def test_a_table_that_grows_is_closed_in_the_middle_of_it(tmp_path: Path, open_seen: Opener) -> None:
    seen = open_seen(tmp_path)
    seen.add(sightings(0, 100_000))
    slots = (seen.size_bytes - HEADER_BYTES) // SLOT_BYTES
    seen.add(sightings(100_000, int(slots * MAX_LOAD) + 1))
    assert seen.size_bytes == HEADER_BYTES + slots * SLOT_BYTES
    seen.save()
    seen.close()
    assert [path.stat().st_size for path in tmp_path.glob("*.table")] == [HEADER_BYTES + slots * SLOT_BYTES]


def test_a_second_process_gets_a_table_of_its_own(tmp_path: Path, open_seen: Opener) -> None:
    saved(tmp_path, 500)
    first, second = open_seen(tmp_path), open_seen(tmp_path)
    assert (len(first), len(second), second.priced_next) == (500, 0, 0)
    second.add(sightings(1000, 1010))
    second.save()
    assert len(first) == 500
    first.add(sightings(500, 600))
    first.priced_next = 600
    first.save()  # the last to save is the one that counts, and both tables are whole
    assert len(second.find([f"job-{n}" for n in range(1000, 1010)])) == 10
    first.close()
    second.close()
    again = open_seen(tmp_path)
    assert (len(again), again.priced_next) == (600, 600)


@pytest.mark.parametrize("newest", [HORIZON_MS, HORIZON_MS + 1, 2 * HORIZON_MS])
def test_growth_drops_what_is_no_longer_asked_for_and_only_that(tmp_path: Path, open_seen: Opener, newest: int) -> None:
    seen = open_seen(tmp_path)
    old = [("zero", Sighting(1, 0)), ("one", Sighting(1, 1)), ("late", Sighting(1, HORIZON_MS))]
    seen.add(old)
    since = seen.needed_since_ms = newest - HORIZON_MS
    seen.add(sightings(0, FILL, at=newest))
    expected = {place for place, (_, sighting) in enumerate(old) if sighting.record_time >= since}
    assert set(seen.find(["zero", "one", "late"])) == expected
    assert len(seen.find([f"job-{n}" for n in range(FILL)])) == FILL
    assert len(seen) == FILL + len(expected)


def test_before_it_must_grow_nothing_is_dropped(tmp_path: Path, open_seen: Opener) -> None:
    seen = open_seen(tmp_path)
    seen.add([("old", Sighting(1, 0))])
    seen.add(sightings(0, FILL - 1, at=5 * HORIZON_MS))
    assert seen.find(["old"]) == {0: Sighting(1, 0)}
    assert seen.size_bytes == HEADER_BYTES + MIN_SLOTS * SLOT_BYTES


def growth_is_over() -> None:
    """A slow one counts what comes meanwhile."""
    for thread in threading.enumerate():
        if thread.name == "dedupe-index-growth":
            thread.join()


def test_its_size_follows_what_is_within_the_horizon(tmp_path: Path, open_seen: Opener) -> None:
    """35 days go on for ever: ten horizons' worth of ids take no more room than two of them."""
    seen = open_seen(tmp_path)
    largest = 0
    for turn in range(100):
        seen.needed_since_ms = (turn - 10) * HORIZON_MS // 10
        seen.add(sightings(turn * 10_000, (turn + 1) * 10_000, at=turn * HORIZON_MS // 10))
        live = min(turn + 1, 11) * 10_000
        assert len(seen) >= live
        growth_is_over()
        largest = max(largest, seen.size_bytes)
    # The ids within the horizon, and those of one turn twice: as room, and where the growth has seen them come.
    assert largest <= HEADER_BYTES + 2 * (11 + 2) * 10_000 * SLOT_BYTES * 1.01
    assert sum(path.stat().st_size for path in tmp_path.glob("*.table")) >= seen.size_bytes
    seen.close()  # a growth that is still under way ends with it
    with closing(open_seen(tmp_path)) as seen:
        seen.save()
        assert [path.stat().st_size for path in tmp_path.glob("*.table")] == [seen.size_bytes]


def test_a_large_index_takes_at_most_64_bytes_an_id(tmp_path: Path, open_seen: Opener) -> None:
    seen = open_seen(tmp_path)
    for start in range(0, 400_000, 5000):
        seen.add(sightings(start, start + 5000))
        assert seen.size_bytes <= HEADER_BYTES + max(MIN_SLOTS * SLOT_BYTES, 64 * len(seen))
        assert len(seen) <= MOST_LOAD * seen.size_bytes / SLOT_BYTES


def test_a_process_that_is_killed_leaves_an_index_that_can_be_caught_up(tmp_path: Path, open_seen: Opener) -> None:
    before = committed = 0
    for turn in range(4):
        before, committed = committed, killed_in_the_middle(tmp_path, committed, steps=20 + 7 * turn)
        seen = open_seen(tmp_path)
        assert before < seen.priced_next <= committed
        seen.add(sightings(seen.priced_next, committed))  # what `usage.priced` holds beyond the mark
        seen.priced_next = committed
        assert len(seen) == committed
        found = seen.find([f"job-{n}" for n in range(committed + BATCH)])
        assert found == {n: Sighting(n, n) for n in range(committed)}
        seen.save()
        seen.close()


def killed_in_the_middle(directory: Path, start: int, steps: int) -> int:
    """Run the writer for some steps, SIGKILL it, and return up to where it had committed."""
    command = [sys.executable, "-m", "tests.unit.index_writer", str(directory), str(start)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(steps)]
        process.kill()
        lines += process.stdout.readlines()
    committed = [int(line) for line in lines if line.endswith("\n")]
    assert committed == list(range(start + BATCH, committed[-1] + BATCH, BATCH))
    return committed[-1]


@contextmanager
def beside(action: Callable[[], object]) -> Iterator[None]:
    """Within the block another thread does something again and again."""
    stop = threading.Event()

    def again_and_again() -> None:
        while not stop.is_set():
            action()

    thread = threading.Thread(target=again_and_again)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_table_that_is_being_made_is_not_tidied_away(tmp_path: Path) -> None:
    """A save drops the tables that nobody has open, while growth makes a new one, which it locks a moment later."""

    def tidy() -> None:
        for path in tmp_path.glob("*.table"):
            drop_unused(path)

    with beside(tidy):
        for _ in range(MADE_BESIDE_TIDYING):
            table = SlotTable.make(tmp_path, 0, 1, 1)
            assert table.path.exists()
            table.close()


def test_somebody_who_looks_whether_a_table_is_in_use_does_not_make_it_so(tmp_path: Path, open_seen: Opener) -> None:
    with closing(open_seen(tmp_path)) as seen:
        seen.add(sightings(0, 5))
        seen.save()
    path = next(tmp_path.glob("*.table"))
    with beside(lambda: is_in_use(path)):
        for _ in range(OPENED_BESIDE_LOOKING):
            with closing(open_seen(tmp_path)) as seen:
                assert len(seen) == 5
