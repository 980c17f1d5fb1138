"""The read model, tokens, sessions, audit trail and webhooks, as they began."""

import sqlalchemy as sa
from alembic import op

from streams.store import types

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    _progress()
    _usage()
    _money()
    _accounts()
    _access()
    _webhooks()


def _progress() -> None:
    op.create_table(
        "meter_info",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("meter_id", types.Words(), nullable=False),
        sa.Column("topic_prefix", types.Words(), nullable=False),
        sa.Column("rules", types.Words(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_meter_info")),
    )
    op.create_table(
        "projector_position",
        sa.Column("topic", types.Words(), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first_offset", sa.BigInteger(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("end_offset", sa.BigInteger(), nullable=False),
        sa.Column("record_at", types.Moment(), nullable=True),
        sa.Column("polled_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", name=op.f("pk_projector_position")),
    )


def _usage() -> None:
    op.create_table(
        "daily_total",
        sa.Column("account_id", types.Words(), nullable=False),
        sa.Column("day", types.Day(), nullable=False),
        sa.Column("region", types.Words(), nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.Column("amount", types.Money(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "day", "region", name=op.f("pk_daily_total")),
    )
    op.create_index(
        op.f("ix_daily_total_day_account_id_region"), "daily_total", ["day", "account_id", "region"], unique=False
    )
    op.create_table(
        "priced_usage",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account_id", types.Words(), nullable=False),
        sa.Column("job_id", types.Words(), nullable=False),
        sa.Column("region", types.Words(), nullable=False),
        sa.Column("kinds", types.Words(), nullable=False),
        sa.Column("completed_at", types.Moment(), nullable=False),
        sa.Column("completed_at_text", types.Words(), nullable=False),
        sa.Column("day", types.Day(), nullable=False),
        sa.Column("duration_s", types.Words(), nullable=False),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.Column("unit_price", types.Money(), nullable=False),
        sa.Column("amount", types.Money(), nullable=False),
        sa.Column("price_version", types.Words(), nullable=False),
        sa.Column("source_topic", types.Words(), nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", types.Moment(), nullable=False),
        sa.Column("origin_topic", types.Words(), nullable=True),
        sa.Column("origin_partition", sa.Integer(), nullable=True),
        sa.Column("origin_offset", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("partition", "position", name=op.f("pk_priced_usage")),
    )
    op.create_index(
        op.f("ix_priced_usage_account_id_day_position"), "priced_usage", ["account_id", "day", "position"], unique=False
    )
    op.create_index(op.f("ix_priced_usage_account_id_job_id"), "priced_usage", ["account_id", "job_id"], unique=False)
    op.create_index(
        op.f("ix_priced_usage_day_partition_position"), "priced_usage", ["day", "partition", "position"], unique=False
    )
    op.create_table(
        "region_total",
        sa.Column("day", types.Day(), nullable=False),
        sa.Column("region", types.Words(), nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.Column("amount", types.Money(), nullable=False),
        sa.PrimaryKeyConstraint("day", "region", name=op.f("pk_region_total")),
    )
    op.create_table(
        "rejected",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("code", types.Words(), nullable=False),
        sa.Column("message", types.Words(), nullable=False),
        sa.Column("account_id", types.Words(), nullable=True),
        sa.Column("job_id", types.Words(), nullable=True),
        sa.Column("amount_at_risk", types.Money(), nullable=True),
        sa.Column("day", types.Day(), nullable=False),
        sa.Column("recorded_at", types.Moment(), nullable=False),
        sa.Column("source_topic", types.Words(), nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.Column("priced_later", sa.Boolean(), nullable=False),
        sa.Column("value", types.Words(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "position", name=op.f("pk_rejected")),
    )
    op.create_index(op.f("ix_rejected_account_id_job_id"), "rejected", ["account_id", "job_id"], unique=False)
    op.create_index(
        op.f("ix_rejected_account_id_recorded_at_partition_position"),
        "rejected",
        ["account_id", "recorded_at", "partition", "position"],
        unique=False,
    )
    op.create_index(
        op.f("ix_rejected_code_recorded_at_partition_position"),
        "rejected",
        ["code", "recorded_at", "partition", "position"],
        unique=False,
    )
    op.create_index(
        op.f("ix_rejected_recorded_at_partition_position"),
        "rejected",
        ["recorded_at", "partition", "position"],
        unique=False,
    )
    op.create_table(
        "rejected_total",
        sa.Column("day", types.Day(), nullable=False),
        sa.Column("code", types.Words(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("amount_at_risk", types.Money(), nullable=False),
        sa.Column("open_records", sa.BigInteger(), nullable=False),
        sa.Column("open_amount", types.Money(), nullable=False),
        sa.PrimaryKeyConstraint("day", "code", name=op.f("pk_rejected_total")),
    )


def _money() -> None:
    op.create_table(
        "bill",
        sa.Column("bill_id", types.Words(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("account_id", types.Words(), nullable=False),
        sa.Column("period", types.Words(), nullable=False),
        sa.Column("mode", types.Words(), nullable=False),
        sa.Column("total", types.Money(), nullable=False),
        sa.Column("payable", types.Money(), nullable=False),
        sa.Column("rounding", types.Money(), nullable=False),
        sa.Column("issued_at", types.Moment(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("value", types.Words(), nullable=False),
        sa.PrimaryKeyConstraint("bill_id", name=op.f("pk_bill")),
    )
    op.create_index(
        op.f("ix_bill_account_id_issued_at_bill_id"), "bill", ["account_id", "issued_at", "bill_id"], unique=False
    )
    op.create_index(op.f("ix_bill_issued_at_bill_id"), "bill", ["issued_at", "bill_id"], unique=False)
    op.create_index(op.f("ix_bill_partition_position"), "bill", ["partition", "position"], unique=True)
    op.create_index(op.f("ix_bill_period_bill_id"), "bill", ["period", "bill_id"], unique=False)
    op.create_table(
        "bill_line",
        sa.Column("bill_id", types.Words(), nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account_id", types.Words(), nullable=False),
        sa.Column("kind", types.Words(), nullable=False),
        sa.Column("region", types.Words(), nullable=False),
        sa.Column("day", types.Day(), nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.Column("minutes", sa.BigInteger(), nullable=False),
        sa.Column("unit_price", types.Money(), nullable=False),
        sa.Column("amount", types.Money(), nullable=False),
        sa.Column("original_bill_id", types.Words(), nullable=True),
        sa.PrimaryKeyConstraint("bill_id", "line", name=op.f("pk_bill_line")),
    )
    op.create_index(
        op.f("ix_bill_line_account_id_day_region"), "bill_line", ["account_id", "day", "region"], unique=False
    )
    op.create_table(
        "bill_standing",
        sa.Column("bill_id", types.Words(), nullable=False),
        sa.Column("account_id", types.Words(), nullable=False),
        sa.Column("payable", types.Money(), nullable=False),
        sa.Column("entered_at", types.Moment(), nullable=False),
        sa.Column("paid_at", types.Moment(), nullable=True),
        sa.Column("refunded", types.Money(), nullable=False),
        sa.PrimaryKeyConstraint("bill_id", name=op.f("pk_bill_standing")),
    )
    op.create_index(
        "ix_bill_standing_open",
        "bill_standing",
        ["account_id", "bill_id"],
        unique=False,
        sqlite_where=sa.text("paid_at IS NULL"),
        postgresql_where=sa.text("paid_at IS NULL"),
    )
    op.create_table(
        "ledger_entry",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", types.Words(), nullable=False),
        sa.Column("account_id", types.Words(), nullable=False),
        sa.Column("at", types.Moment(), nullable=False),
        sa.Column("cause", types.Words(), nullable=False),
        sa.Column("reference", types.Words(), nullable=False),
        sa.Column("reason", types.Words(), nullable=True),
        sa.Column("change", types.Money(), nullable=False),
        sa.Column("balance_after", types.Money(), nullable=False),
        sa.Column("unpaid_after", types.Money(), nullable=False),
        sa.Column("value", types.Words(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "position", name=op.f("pk_ledger_entry")),
    )
    op.create_index(
        op.f("ix_ledger_entry_account_id_position"), "ledger_entry", ["account_id", "position"], unique=False
    )
    op.create_index(op.f("ix_ledger_entry_entry_id"), "ledger_entry", ["entry_id"], unique=False)
    op.create_index(op.f("ix_ledger_entry_reference"), "ledger_entry", ["reference"], unique=False)
    op.create_table(
        "notice",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("notice_id", types.Words(), nullable=False),
        sa.Column("account_id", types.Words(), nullable=False),
        sa.Column("kind", types.Words(), nullable=False),
        sa.Column("at", types.Moment(), nullable=False),
        sa.Column("bill_id", types.Words(), nullable=True),
        sa.Column("payable", types.Money(), nullable=True),
        sa.Column("owed", types.Money(), nullable=True),
        sa.Column("balance", types.Money(), nullable=True),
        sa.Column("deadline", types.Moment(), nullable=True),
        sa.Column("value", types.Words(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "position", name=op.f("pk_notice")),
    )
    op.create_index(op.f("ix_notice_account_id_position"), "notice", ["account_id", "position"], unique=False)
    op.create_index(op.f("ix_notice_at_partition_position"), "notice", ["at", "partition", "position"], unique=False)
    op.create_index(op.f("ix_notice_notice_id"), "notice", ["notice_id"], unique=False)
    op.create_table(
        "posting",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("book", types.Words(), nullable=False),
        sa.Column("amount", types.Money(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "position", "line", name=op.f("pk_posting")),
    )


def _accounts() -> None:
    op.create_table(
        "account",
        sa.Column("account_id", types.Words(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("seen_at", types.Moment(), nullable=False),
        sa.Column("state", types.Words(), nullable=False),
        sa.Column("since", types.Moment(), nullable=True),
        sa.Column("reason", types.Words(), nullable=True),
        sa.Column("balance", types.Money(), nullable=False),
        sa.Column("unpaid", types.Money(), nullable=False),
        sa.Column("owed", types.Money(), nullable=False),
        sa.Column("arrears_at", types.Moment(), nullable=True),
        sa.Column("deadline", types.Moment(), nullable=True),
        sa.Column("service_value", types.Words(), nullable=True),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_account")),
    )
    op.create_index(op.f("ix_account_state_account_id"), "account", ["state", "account_id"], unique=False)
    op.create_table(
        "account_total",
        sa.Column("state", types.Words(), nullable=False),
        sa.Column("accounts", sa.BigInteger(), nullable=False),
        sa.Column("owed", types.Money(), nullable=False),
        sa.Column("balance", types.Money(), nullable=False),
        sa.PrimaryKeyConstraint("state", name=op.f("pk_account_total")),
    )
    op.create_table(
        "command",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("command_id", types.Words(), nullable=True),
        sa.Column("type", types.Words(), nullable=True),
        sa.Column("account_id", types.Words(), nullable=True),
        sa.Column("issued_at", types.Words(), nullable=True),
        sa.Column("recorded_at", types.Moment(), nullable=False),
        sa.Column("value", types.Words(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "position", name=op.f("pk_command")),
    )
    op.create_index(
        op.f("ix_command_account_id_type_position"), "command", ["account_id", "type", "position"], unique=False
    )
    op.create_index(op.f("ix_command_command_id"), "command", ["command_id"], unique=False)
    op.create_index(op.f("ix_command_recorded_at"), "command", ["recorded_at"], unique=False)
    op.create_index(
        op.f("ix_command_type_partition_position"), "command", ["type", "partition", "position"], unique=False
    )
    op.create_table(
        "command_result",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("command_id", types.Words(), nullable=False),
        sa.Column("account_id", types.Words(), nullable=True),
        sa.Column("status", types.Words(), nullable=False),
        sa.Column("code", types.Words(), nullable=True),
        sa.Column("message", types.Words(), nullable=True),
        sa.Column("command_position", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", types.Moment(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "position", name=op.f("pk_command_result")),
    )
    op.create_index(op.f("ix_command_result_command_id"), "command_result", ["command_id"], unique=False)
    op.create_index(
        op.f("ix_command_result_partition_command_position"),
        "command_result",
        ["partition", "command_position"],
        unique=False,
    )


def _access() -> None:
    op.create_table(
        "api_token",
        sa.Column("token_id", types.Words(), nullable=False),
        sa.Column("secret_hash", types.Words(), nullable=False),
        sa.Column("role", types.Words(), nullable=False),
        sa.Column("account_id", types.Words(), nullable=True),
        sa.Column("label", types.Words(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("expires_at", types.Moment(), nullable=True),
        sa.Column("revoked_at", types.Moment(), nullable=True),
        sa.Column("last_used_at", types.Moment(), nullable=True),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_api_token")),
    )
    op.create_table(
        "audit_entry",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", types.Moment(), nullable=False),
        sa.Column("token_id", types.Words(), nullable=True),
        sa.Column("role", types.Words(), nullable=False),
        sa.Column("remote", types.Words(), nullable=True),
        sa.Column("action", types.Words(), nullable=False),
        sa.Column("account_id", types.Words(), nullable=True),
        sa.Column("command_id", types.Words(), nullable=True),
        sa.Column("outcome", types.Words(), nullable=False),
        sa.Column("code", types.Words(), nullable=True),
        sa.Column("detail", types.Words(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
        sa.UniqueConstraint("command_id", name=op.f("uq_audit_entry_command_id")),
    )
    op.create_index(op.f("ix_audit_entry_account_id_id"), "audit_entry", ["account_id", "id"], unique=False)
    op.create_index(op.f("ix_audit_entry_at"), "audit_entry", ["at"], unique=False)
    op.create_table(
        "console_session",
        sa.Column("session_hash", types.Words(), nullable=False),
        sa.Column("token_id", types.Words(), nullable=False),
        sa.Column("csrf", types.Words(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("expires_at", types.Moment(), nullable=False),
        sa.Column("seen_at", types.Moment(), nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["api_token.token_id"], name=op.f("fk_console_session_token_id")),
        sa.PrimaryKeyConstraint("session_hash", name=op.f("pk_console_session")),
    )
    op.create_index(op.f("ix_console_session_expires_at"), "console_session", ["expires_at"], unique=False)
    op.create_index(op.f("ix_console_session_token_id"), "console_session", ["token_id"], unique=False)


def _webhooks() -> None:
    op.create_table(
        "webhook_endpoint",
        sa.Column("endpoint_id", types.Words(), nullable=False),
        sa.Column("url", types.Words(), nullable=False),
        sa.Column("secret", types.Words(), nullable=False),
        sa.Column("events", types.Words(), nullable=False),
        sa.Column("account_id", types.Words(), nullable=True),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("removed_at", types.Moment(), nullable=True),
        sa.PrimaryKeyConstraint("endpoint_id", name=op.f("pk_webhook_endpoint")),
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("endpoint_id", types.Words(), nullable=False),
        sa.Column("event_id", types.Words(), nullable=False),
        sa.Column("event", types.Words(), nullable=False),
        sa.Column("account_id", types.Words(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("payload", types.Words(), nullable=False),
        sa.Column("state", types.Words(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", types.Moment(), nullable=False),
        sa.Column("next_attempt_at", types.Moment(), nullable=True),
        sa.Column("last_error", types.Words(), nullable=True),
        sa.Column("delivered_at", types.Moment(), nullable=True),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoint.endpoint_id"], name=op.f("fk_webhook_delivery_endpoint_id")
        ),
        sa.PrimaryKeyConstraint("endpoint_id", "event_id", name=op.f("pk_webhook_delivery")),
    )
    op.create_index(
        op.f("ix_webhook_delivery_endpoint_id_account_id_partition_position"),
        "webhook_delivery",
        ["endpoint_id", "account_id", "partition", "position"],
        unique=False,
    )
    op.create_index(
        op.f("ix_webhook_delivery_state_next_attempt_at"),
        "webhook_delivery",
        ["state", "next_attempt_at"],
        unique=False,
    )
