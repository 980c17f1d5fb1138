"""A producer that leaves a transaction open on an input: all is read up to it, and it is said that more waits."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.running import COMPLETED, Meter, job, until, value_of

COMMANDS = "meter.commands"


@pytest.fixture
def meter(kafka: str, tmp_path: Path) -> Iterator[Meter]:
    with Meter(kafka, tmp_path, partitions=1, stalled_after_s=2) as meter:
        yield meter.create()


@pytest.mark.parametrize("topic", [COMPLETED, COMMANDS])
def test_an_input_that_is_held_is_lag_a_line_a_metric_and_no_readiness(meter: Meter, topic: str) -> None:
    """Of commands too: completions go on meanwhile, and settlement does not."""
    worker = meter.open_worker()
    meter.submit(job())
    until(lambda: json.loads(worker.page("/readyz")[1])["lag"] == 0, "everything to be folded")
    holder = meter.producer(**{"transactional.id": f"{meter.app_id}-somebody", "transaction.timeout.ms": 600_000})
    holder.init_transactions(30)
    holder.begin_transaction()
    holder.produce(meter.topic(topic), b"{}", partition=0)
    assert holder.flush(30) == 0
    for _ in range(3 if topic == COMMANDS else 0):
        meter.produce(COMPLETED, {"value": value_of(), "partition": 0})

    until(lambda: json.loads(worker.page("/readyz")[1])["held"] == [f"{topic}[0]"], "the worker to say that it is held")
    status, body = worker.page("/readyz")
    page = json.loads(body)
    assert (status, page["status"]) == (503, "stalled")
    assert page["lag"] >= 1
    until(lambda: "an input is held by an open transaction" in worker.said(), "a line")
    line = next(line for line in worker.said().splitlines() if "an input is held" in line)
    assert f"topic={meter.topic(topic)}" in line
    assert f"kafka-transactions.sh abort --topic {meter.topic(topic)} --partition 0 --start-offset" in line
    assert "producer_ids=[]" not in line
    assert worker.metrics()[f'meter_input_held_seconds{{partition="0",topic="{topic}"}}'] > 2

    holder.abort_transaction()
    until(lambda: worker.page("/readyz")[0] == 200, "the worker to be ready again")
    assert json.loads(worker.page("/readyz")[1])["held"] == []
    assert worker.stop() == 0
