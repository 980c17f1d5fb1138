"""What is in the store is what is in the topics, on SQLite and on PostgreSQL, whatever happens."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from confluent_kafka import TopicPartition
from sqlalchemy import Engine, select

from streams.broker.ports import free_port
from streams.errors import Exit
from streams.store import database, kept_tables, schema
from streams.store.database import StoreLostError, writing
from streams.store.migrate import migrate
from tests.integration.running import Meter, job, until
from tests.store.expected import differences
from tests.store.following import RunningProjector, engine_of
from tests.store.postgres import Postgres


def project(meter: Meter, url: str) -> None:
    """Everything that is there, to its end."""
    done = meter.run("projector", "rebuild", database_url=url)
    assert done.returncode == 0, done.stderr


def test_the_tables_hold_what_the_topics_say_row_by_row(meter: Meter, url: str, store: Engine) -> None:
    project(meter, url)
    assert differences(meter, store) == []


def test_rebuilding_from_nothing_gives_the_same_tables_and_leaves_tokens_alone(
    meter: Meter, url: str, store: Engine
) -> None:
    project(meter, url)
    before = dump(store)
    with writing(store) as connection:
        connection.execute(kept_tables.api_token.insert().values(TOKEN))
    project(meter, url)
    assert dump(store) == before
    with store.connect() as connection:
        assert connection.execute(select(kept_tables.api_token.c.token_id)).scalar_one() == "t1"


def dump(store: Engine) -> dict[str, list[Any]]:
    """The tables that come from the topics; not when they were looked at."""
    own_time = {"meter_info", "projector_position"}
    with store.connect() as connection:
        return {
            table.name: sorted(connection.execute(select(table)).all(), key=repr)
            for table in schema.READ_MODEL
            if table.name not in own_time
        }


TOKEN = {"token_id": "t1", "secret_hash": "h", "role": "operator", "created_at": datetime(2026, 1, 1, tzinfo=UTC)}


def test_of_two_projectors_one_ends_with_a_clear_line_and_nothing_is_there_twice(
    kafka: str, url: str, store: Engine, tmp_path: Path
) -> None:
    with Meter(kafka, tmp_path, web_port=0) as meter:
        meter.create().open_worker()
        both = [RunningProjector(meter, url, tmp_path / f"projector-{number}.log") for number in (1, 2)]
        try:
            for projector in both:
                until(lambda: "follows the topics" in projector.said(), "a projector to follow")  # noqa: B023

            def one_has_ended() -> bool:
                meter.submit(job(completed_at=datetime.now(UTC).isoformat()))
                return any(projector.process.poll() is not None for projector in both)

            until(one_has_ended, "one of them to end")
            loser, winner = sorted(both, key=lambda projector: projector.process.poll() is None)
            assert loser.ended() == Exit.FENCED
            assert "another projector is at work on this store" in loser.said()
            until(lambda: at_end(meter, url), "the other to catch up")
            assert winner.stop() == 0
        finally:
            for projector in both:
                projector.kill()
        assert differences(meter, store) == []


def test_a_job_of_a_known_account_changes_nothing_of_its_balance(
    kafka: str, url: str, store: Engine, tmp_path: Path
) -> None:
    """Batch after batch of one projector, which remembers whom it has seen."""
    with Meter(kafka, tmp_path, web_port=0) as meter:
        meter.create().open_worker()
        projector = RunningProjector(meter, url, tmp_path / "projector.log")
        try:
            until(lambda: "follows the topics" in projector.said(), "the projector to follow")
            for number in range(3):
                meter.submit(job(job_id=f"j{number}", completed_at=datetime.now(UTC).isoformat()))
                until(lambda: at_end(meter, url), "the job to be projected")
                assert differences(meter, store) == []
                assert meter.run("account", "topup", "A", "--amount", "5").returncode == 0
                until(lambda: at_end(meter, url), "the top-up to be projected")
                assert differences(meter, store) == []
            assert projector.stop() == 0
        finally:
            projector.kill()
        with store.connect() as connection:
            assert connection.execute(select(schema.account.c.balance)).scalar_one() == 15


def at_end(meter: Meter, url: str) -> bool:
    """Whether all is projected."""
    status = meter.ask("projector", "status", database_url=url)
    return bool(status) and not any(topic["lag"] for topic in status)


def fetched(port: int, path: str) -> tuple[int, str]:
    """Status and text of one of the projector's pages."""
    answer = httpx.get(f"http://127.0.0.1:{port}{path}")
    return answer.status_code, answer.text


def measured(port: int, name: str) -> float:
    """A metric of the projector."""
    return next(float(line.split()[-1]) for line in fetched(port, "/metrics")[1].splitlines() if line.startswith(name))


def away(port: int) -> float:
    return measured(port, "meter_projector_store_away")


