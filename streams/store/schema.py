"""The tables that are made from the topics, and can be made again; what is kept nowhere else is in `own`.

Rows of the append-only topics are keyed by where their record is: `partition` and `position` (its offset) in the
topic they come from. Money is exact CNY, instants are aware, days are `YYYY-MM-DD` (see `types`).
"""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, Table, text

from streams.store.types import Day, Moment, Money, Words

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _key() -> tuple[Column[int], Column[int]]:
    return (
        Column("partition", Integer, primary_key=True, autoincrement=False),
        Column("position", BigInteger, primary_key=True, autoincrement=False),
    )


#: One row once a projector has run: whose store this is. `rules` is the rules record, JSON.
meter_info = Table(
    "meter_info",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # 1
    Column("meter_id", Words, nullable=False),
    Column("topic_prefix", Words, nullable=False),
    Column("rules", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
)

#: How far each topic is projected. `next_offset` moves by compare-and-set, with the rows, in one transaction.
projector_position = Table(
    "projector_position",
    metadata,
    Column("topic", Words, primary_key=True),  # without the prefix
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("first_offset", BigInteger, nullable=False),  # where the log began when it was first read
    Column("next_offset", BigInteger, nullable=False),
    Column("end_offset", BigInteger, nullable=False),  # the committed end of the log when it was last looked at
    Column("record_at", Moment),  # the broker's time of the last record projected
    Column("polled_at", Moment, nullable=False),  # when the log was last looked at
    Column("topic_id", Words),  # which topic it is of: one that was made anew has another
    Column("last_offset", BigInteger),  # of the last record projected, with its time in ms and a checksum
    Column("last_ms", BigInteger),
    Column("last_checksum", Words),
)

# -- usage ------------------------------------------------------------------------------------------------------

#: `usage.priced`, a row for each job.
priced_usage = Table(
    "priced_usage",
    metadata,
    *_key(),
    Column("account_id", Words, nullable=False),
    Column("job_id", Words, nullable=False),
    Column("region", Words, nullable=False),
    Column("kinds", Words, nullable=False),  # sorted, joined by commas
    Column("completed_at", Moment, nullable=False),
    Column("completed_at_text", Words, nullable=False),  # as it came
    Column("day", Day, nullable=False),
    Column("duration_s", Words, nullable=False),  # a decimal, as published
    Column("minutes", BigInteger, nullable=False),
    Column("unit_price", Money, nullable=False),
    Column("amount", Money, nullable=False),
    Column("price_version", Words, nullable=False),
    Column("source_topic", Words, nullable=False),
    Column("source_partition", Integer, nullable=False),
    Column("source_offset", BigInteger, nullable=False),
    Column("recorded_at", Moment, nullable=False),  # the source's record time
    Column("origin_topic", Words),
    Column("origin_partition", Integer),
    Column("origin_offset", BigInteger),
    Index(None, "account_id", "day", "position"),
    Index(None, "account_id", "job_id"),
    Index(None, "day", "partition", "position"),
)

#: `usage.daily`, the last value of each key.
daily_total = Table(
    "daily_total",
    metadata,
    Column("account_id", Words, primary_key=True),
    Column("day", Day, primary_key=True),
    Column("region", Words, primary_key=True),
    Column("jobs", BigInteger, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("amount", Money, nullable=False),
    Index(None, "day", "account_id", "region"),
)

#: The sums of `daily_total` over all accounts.
region_total = Table(
    "region_total",
    metadata,
    Column("day", Day, primary_key=True),
    Column("region", Words, primary_key=True),
    Column("jobs", BigInteger, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("amount", Money, nullable=False),
)

#: `usage.rejected`. `priced_later`: the job (account and id) was priced after it had been refused.
rejected = Table(
    "rejected",
    metadata,
    *_key(),
    Column("code", Words, nullable=False),
    Column("message", Words, nullable=False),
    Column("account_id", Words),
    Column("job_id", Words),
    Column("amount_at_risk", Money),
    Column("day", Day, nullable=False),  # the billing day of `recorded_at`
    Column("recorded_at", Moment, nullable=False),  # the source's record time; see `meter.rejects.refused_at`
    Column("source_topic", Words, nullable=False),
    Column("source_partition", Integer, nullable=False),
    Column("source_offset", BigInteger, nullable=False),
    Column("priced_later", Boolean, nullable=False),
    Column("value", Words, nullable=False),  # the published JSON, with the original record
    Index(None, "recorded_at", "partition", "position"),
    Index(None, "code", "recorded_at", "partition", "position"),
    Index(None, "account_id", "recorded_at", "partition", "position"),
    Index(None, "account_id", "job_id"),
)

#: The sums of `rejected`: how many, and the money at risk; `open_*` without those that were priced later, `unknown` of
#: which nobody can say what they are worth, so that they are not in the sums of money.
rejected_total = Table(
    "rejected_total",
    metadata,
    Column("day", Day, primary_key=True),
    Column("code", Words, primary_key=True),
    Column("records", BigInteger, nullable=False),
    Column("amount_at_risk", Money, nullable=False),
    Column("open_records", BigInteger, nullable=False),
    Column("open_amount", Money, nullable=False),
    Column("unknown", BigInteger, nullable=False, server_default="0"),
    Column("open_unknown", BigInteger, nullable=False, server_default="0"),
)

# -- money ------------------------------------------------------------------------------------------------------

#: `billing.bills`. `value` is the published JSON, byte for byte. Whether it is paid is in `bill_standing`.
bill = Table(
    "bill",
    metadata,
    Column("bill_id", Words, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("account_id", Words, nullable=False),
    Column("period", Words, nullable=False),  # YYYY-MM-DD or YYYY-MM
    Column("mode", Words, nullable=False),
    Column("total", Money, nullable=False),
    Column("payable", Money, nullable=False),
    Column("rounding", Money, nullable=False),
    Column("issued_at", Moment, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("value", Words, nullable=False),
    Index(None, "partition", "position", unique=True),
    Index(None, "account_id", "issued_at", "bill_id"),
    Index(None, "issued_at", "bill_id"),
    Index(None, "period", "bill_id"),
)

bill_line = Table(
    "bill_line",
    metadata,
    Column("bill_id", Words, primary_key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),  # 0, 1, ... as on the bill
    Column("account_id", Words, nullable=False),
    Column("kind", Words, nullable=False),  # usage | late
    Column("region", Words, nullable=False),
    Column("day", Day, nullable=False),
    Column("jobs", BigInteger, nullable=False),
    Column("minutes", BigInteger, nullable=False),
    Column("unit_price", Money, nullable=False),
    Column("amount", Money, nullable=False),
    Column("original_bill_id", Words),
    Index(None, "account_id", "day", "region"),
)

#: `billing.notes`: debit and credit notes. Of a debit note, `bill_standing` tells whether it is paid.
note = Table(
    "note",
    metadata,
    *_key(),
    Column("note_id", Words, nullable=False),
    Column("account_id", Words, nullable=False),
    Column("kind", Words, nullable=False),  # charge | payment_reversed | credit_note
    Column("command_id", Words, nullable=False),
    Column("day", Day, nullable=False),
    Column("amount", Money, nullable=False),
    Column("issued_at", Moment, nullable=False),
    Column("reason", Words),
    Column("reference", Words),  # the top-up, or the bill or debit note ...
    Column("line", Integer),  # ... and its line, 1 the first
    Column("value", Words, nullable=False),  # the published JSON
    Index(None, "account_id", "position"),
    Index(None, "note_id", unique=True),
    Index(None, "reference"),
)

#: What the ledger says of each bill and debit note: when it was paid (null: it is open), how much of it was given back
#: by refunds, and how much by credit notes (null: nothing).
bill_standing = Table(
    "bill_standing",
    metadata,
    Column("bill_id", Words, primary_key=True),
    Column("account_id", Words, nullable=False),
    Column("payable", Money, nullable=False),
    Column("entered_at", Moment, nullable=False),
    Column("paid_at", Moment),
    Column("refunded", Money, nullable=False),
    Column("credited", Money),
    Index(
        "ix_bill_standing_open",
        "account_id",
        "bill_id",
        sqlite_where=text("paid_at IS NULL"),
        postgresql_where=text("paid_at IS NULL"),
    ),
)

#: `billing.ledger`; with the account's balance and unpaid bills after it.
ledger_entry = Table(
    "ledger_entry",
    metadata,
    *_key(),
    Column("entry_id", Words, nullable=False),
    Column("account_id", Words, nullable=False),
    Column("at", Moment, nullable=False),
    Column("cause", Words, nullable=False),
    Column("reference", Words, nullable=False),
    Column("reason", Words),
    Column("change", Money, nullable=False),  # of the balance
    Column("balance_after", Money, nullable=False),
    Column("unpaid_after", Money, nullable=False),
    Column("value", Words, nullable=False),  # the published JSON
    Index(None, "account_id", "position"),
    Index(None, "entry_id"),
    Index(None, "reference"),
)

posting = Table(
    "posting",
    metadata,
    *_key(),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("book", Words, nullable=False),
    Column("amount", Money, nullable=False),
)

#: `billing.notices`.
notice = Table(
    "notice",
    metadata,
    *_key(),
    Column("notice_id", Words, nullable=False),
    Column("account_id", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("at", Moment, nullable=False),
    Column("bill_id", Words),
    Column("payable", Money),
    Column("owed", Money),
    Column("balance", Money),
    Column("deadline", Moment),
    Column("value", Words, nullable=False),  # the published JSON
    Index(None, "account_id", "position"),
    Index(None, "at", "partition", "position"),
    Index(None, "notice_id"),
)

# -- accounts ---------------------------------------------------------------------------------------------------

#: Each account that any topic has spoken of: its service, its balance as the fold of the ledger, its last arrears.
account = Table(
    "account",
    metadata,
    Column("account_id", Words, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("seen_at", Moment, nullable=False),  # the earliest record time of a job, an answer or an entry
    Column("state", Words, nullable=False),  # good | in_arrears | stopped
    Column("since", Moment),  # null: it was never anything but good
    Column("reason", Words),
    Column("balance", Money, nullable=False),
    Column("unpaid", Money, nullable=False),  # what the open bills come to
    Column("owed", Money, nullable=False),  # unpaid less balance, at least 0.00
    Column("arrears_at", Moment),  # of the last arrears notice ...
    Column("deadline", Moment),  # ... and the deadline that it named
    Column("service_value", Words),  # account.service as published
    Index(None, "state", "account_id"),
)

#: The sums of `account`: how many are in each state, and what they owe and have.
account_total = Table(
    "account_total",
    metadata,
    Column("state", Words, primary_key=True),
    Column("accounts", BigInteger, nullable=False),
    Column("owed", Money, nullable=False),
    Column("balance", Money, nullable=False),
)

#: `meter.commands`, as far as they can be read. `value` is the JSON as it came.
command = Table(
    "command",
    metadata,
    *_key(),
    Column("command_id", Words),
    Column("type", Words),
    Column("account_id", Words),
    Column("issued_at", Words),  # as it came
    Column("recorded_at", Moment, nullable=False),
    Column("value", Words, nullable=False),
    Index(None, "command_id"),
    Index(None, "account_id", "type", "position"),
    Index(None, "type", "partition", "position"),
    Index(None, "recorded_at"),
)

#: `meter.command-results`: one answer a command and partition.
command_result = Table(
    "command_result",
    metadata,
    *_key(),
    Column("command_id", Words, nullable=False),
    Column("account_id", Words),
    Column("status", Words, nullable=False),
    Column("code", Words),
    Column("message", Words),
    Column("command_position", BigInteger, nullable=False),  # of the command, on the same partition
    Column("recorded_at", Moment, nullable=False),  # the command's record time
    Column("digest", Words),  # of the command's content
    Index(None, "command_id"),
    Index(None, "partition", "command_position"),
)

READ_MODEL = (
    meter_info,
    projector_position,
    priced_usage,
    daily_total,
    region_total,
    rejected,
    rejected_total,
    bill,
    bill_line,
    bill_standing,
    note,
    ledger_entry,
    posting,
    notice,
    account,
    account_total,
    command,
    command_result,
)
