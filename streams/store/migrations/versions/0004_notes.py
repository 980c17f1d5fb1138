"""Debit and credit notes, and what of each bill was credited."""

import sqlalchemy as sa
from alembic import op

from streams.store import types

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the table and the column."""
    op.create_table(
        "note",
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("note_id", types.Words(), nullable=False),
        sa.Column("account_id", types.Words(), nullable=False),
        sa.Column("kind", types.Words(), nullable=False),
        sa.Column("command_id", types.Words(), nullable=False),
        sa.Column("day", types.Day(), nullable=False),
        sa.Column("amount", types.Money(), nullable=False),
        sa.Column("issued_at", types.Moment(), nullable=False),
        sa.Column("reason", types.Words(), nullable=True),
        sa.Column("reference", types.Words(), nullable=True),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("value", types.Words(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "position", name=op.f("pk_note")),
    )
    op.create_index(op.f("ix_note_account_id_position"), "note", ["account_id", "position"], unique=False)
    op.create_index(op.f("ix_note_note_id"), "note", ["note_id"], unique=True)
    op.create_index(op.f("ix_note_reference"), "note", ["reference"], unique=False)
    op.add_column("bill_standing", sa.Column("credited", types.Money(), nullable=True))
