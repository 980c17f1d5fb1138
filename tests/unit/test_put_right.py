"""What was refused for its broker's clock is put right by the copy that is priced, however late its stamp was."""

from pathlib import Path

from sqlalchemy import select

from meter import topics
from meter.fold import fold
from meter.periods import BillingDays
from meter.readback import PublishedPriced, PublishedRejected
from meter.records import Chunk
from meter.step import Step
from streams.settings import Settings
from streams.store import decode
from streams.store.accounts import BatchAccounts
from streams.store.database import open_engine, writing
from streams.store.decode import OutwardRecord, decoded
from streams.store.migrate import migrate
from streams.store.project import _put_priced
from streams.store.refusals import put_rejected
from streams.store.schema import rejected, rejected_total
from streams.store.types import moment_text
from tests.builders import HOUR_MS, NOON_MS, Input, Partition, completion, encode

AHEAD_MS = NOON_MS + 36 * 24 * HOUR_MS


def test_a_redriven_job_puts_right_what_was_refused_for_a_clock_that_was_ahead(tmp_path: Path) -> None:
    partition = Partition()
    step = Step(partition.state, partition.seen, not_after=NOON_MS + HOUR_MS)
    fold(step, Chunk(topics.COMPLETED, 0, 1, [Input(0, AHEAD_MS, b"A", encode(completion()), ())]))
    ((_, refused),) = step.outputs.rejected
    ((_, priced),) = Partition().fold(completion(), at=NOON_MS + HOUR_MS).outputs.priced
    engine, days, nobody = open_engine(Settings(data_dir=tmp_path)), BillingDays("Asia/Shanghai"), list[str]()
    migrate(engine)
    with writing(engine) as connection:
        published = OutwardRecord(0, 0, None, refused, NOON_MS)
        read = [(published, decoded(published, PublishedRejected, topics.REJECTED))]
        put_rejected(connection, read, BatchAccounts(connection, nobody), days)
        row = connection.execute(select(rejected)).one()
        assert (row.priced_later, row.day, moment_text(row.recorded_at)) == (False, "2026-01-01", decode.of_ms(NOON_MS))
        published = OutwardRecord(0, 0, None, priced, NOON_MS + HOUR_MS)
        _put_priced(
            connection,
            [(published, decoded(published, PublishedPriced, topics.PRICED))],
            BatchAccounts(connection, ["A"]),
            days,
        )
        assert connection.execute(select(rejected.c.priced_later)).scalar_one()
        assert connection.execute(select(rejected_total.c.open_records)).scalar_one() == 0
    engine.dispose()
