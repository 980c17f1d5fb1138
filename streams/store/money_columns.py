"""Columns of money in SQL: their exact sums, and their order."""

from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from streams.store.types import Money


class money_sum(FunctionElement[Decimal]):  # noqa: N801 - it is written as a function
    """The exact sum of a Money column, null of no rows: `sum` in PostgreSQL, our own aggregate in SQLite."""

    type = Money()
    inherit_cache = True
    name = "money_sum"

    def __init__(self, column: ColumnElement[Decimal]) -> None:
        super().__init__(column)


@compiles(money_sum)
def _money_sum(element: money_sum, compiler: Any, **options: Any) -> str:
    name = "sum" if compiler.dialect.name == "postgresql" else "money_sum"
    return f"{name}({compiler.process(element.clauses, **options)})"


class money_order(FunctionElement[str]):  # noqa: N801 - as above
    """What a Money column, not below zero, is ordered by: itself in PostgreSQL; in SQLite its text, filled up."""

    inherit_cache = True
    name = "money_order"

    def __init__(self, column: ColumnElement[Decimal]) -> None:
        super().__init__(column)


@compiles(money_order)
def _money_order(element: money_order, compiler: Any, **options: Any) -> str:
    text = compiler.process(element.clauses, **options)
    return text if compiler.dialect.name == "postgresql" else f"substr('{'0' * 40}', instr({text}, '.')) || {text}"