def test_a_store_that_is_stopped_and_started_again_is_waited_for_and_catches_up(
    kafka: str, postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.new_database()
    with Meter(kafka, tmp_path, web_port=0) as meter:
        meter.create().open_worker()
        port = free_port()
        projector = RunningProjector(meter, url, tmp_path / "projector.log", web_port=port)
        try:
            meter.submit(job(job_id="before"))
            until(lambda: "follows the topics" in projector.said() and at_end(meter, url), "the first job")
            assert (fetched(port, "/healthz")[0], json.loads(fetched(port, "/healthz")[1])) == (200, {"status": "ok"})
            assert (fetched(port, "/readyz")[0], away(port)) == (200, 0.0)
            assert measured(port, 'meter_projected_records_total{topic="usage.priced"}') == 1.0
            postgres.stop()
            try:
                meter.submit(job(job_id="meanwhile"))
                until(lambda: "no SQL store at" in projector.said(), "the projector to notice")
                until(lambda: fetched(port, "/readyz")[0] == 503, "the projector to say so")
                assert json.loads(fetched(port, "/readyz")[1])["stalled"] == ["the store is away"]
                assert (fetched(port, "/healthz")[0], away(port)) == (200, 1.0)
                assert projector.process.poll() is None
            finally:
                postgres.start()
            until(lambda: at_end(meter, url), "the projector to catch up")
            until(lambda: (fetched(port, "/readyz")[0], away(port)) == (200, 0.0), "the projector to be ready")
            assert projector.stop() == 0, projector.said()
        finally:
            projector.kill()
        store = engine_of(url)
        assert differences(meter, store) == []
        store.dispose()


def test_a_store_that_somebody_else_writes_to_for_a_while_is_waited_for(
    meter: Meter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.2)
    url = f"sqlite:///{tmp_path}/store.sqlite"
    store = engine_of(url)
    migrate(store)
    with writing(store), pytest.raises(StoreLostError, match="locked"):
        migrate(engine_of(url))
    project(meter, url)
    assert differences(meter, store) == []
    store.dispose()


class TestWhatIsRefused:
    """Nothing is written where the store and the topics are not of one history."""

    def test_the_store_of_another_meter(self, kafka: str, meter: Meter, url: str, tmp_path: Path) -> None:
        project(meter, url)
        with Meter(kafka, tmp_path, web_port=0) as other:
            other.create()
            done = other.run("projector", database_url=url)
        assert done.returncode == Exit.REFUSES
        assert "the store holds the figures of another meter" in done.stderr

    def test_the_store_of_a_newer_version(self, meter: Meter, url: str, store: Engine) -> None:
        migrate(store)
        with writing(store) as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        for command in (("projector",), ("projector", "migrate"), ("projector", "status")):
            done = meter.run(*command, database_url=url)
            assert done.returncode == Exit.REFUSES
            assert "was written by a newer version of the meter (its tables are 9999)" in done.stderr

    def test_a_log_that_starts_above_the_stores_position(
        self, kafka: str, url: str, store: Engine, tmp_path: Path
    ) -> None:
        with Meter(kafka, tmp_path, partitions=1, web_port=0) as meter:
            meter.create().open_worker()
            meter.submit(job())
            project(meter, url)
            meter.submit(job(), job(), job())
            place = TopicPartition(meter.topic("usage.priced"), 0, 3)
            meter.administer(lambda admin: admin.delete_records([place]))
            done = meter.run("projector", database_url=url)
            assert done.returncode == Exit.REFUSES
            assert "usage.priced[0] starts at 3 now, and the store is at" in done.stderr
            assert "`meter projector rebuild` reads again what is left" in done.stderr

            lost = meter.run("projector", "rebuild", database_url=url)
            assert (lost.returncode, lost.stderr.count("\n")) == (1, 1)
            assert "rebuilding would lose rows of usage.priced[0] from 0 to 3" in lost.stderr
            assert meter.run("projector", "rebuild", "--drop-expired", database_url=url).returncode == 0
            assert differences(meter, store) == []

    def test_a_topic_that_was_made_anew(self, kafka: str, url: str, tmp_path: Path) -> None:
        with Meter(kafka, tmp_path, partitions=1, web_port=0) as meter:
            meter.create().open_worker()
            meter.submit(job())
            project(meter, url)
            meter.workers[0].stop()
            meter.administer(lambda admin: admin.delete_topics([meter.topic("usage.priced")]))
            until(lambda: meter.run("topics", "create", "--partitions", "1").returncode == 0, "the topic to be made")
            done = meter.run("projector", database_url=url)
        assert done.returncode == Exit.REFUSES
        assert "was made anew" in done.stderr


@pytest.mark.parametrize(
    ("database_url", "code", "line"),
    [
        ("mysql://db/meter", Exit.WRONG_SETTING, "the store is sqlite or postgresql, not mysql"),
        ("nonsense", Exit.WRONG_SETTING, "METER_DATABASE_URL: needs postgresql://"),
        ("sqlite://", Exit.WRONG_SETTING, "SQLite needs a file"),
        ("sqlite:////proc/nowhere/store.sqlite", Exit.WRONG_SETTING, "METER_DATABASE_URL: /proc/nowhere"),
        ("postgresql://meter:secret@127.0.0.1:1/meter", Exit.FAILED, "no SQL store at postgresql+psycopg://meter:***"),
    ],
)
def test_a_wrong_or_unreachable_store_is_one_clear_line(
    database_url: str, code: Exit, line: str, kafka: str, tmp_path: Path
) -> None:
    with Meter(kafka, tmp_path) as meter:
        done = meter.run("projector", "migrate", database_url=database_url)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert line in done.stderr
    assert "secret" not in done.stderr


def test_the_migrations_make_the_tables_of_the_schema(store: Engine) -> None:
    migrate(store)
    with store.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
