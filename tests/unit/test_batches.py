"""Records are filled into batches in one place: in order, each batch up to its size, none without a record."""

import ast
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from streams.kafka import batches
from streams.kafka.batches import BatchFilling, BatchRow, batches_of

BATCH_BYTES = 1000
STREAMS = Path(batches.__file__).parents[1]


class Batches:
    """Makes batches, as a producer does."""

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES, 0, is_transactional=False, key_serializer=None, value_serializer=None)


def rows(*lengths: int) -> list[BatchRow]:
    return [(b"key", b"v" * length, 1_000, []) for length in lengths]


@pytest.mark.parametrize(
    ("lengths", "counts"),
    [([], []), ([1], [1]), ([400, 400, 400], [2, 1]), ([5000], [1]), ([1, 5000, 1], [1, 1, 1]), ([400] * 4, [2, 2])],
)
def test_each_batch_is_filled_and_takes_its_first_record_whatever_its_size(
    lengths: list[int], counts: list[int]
) -> None:
    made = list(batches_of(cast(Any, Batches()), rows(*lengths)))
    assert [batch.record_count() for batch in made] == counts
    # What is closed takes no more.
    assert [batch.append(timestamp=1, key=None, value=b"", headers=[]) for batch in made] == [None] * len(made)


def test_a_filling_goes_on_where_it_was_and_gives_its_rest_once() -> None:
    filling = BatchFilling(cast(Any, Batches()))
    assert list(filling.fill(rows(400))) == []
    assert list(filling.fill(rows(400))) == []
    assert [batch.record_count() for batch in filling.fill(rows(400))] == [2]
    assert [batch.record_count() for batch in filling.rest()] == [1]
    assert list(filling.rest()) == []


def test_nothing_else_fills_batches() -> None:
    calls = {
        path.relative_to(STREAMS).as_posix()
        for path in STREAMS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "create_batch"
    }
    assert calls == {"kafka/batches.py"}
