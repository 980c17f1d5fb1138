"""A Kafka that went back to a backup, wholly or in part, or whose topics stand on another cluster."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.broker.ports import free_port
from tests.integration.running import COMPLETED, INPUTS, Meter, job, lines
from tests.open_kafka import OpenBroker
from tests.recount.placement import owner

REFUSES = 3
HOME = owner("A", 2)


class Place:
    """A Kafka that can be stopped and put back, and a meter on it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kafka = root / "kafka"
        self.port = free_port()

    @contextmanager
    def running(self) -> Iterator[Meter]:
        """The meter, while the Kafka runs."""
        with OpenBroker(self.kafka, port=self.port) as broker, Meter(broker.bootstrap_servers, self.root) as meter:
            meter.app_id, meter.prefix = "restored", "restored."
            yield meter

    def work(self, change: Callable[[Meter], None]) -> None:
        """A worker from its start to its stop, with something to do."""
        with self.running() as meter:
            worker = meter.open_worker()
            change(meter)
            assert worker.stop() == 0

    def keep(self, what: Path) -> Path:
        """A copy of a directory of what is stopped."""
        copy = self.root / f"copy-of-{what.name}"
        shutil.copytree(what, copy)
        return copy

    def restore(self, copy: Path, pattern: str = "") -> None:
        """Put a copy back: all of it, or the topic directories of a name."""
        chosen = [path for path in copy.rglob(pattern) if path.is_dir()] if pattern else [copy]
        assert chosen
        for path in chosen:
            place = self.kafka / path.relative_to(copy)
            shutil.rmtree(place)
            shutil.copytree(path, place)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    with made.running() as meter:
        meter.create()
    return made


def submit(*names: str) -> Callable[[Meter], None]:
    """Jobs of account A by these names."""
    return lambda meter: meter.submit(*(JOBS[name] for name in names))


JOBS = {name: job(account_id="A", job_id=name) for name in map(str, range(60))}
FIRST, LOST, NEW = list(JOBS)[:10], list(JOBS)[10:30], list(JOBS)[30:]


def test_an_index_from_before_a_restore_is_made_anew(place: Place) -> None:
    place.work(submit(*FIRST))
    backup = place.keep(place.kafka)
    place.work(submit(*LOST))
    data = place.root / "data"
    old_disk = place.keep(data)

    place.restore(backup)
    shutil.rmtree(data)  # another worker, on another machine
    place.work(submit(*NEW))
    shutil.rmtree(data)
    old_disk.rename(data)
    place.work(submit(*NEW, *LOST))  # each once more, as producers do that are not sure

    with place.running() as meter:
        counts = meter.counts()
        assert (counts["priced"], counts["duplicate"]) == (len(JOBS), len(NEW))
        said = meter.run("reconcile")
        assert said.returncode == 0, said.stderr


@pytest.mark.parametrize("topic", [COMPLETED, *(pytest.param(name, marks=pytest.mark.long) for name in INPUTS[:2])])
def test_an_input_that_was_cut_off_and_has_grown_again_is_refused(place: Place, topic: str) -> None:
    def fill(count: int, text: str) -> Callable[[Meter], None]:
        def produce(meter: Meter) -> None:
            values = (b'{"%s": %d}' % (text.encode(), number) for number in range(count))
            meter.produce(topic, *({"value": value, "key": b"A", "partition": HOME} for value in values))
            meter.wait_folded()

        return produce

    place.work(fill(5, "first"))
    backup = place.keep(place.kafka)
    place.work(fill(5, "lost"))
    place.restore(backup, f"restored.{topic}-*")
    with place.running() as meter:
        for value in (b'{"other": %d}' % number for number in range(30)):
            meter.produce(topic, {"value": value, "key": b"A", "partition": HOME})
        worker = meter.worker()
        assert worker.ended() == REFUSES
        expected = f"{meter.topic(topic)}[{HOME}] holds other records below 10 than were folded"
        assert expected in worker.said()
        check = meter.run("topics", "check")
        assert (check.returncode, expected in check.stderr) == (REFUSES, True)
        for command in ("verify", "reconcile"):
            done = meter.run(command)
            assert (done.returncode, expected in done.stdout + done.stderr) == (1, True)


def test_a_copy_on_another_cluster_is_refused(place: Place) -> None:
    place.work(submit(*FIRST))
    for meta in place.kafka.rglob("meta.properties"):
        text = meta.read_text()
        (cluster,) = re.findall(r"^cluster\.id=(.*)$", text, re.MULTILINE)
        meta.write_text(text.replace(cluster, "AAAAAAAAAAAAAAAAAAAAAA"))
    with place.running() as meter:
        assert meter.run("submit", "-", given=lines(JOBS["11"])).returncode == 0
        worker = meter.worker()
        assert worker.ended() == REFUSES
        assert f"the state is of the cluster {cluster}, this is AAAAAAAAAAAAAAAAAAAAAA" in worker.said()
        assert meter.run("topics", "check").returncode == REFUSES
