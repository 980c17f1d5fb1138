"""Views for analysts."""

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Whoever migrates makes all views anew at the end: see `streams.store.views`."""
