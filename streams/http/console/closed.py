"""A stopped customer's console is closed (guide, "Arrears"): one page says why, what is owed and how to pay.

Who may look is asked here, before anything else of a page.
"""

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from meter.arrears import Service
from streams.http.callers import Role
from streams.http.console.languages import LocaleFormat
from streams.http.console.render import look_of, plain
from streams.http.problems import Problem
from streams.http.services import Services
from streams.http.sessions import AnyVisitor, Visitor
from streams.store.queries.accounts import StoredOpenBill, account_by_id, open_bills
from streams.store.queries.meter import rules_of


class ClosedError(Problem):
    """403: the visitor's account is stopped."""

    def __init__(
        self,
        visitor: Visitor,
        account_id: str,
        owed: Decimal,
        balance: Decimal,
        since: datetime | None,
        bills: list[StoredOpenBill],
        zone: str,
    ) -> None:
        super().__init__(403, "account_stopped", "the service is stopped, and the console with it")
        self.visitor = visitor
        self.shown = {"account_id": account_id, "owed": owed, "balance": balance, "since": since, "bills": bills}
        self.zone = zone


def closed_page(request: Request, problem: ClosedError) -> Response:
    """The one page there is. It asks again by itself, and opens when nothing is owed any more."""
    fmt = LocaleFormat(look_of(request).language, ZoneInfo(problem.zone))
    return plain(request, problem.visitor, "closed.html", 403, **problem.shown | {"fmt": fmt})


async def open_visitor(request: Request, visitor: AnyVisitor) -> Visitor:
    """Dependency: who looks at a page. Raises SignInNeededError, and ClosedError for a stopped customer."""
    if visitor.caller.role is Role.ACCOUNT:
        services: Services = request.app.state.services
        closed = await services.store.read(lambda connection: _closed(connection, visitor))
        if closed is not None:
            raise closed
    return visitor


def _closed(connection: Connection, visitor: Visitor) -> ClosedError | None:
    if visitor.caller.account_id is None:
        return None
    account_id = visitor.caller.account_id
    account = account_by_id(connection, account_id)
    if account is None or account.state is not Service.STOPPED:
        return None
    rules = rules_of(connection)
    zone = rules.time_zone if rules else "UTC"
    bills = open_bills(connection, account_id)
    return ClosedError(visitor, account_id, account.owed, account.balance, account.since, bills, zone)


async def is_closed(request: Request, visitor: Visitor) -> bool:
    """Whether the visitor's console is closed just now."""
    services: Services = request.app.state.services
    return await services.store.read(lambda connection: _closed(connection, visitor)) is not None


async def operator(visitor: Annotated[Visitor, Depends(open_visitor)]) -> Visitor:
    """Dependency: an operator. Raises Problem (403) for anybody else."""
    visitor.caller.need(Role.OPERATOR)
    return visitor


OpenVisitor = Annotated[Visitor, Depends(open_visitor)]
OperatorVisitor = Annotated[Visitor, Depends(operator)]
