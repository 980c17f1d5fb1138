"""Each planted bug is planted in what the product calls, and a run is red as wanted only by its own bug."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.faults import DOUBLE, FAULTS, GHOST, SKIP, TEAR, bites_of, judged
from tests.chaos.faulty_worker import plant_in
from tests.integration.running import Meter, Worker, job, lines, until

STEP_FAILED = 6
#: What a run says of each bug.
FOUND = {
    SKIP: "journal[0] seq 8 says read 2673, recounted 2674",
    DOUBLE: "journal[0] seq 4 says priced 8, recounted 7",
    GHOST: "a worker exited with 3 (9 times), at first worker 1: [error    ] partition 7: a step is torn: "
    "usage.priced holds 44 from 274 on, the journal counts 22. Let no worker go on",
    TEAR: "a worker exited with 3 (52 times), at first worker 1: [error    ] partition 7: a step is torn: usage.priced "
    "holds 0 from 274 on, the journal counts 22; usage.daily holds 0 from 217 on, the journal counts 20",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_is_red_as_wanted_by_its_own_bug_alone(fault: str) -> None:
    assert judged(fault, 1, FOUND.values())[0]
    assert not judged(fault, 0, FOUND.values())[0]
    assert not judged(fault, 1, [found for other, found in FOUND.items() if other != fault])[0]


def test_a_bug_is_planted_in_no_method_that_is_another_ones() -> None:
    class Base:
        def method(self) -> None: ...

    class Heir(Base): ...

    with pytest.raises(KeyError):
        plant_in(Heir, Base.method, lambda _: None)


@pytest.mark.parametrize("faults", [(SKIP, DOUBLE, GHOST), (TEAR,)], ids=",".join)
def test_each_planted_bug_bites_a_worker(kafka: str, tmp_path: Path, faults: tuple[str, ...]) -> None:
    file, again = tmp_path / "bites", job()
    with Meter(kafka, tmp_path, partitions=1) as meter:
        worker = meter.create().worker(
            [sys.executable, "-m", "tests.chaos.faulty_worker", ",".join(faults), str(file), "worker"]
        )
        until(lambda: worker.open_partitions() == [0], "the worker to open its partition")
        if DOUBLE in faults:
            until(submits(meter, again, lambda: bites_of(file, DOUBLE) > 0), "the index to forget")
        until(submits(meter, None, lambda: has_ended(worker)), "the worker to end by the bug")
        assert worker.ended() == STEP_FAILED
    assert {fault: bites_of(file, fault) > 0 for fault in faults} == dict.fromkeys(faults, True)


def submits(meter: Meter, one: dict[str, object] | None, is_over: Callable[[], bool]) -> Callable[[], bool]:
    """Submit one more job, the same or a new one, unless it is over."""

    def submit() -> bool:
        return is_over() or (meter.run("submit", "-", given=lines(one or job())).returncode == 0 and is_over())

    return submit


def has_ended(worker: Worker) -> bool:
    return worker.process.poll() is not None
