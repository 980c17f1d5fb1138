"""The order of webhooks is that of their logs, whatever clocks say."""

import sqlalchemy as sa
from alembic import op

from streams.store import types

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column; logs of which something was delivered before have none yet."""
    op.add_column("webhook_position", sa.Column("latest_at", types.Moment(), nullable=True))
