"""The tables of what is not in the topics, and is never rebuilt: tokens, sessions, the audit trail, webhooks."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, text

from streams.store.schema import metadata
from streams.store.types import Moment, Words

#: Tokens of the API. The secret is kept as its SHA-256 alone.
api_token = Table(
    "api_token",
    metadata,
    Column("token_id", Words, primary_key=True),  # the part that is shown
    Column("secret_hash", Words, nullable=False),
    Column("role", Words, nullable=False),  # operator | account | producer
    Column("account_id", Words),
    Column("label", Words),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("revoked_at", Moment),
    Column("last_used_at", Moment),
)

console_session = Table(
    "console_session",
    metadata,
    Column("session_hash", Words, primary_key=True),
    Column("token_id", Words, ForeignKey("api_token.token_id"), nullable=False),
    Column("csrf", Words, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Index(None, "token_id"),
    Index(None, "expires_at"),
)

#: Who commanded what, when, and what came of it.
audit_entry = Table(
    "audit_entry",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("token_id", Words),  # null: nobody had to say who they are
    Column("role", Words, nullable=False),
    Column("remote", Words),
    Column("action", Words, nullable=False),
    Column("account_id", Words),
    Column("command_id", Words, unique=True),  # one row a command: sent again, it is compared with this one
    Column("outcome", Words, nullable=False),
    Column("code", Words),
    Column("detail", Words),  # JSON
    Index(None, "at"),
    Index(None, "account_id", "id"),
)

webhook_endpoint = Table(
    "webhook_endpoint",
    metadata,
    Column("endpoint_id", Words, primary_key=True),
    Column("url", Words, nullable=False),
    Column("secret", Words, nullable=False),
    Column("events", Words, nullable=False),  # joined by commas
    Column("account_id", Words),  # null: of all accounts
    Column("created_at", Moment, nullable=False),
    Column("removed_at", Moment),
)

webhook_delivery = Table(
    "webhook_delivery",
    metadata,
    Column("endpoint_id", Words, ForeignKey("webhook_endpoint.endpoint_id"), primary_key=True),
    Column("event_id", Words, primary_key=True),  # a function of the record that it tells of
    Column("event", Words, nullable=False),
    Column("account_id", Words, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("payload", Words, nullable=False),
    Column("state", Words, nullable=False),  # waiting | delivered | dead
    Column("attempts", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),  # the order of delivery; see `webhooks.queue.put`
    Column("next_attempt_at", Moment),
    Column("last_error", Words),
    Column("delivered_at", Moment),
    Index(None, "state", "next_attempt_at"),
    Index(
        "ix_webhook_delivery_waiting",
        "endpoint_id",
        "account_id",
        "created_at",
        "event",
        "position",
        sqlite_where=text("state = 'waiting'"),
        postgresql_where=text("state = 'waiting'"),
    ),
)

#: How far each webhook has read a topic; moves by compare-and-set, with the deliveries, in one transaction.
webhook_position = Table(
    "webhook_position",
    metadata,
    Column("endpoint_id", Words, ForeignKey("webhook_endpoint.endpoint_id"), primary_key=True),
    Column("topic", Words, primary_key=True),  # without the prefix
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("latest_at", Moment),  # the latest `created_at` of its deliveries
    Column("topic_id", Words),  # which topic it is of: one that was made anew has another
)
