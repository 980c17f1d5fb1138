"""What compression lets in although it is larger than any topic takes when it is written again."""

from collections.abc import Iterator

import pytest

from tests.integration.running import COMPLETED, Meter, job, padded
from tests.recount.placement import owner

PARTITIONS = 2
MIB = 1 << 20
HOME = owner("A", PARTITIONS)
OTHER = 1 - HOME


@pytest.fixture(scope="module")
def meter(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    with Meter(kafka, tmp_path_factory.mktemp("large"), PARTITIONS) as meter:
        meter.create().open_worker()
        producer = meter.producer(**{"compression.type": "zstd", "message.max.bytes": 16 * MIB})
        for record in (
            {"value": b"0" * (12 * MIB), "partition": HOME},
            {"value": padded(12 * MIB, job_id="home"), "partition": HOME},
            {"value": padded(12 * MIB, job_id="away"), "partition": OTHER},
            {"value": padded(4_000_000, job_id="forwarded"), "partition": OTHER},
        ):
            producer.produce(meter.topic(COMPLETED), **record)
        assert producer.flush(30) == 0
        meter.wait_folded()
        meter.submit(job(job_id="the last one"))
        yield meter


def test_it_is_metered_where_it_belongs_and_forwarded_up_to_4_mb(meter: Meter) -> None:
    assert {row["job_id"] for row in meter.rows("usage.priced")} == {"home", "forwarded", "the last one"}


def test_what_does_not_fit_is_refused_cut_and_can_be_identified(meter: Meter) -> None:
    refused = {row["code"]: row for row in meter.rows("usage.rejected")}
    assert refused.keys() == {"not_json", "too_large"}
    assert refused["too_large"]["job_id"] == "away"
    assert {row["truncated"]["bytes"] for row in refused.values()} == {12 * MIB}


def test_the_proof_holds(meter: Meter) -> None:
    meter.verified()
