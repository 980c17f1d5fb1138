"""The bench's figures are read in a pipe of 80 columns: nothing is cut, and no log of a client's runs through them."""

import re
import time

import pytest
from confluent_kafka import KafkaException

from bench.cluster import Cluster, admin_client
from bench.delay import Delay
from bench.load import producer
from bench.recovery import PeakMemory, Recovery
from bench.report import WIDTH, NotRun, Results, shown
from bench.settlement import SettlementRun
from bench.throughput import Rate
from streams.broker.ports import free_port

PATH = "/a/work/directory/of/a/bench/whose/name/is/longer/than/a/line/of/a/terminal/has/room/for/meter.log"
FAILED = NotRun("meter", f"ended by itself with code 5:\nmeter: a step failed: {PATH}", True)
RESULTS = Results(
    events=1_000_000,
    ids=10_000_000,
    parts=["throughput", "delay", "settlement", "recovery", "memory"],
    rates=[
        Rate("aiokafka reads and decodes", 1_000_000, 9.8, 102_040.8, 9.1, None, None, 0.0, False),
        Rate("meter", 899_123, 17.25, 52_123.4, 18.14, 7.06, 220 << 20, 0.31, True),
        Rate("Kafka Streams", 900_456, 40.5, 22_233.5, 44.1, 21.9, 900 << 20, 0.0, True),
        NotRun("stock Faust", "it is not there"),
    ],
    delays=[Delay("meter", 100_000, 4_999.8, 11.4, 61.7, 140.2), FAILED],
    settlement=[SettlementRun(100_000, 1_000_000, 1_000, 7.5, 13_333.3, 20.2, 180.9, 300.4, 4.4)],
    memory=[PeakMemory(0, 100 << 20), PeakMemory(10_000_000, 500 << 20)],
    recovery=[Recovery(10_000_000, 9.43, 2.21, 510 << 20)],
)


def test_every_figure_is_whole_on_a_line_of_80_columns() -> None:
    lines = list(shown(RESULTS))
    assert [line for line in lines if len(line) > WIDTH and PATH not in line] == []
    text = "\n".join(lines)
    assert "throughput: meter\n  rate              52,123 events/s\n  CPU               18.1 us per event\n" in text
    for figure in (
        *(
            "broker's CPU      7.1 us per event",
            "most memory       220 MiB",
            "over              899,123 events, 17.2 s",
        ),
        *("p50               11 ms", "p99               62 ms", "max               140 ms"),
        *("rate              13,333 accounts/s beside 1,000 completions/s", "10,000,000 ids    500 MiB"),
        *("all partitions    9.4 s", "first partition   2.2 s", "not run           it is not there"),
    ):
        assert f"  {figure}\n" in text
    assert not re.search(r"[…━│┃]", text)


def test_notes_reasons_and_verdicts_are_whole() -> None:
    words = " ".join(" ".join(shown(RESULTS)).split())
    assert f"failed ended by itself with code 5: meter: a step failed: {PATH}" in words
    assert "note: other programs used 31% of the machine beside meter" in words
    assert "gate: the meter is faster than Kafka Streams: met (2.34 x)" in words
    assert "p99 62 ms at 5,000 events/s" in words


@pytest.mark.parametrize("kind", ["producer", "admin", "reader"])
def test_what_librdkafka_logs_does_not_run_through_the_figures(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    errors: list[object] = []
    if kind == "producer":
        out = producer(nobody, error_cb=errors.append)
        deadline = time.monotonic() + 20
        while not errors and time.monotonic() < deadline:
            out.poll(0.05)
    else:
        with Cluster(nobody, None, None, admin_client(nobody)).reader("t") as reader:  # type: ignore[arg-type]
            asked = reader if kind == "reader" else admin_client(nobody)
            with pytest.raises(KafkaException) as raised:
                asked.list_topics(timeout=1)
        errors.append(raised.value)
    assert errors
    assert capfd.readouterr() == ("", "")
