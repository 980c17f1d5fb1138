"""Anything on an input topic, byte for byte: priced, a duplicate, rerouted or refused, and the stream goes on."""

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.integration.running import COMPLETED, Meter, job, padded, value_of
from tests.recount.placement import owner
from tests.recount.recount import recount

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
PARTITIONS = 2
MIB = 1 << 20
#: What a record of 1 MiB leaves for its value, under the limit that a topic has by default.
LARGEST_VALUE = MIB - 128
HOME = owner("A", PARTITIONS)
OTHER = 1 - HOME
JUNK = {
    None: "not_json", b"": "not_json", b"\x00": "not_json", b"\xff\xfe\x00junk": "not_json", b"null": "not_json",
    b"[" * 100_000: "not_json", b'{"job_id": "half': "not_json", b"{}": "bad_fields", b"\xc3\x28" * 50: "not_json",
}  # fmt: skip
CLOUD_EVENT = {"specversion": "1.0", "id": "e1", "source": "/jobs", "type": "recognition.job.completed.v1"}


def send_each_codec(meter: Meter) -> None:
    for codec in CODECS:
        producer = meter.producer(**{"compression.type": codec, "message.max.bytes": 2 * MIB})
        for number in range(20):
            producer.produce(meter.topic(COMPLETED), value_of(job_id=f"{codec}-{number}"), key="A", partition=HOME)
        producer.produce(meter.topic(COMPLETED), padded(LARGEST_VALUE, job_id=f"{codec}-large"), partition=HOME)
        assert producer.flush(30) == 0


def send_odd_ones(meter: Meter) -> None:
    again, elsewhere = value_of(job_id="again"), value_of(job_id="elsewhere")
    event = json.dumps({**CLOUD_EVENT, "data": job(job_id="event-structured")}).encode()
    binary = {f"ce_{name}": value.encode() for name, value in CLOUD_EVENT.items()}
    meter.produce(
        COMPLETED,
        *({"value": value, "key": key, "partition": HOME} for value in JUNK for key in ("A", None)),
        {"value": again, "partition": HOME}, {"value": again, "key": b"\xff\x00", "partition": HOME},
        {"value": value_of(job_id="again", duration_s=1), "partition": HOME},
        {"value": elsewhere, "partition": OTHER}, {"value": elsewhere, "key": "A", "partition": HOME},
        {"value": padded(LARGEST_VALUE, job_id="elsewhere-large"), "partition": OTHER},
        {"value": event, "partition": HOME},
        {"value": value_of(job_id="event-binary"), "headers": binary, "partition": HOME},
        {"value": value_of(job_id="headers"), "headers": [("x", None), ("x", b"\xff"), ("", b"")], "partition": HOME},
    )  # fmt: skip


def send_transactions(meter: Meter) -> None:
    producer = meter.producer(**{"transactional.id": f"{meter.app_id}-source"})
    producer.init_transactions(30)
    for number, end in enumerate(("abort", "commit", "abort")):
        producer.begin_transaction()
        for partition in range(PARTITIONS):
            producer.produce(
                meter.topic(COMPLETED), value_of(job_id=f"{end}-{number}-{partition}"), partition=partition
            )
        assert producer.flush(30) == 0  # an aborted record must have reached the log to prove anything
        (producer.commit_transaction if end == "commit" else producer.abort_transaction)(30)


@pytest.fixture(scope="module")
def meter(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    """A meter that has been sent all of it, by librdkafka, and then one more good job."""
    with Meter(kafka, tmp_path_factory.mktemp("bytes"), PARTITIONS) as meter:
        meter.create().open_worker()
        send_each_codec(meter)
        send_odd_ones(meter)
        send_transactions(meter)
        meter.wait_folded()
        meter.submit(job(job_id="the last one"))
        yield meter


@pytest.fixture(scope="module")
def priced(meter: Meter) -> Counter[str]:
    return Counter(row["job_id"] for row in meter.rows("usage.priced"))


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_read_up_to_1_mib(priced: Counter[str], codec: str) -> None:
    sent = {f"{codec}-{number}" for number in (*range(20), "large")}
    assert {name: priced[name] for name in sent} == dict.fromkeys(sent, 1)


def test_what_aborted_transactions_sent_is_never_billed(priced: Counter[str]) -> None:
    assert {name for name in priced if name.startswith(("abort-", "commit-"))} == {"commit-1-0", "commit-1-1"}


def test_junk_is_refused_with_its_code_and_its_bytes(meter: Meter) -> None:
    refused = Counter(row["code"] for row in meter.rows("usage.rejected"))
    expected = Counter({code: 2 * list(JUNK.values()).count(code) for code in JUNK.values()}) + Counter(conflict=1)
    assert refused == expected


def test_events_headers_and_jobs_on_another_partition_are_metered_once(priced: Counter[str]) -> None:
    names = ("again", "elsewhere", "elsewhere-large", "event-structured", "event-binary", "headers")
    assert {name: priced[name] for name in names} == dict.fromkeys(names, 1)


def test_the_stream_goes_on_and_every_record_read_is_accounted_for(meter: Meter, priced: Counter[str]) -> None:
    assert priced["the last one"] == 1
    counts = meter.counts()
    # Twice: the resent job and the one that came to both partitions. Elsewhere: two strays and one of a transaction.
    assert (counts["duplicate"], counts["rerouted"]) == (2, 3)
    assert counts["priced"] == priced.total() == meter.ask("totals")["sum"]["jobs"]
    assert counts["read"] == sum(counts.values()) - counts["read"]


def test_an_independent_recount_and_verify_find_no_difference(meter: Meter) -> None:
    report = recount(meter.bootstrap_servers, meter.prefix)
    assert report.first == []
    assert report.outcomes["priced"] == meter.counts()["priced"]
    meter.verified()
