"""The digest of what each answer is to."""

import sqlalchemy as sa
from alembic import op

from streams.store import types

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; answers that were projected before have none."""
    op.add_column("command_result", sa.Column("digest", types.Words(), nullable=True))
