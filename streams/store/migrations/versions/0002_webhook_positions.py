"""How far each webhook has read the topics, and the order in which its deliveries go out."""

import sqlalchemy as sa
from alembic import op

from streams.store import types

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the positions; let the index follow the order of delivery."""
    op.create_table(
        "webhook_position",
        sa.Column("endpoint_id", types.Words(), nullable=False),
        sa.Column("topic", types.Words(), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"], ["webhook_endpoint.endpoint_id"], name=op.f("fk_webhook_position_endpoint_id")
        ),
        sa.PrimaryKeyConstraint("endpoint_id", "topic", "partition", name=op.f("pk_webhook_position")),
    )
    op.drop_index(op.f("ix_webhook_delivery_endpoint_id_account_id_partition_position"), "webhook_delivery")
    op.create_index(
        "ix_webhook_delivery_waiting",
        "webhook_delivery",
        ["endpoint_id", "account_id", "created_at", "event", "position"],
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )
