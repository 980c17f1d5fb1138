"""How many refused records are of unknown worth."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns, and count what is there."""
    for name in ("unknown", "open_unknown"):
        op.add_column("rejected_total", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    of_this = "r.day = rejected_total.day AND r.code = rejected_total.code AND r.amount_at_risk IS NULL"
    op.execute(
        f"UPDATE rejected_total SET unknown = (SELECT count(*) FROM rejected r WHERE {of_this}), "
        f"open_unknown = (SELECT count(*) FROM rejected r WHERE {of_this} AND NOT r.priced_later)"
    )
