"""Which topic a position is of, and the last record projected below it."""

import sqlalchemy as sa
from alembic import op

from streams.store import types

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns; positions that are there already prove nothing until they move."""
    op.add_column("projector_position", sa.Column("topic_id", types.Words(), nullable=True))
    op.add_column("projector_position", sa.Column("last_offset", sa.BigInteger(), nullable=True))
    op.add_column("projector_position", sa.Column("last_ms", sa.BigInteger(), nullable=True))
    op.add_column("projector_position", sa.Column("last_checksum", types.Words(), nullable=True))
    op.add_column("webhook_position", sa.Column("topic_id", types.Words(), nullable=True))
