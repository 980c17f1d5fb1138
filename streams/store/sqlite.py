"""What SQLite needs to be told on each connection: how to keep and wait, and exact arithmetic on money."""

import sqlite3
from decimal import Decimal
from typing import Any

from meter.money import EXACT, ZERO, decimal_text


class _MoneySum:
    """The exact sum of amounts that are kept as text; of none it is null, as SQL has it."""

    def __init__(self) -> None:
        self._total = ZERO
        self._any = False

    def step(self, amount: str | None) -> None:
        """One more amount."""
        if amount is not None:
            self._total = EXACT.add(self._total, Decimal(amount))
            self._any = True

    def finalize(self) -> str | None:
        """The sum."""
        return decimal_text(self._total) if self._any else None


def set_up_connection(connection: sqlite3.Connection) -> None:
    """Set up a connection that has just been made."""
    connection.isolation_level = None  # transactions are begun by us, not by the driver's guess
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # tokens and the audit trail are kept nowhere else
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA case_sensitive_like = ON")
    aggregate: Any = _MoneySum  # the driver's types know of integers alone
    connection.create_aggregate("money_sum", 1, aggregate)
