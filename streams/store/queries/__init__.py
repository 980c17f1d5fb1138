"""Looking at the read model: functions of a connection, by subject; what they give is frozen, exact and typed.

Amounts are `Decimal` in CNY, instants aware, days `YYYY-MM-DD`. Lists come in pages with an opaque cursor.
"""
