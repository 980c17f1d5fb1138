"""SIGKILL of the projector in the middle of a stream: nothing is lost and nothing is there twice."""

from pathlib import Path

from tests.integration.running import Meter
from tests.store import kill
from tests.store.postgres import Postgres


def test_a_projector_that_is_killed_again_and_again_loses_and_doubles_nothing(
    kafka: str, postgres: Postgres, tmp_path: Path
) -> None:
    with Meter(kafka, tmp_path, web_port=0) as meter:
        meter.create().open_worker()
        urls = [f"sqlite:///{tmp_path}/store.sqlite", postgres.new_database()]
        assert kill.run(meter, urls, seed=11, records=10_000, last_s=8.0) == []
