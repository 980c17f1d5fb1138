"""Routes of commands: top-ups, refunds, contracts, price books; what became of one; and who gave which."""

import json
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from sqlalchemy import Connection, select

from meter.billing_models import AgreeContract, Hours, Money, Positive
from meter.contracts import EVERY_REGION, Mode
from meter.models import Id, PriceBookCommand
from meter.prices import PRICE
from meter.regions import ZONE_OF, ZONES
from streams.commands.verdict import is_final
from streams.commands.writing import digest_of
from streams.http.access import AnyAccount, Anyone, OpenAccount, Operator, OrderedAccount
from streams.http.answers import After, Ask, BillingDay, Limit, Page, answer, page_of
from streams.http.bodies import JsonRoute
from streams.http.callers import Caller, Role
from streams.http.conditions import CONTRACTS, LOW_BALANCE, OnlyIf, contracts_document, low_balance_document
from streams.http.documents import AuditItem, CommandDocument, ContractsDocument, LowBalanceDocument
from streams.http.paths import one, segment
from streams.http.placing import KEY_PATTERN, Order, answered, note_outcome
from streams.http.problems import KEY_HEADER, PROBLEMS, not_found
from streams.http.services import AllServices, Services
from streams.process.waiting import until
from streams.store.kept_tables import audit_entry
from streams.store.queries import commands
from streams.store.queries.accounts import StoredAccount, account_by_id
from streams.store.queries.pages import page

router = APIRouter(prefix="/v1", tags=["commands"], route_class=JsonRoute)
ONE = "/accounts" + one("account_id")

Key = Annotated[
    str,
    Header(
        alias=KEY_HEADER,
        pattern=KEY_PATTERN,
        description="sent again with the same key, a command is done once and has the same answer; a payment's number",
        examples=["payment-4711"],
    ),
]
AccountId = Annotated[str, Path(min_length=1, max_length=128)]
SHOWN_WITHIN_S = 2.0
LOOK_EVERY_S = 0.05
SENT: dict[int | str, dict[str, Any]] = {
    **PROBLEMS,
    202: {"model": CommandDocument, "description": "In the log, and not answered yet: `Location` is where to ask"},
}


#: The meter's own readers of money, with a pattern that says all that they refuse.
_AMOUNT = r"(?=.*[1-9])[0-9]{1,12}(\.[0-9]{1,2})?$"
PositiveMoney = Annotated[Positive, WithJsonSchema({"type": "string", "pattern": f"^{_AMOUNT}"})]
NonZeroMoney = Annotated[Money, WithJsonSchema({"type": "string", "pattern": f"^-?{_AMOUNT}"})]


_PRICE: Any = {"type": "string", "pattern": f"^{PRICE.pattern}$"}


class Body(BaseModel):
    """What a command says. Money is a decimal string in CNY of at most 2 places."""

    model_config = ConfigDict(extra="forbid")


class OpenBody(Body):
    """An account to open before its first job, which opens it too."""

    account_id: Id = Field(examples=["A"])


class TopUpBody(Body):
    """What a customer has paid in."""

    amount: PositiveMoney = Field(examples=["100.00"])


class RefundBody(Body):
    """What to give back of a paid bill, by ticket."""

    ticket: Id = Field(examples=["T-1"])
    bill_id: Id = Field(examples=["B20190103-559aead08264d579"])
    amount: PositiveMoney = Field(examples=["5.00"])


class AdjustBody(Body):
    """A correction by hand, up or down, with its reason."""

    amount: NonZeroMoney = Field(examples=["-5.00"])
    reason: Annotated[str, Field(min_length=1, max_length=500)] = Field(examples=["booked twice"])


class LowBalanceBody(Body):
    """The balance below which the customer gets a notice; null: no longer."""

    threshold: PositiveMoney | None = Field(examples=["20.00"])


class ContractBody(Body):
    """A contract from a billing day on, at least an hour from now; a change of mode on the 1st of a month."""

    effective_from: BillingDay = Field(examples=["2027-01-01"])
    mode: Mode | None = Field(None, description=AgreeContract.model_fields["mode"].description)
    prices: dict[str, str] = Field(
        default_factory=dict,
        description="region code, price zone or * -> CNY per minute",
        json_schema_extra={"propertyNames": {"enum": [EVERY_REGION, *ZONE_OF]}, "additionalProperties": _PRICE},
        examples=[{"*": "0.30", "ap-guangzhou": "0.25"}],
    )
    grace_hours: Hours | None = Field(None, description=AgreeContract.model_fields["grace_hours"].description)


class PriceBookBody(Body):
    """A price book: CNY per minute for each price zone, from a billing day on.

    It is the file that `meter prices publish` takes, whatever else that says: one format for both.
    """

    model_config = ConfigDict(extra="ignore")

    v: Annotated[Literal[1], WithJsonSchema({"type": "integer", "enum": [1]})] = Field(1, exclude=True)
    type: Literal["price_book"] = Field("price_book", exclude=True)
    currency: Literal["CNY"] = "CNY"
    version: Id = Field(examples=["2027"])
    effective_from: BillingDay = Field(examples=["2027-01-01"])
    prices: dict[str, str] = Field(
        description=PriceBookCommand.model_fields["prices"].description,
        json_schema_extra={
            "propertyNames": {"enum": list(ZONES)},
            "minProperties": len(ZONES),
            "additionalProperties": _PRICE,
        },
        examples=[dict.fromkeys(ZONES, "0.30")],
    )


class Giving:
    """Gives the command of a request to the meter, and answers with what became of it."""

    def __init__(self, request: Request, response: Response, services: AllServices, key: Key) -> None:
        self._request = request
        self._response = response
        self._desk = services.desk
        self._key = key

    async def __call__(self, who: Caller, kind: str, body: Body, **others: str) -> CommandDocument:
        """Its fields are the body's and `others`. Raises Problem as `CommandPlacer.order` does."""
        remote = self._request.client.host if self._request.client else None
        fields = others | body.model_dump(mode="json")
        order = await self._desk.order(who, remote, kind, self._key, **fields)
        order.raise_if_refused()
        if order.outcome == "sent":
            self._response.status_code = 202
            self._response.headers["Location"] = f"/v1/commands/{quote(order.command_id, safe='')}"
            self._response.headers["Retry-After"] = "1"
        return CommandDocument.model_validate(order)


Give = Annotated[Giving, Depends()]


@router.post("/accounts", status_code=201, response_model=CommandDocument, responses=SENT)
async def open_account(
    response: Response, services: AllServices, give: Give, who: Operator, body: OpenBody
) -> CommandDocument:
    """Open an account: daily mode, no balance. `Location` is the account, which is there once the read model has it."""
    done = await give(who, "open_account", body)
    if done.outcome == "done":
        response.headers["Location"] = f"/v1/accounts/{segment(body.account_id)}"
        await _await_shown(services, body.account_id)
    return done


async def _await_shown(services: Services, account_id: str) -> None:
    """Wait until the read model has an account. It is behind the meter by a moment; longer is not waited."""

    async def look() -> StoredAccount | None:
        return await services.store.read(lambda connection: account_by_id(connection, account_id))

    await until(look, bool, every_s=LOOK_EVERY_S, within_s=SHOWN_WITHIN_S)


@router.post(ONE + "/top-ups", response_model=CommandDocument, responses=SENT)
async def top_up(give: Give, who: Operator, account_id: AccountId, body: TopUpBody) -> CommandDocument:
    """Add what a customer has paid in. Open bills are paid from it, oldest first."""
    return await give(who, "top_up", body, account_id=account_id)


@router.post(ONE + "/refunds", response_model=CommandDocument, responses=SENT)
async def refund(give: Give, who: Operator, account_id: AccountId, body: RefundBody) -> CommandDocument:
    """Give back to the balance what was paid on a bill or debit note. The same ticket again changes nothing."""
    return await give(who, "refund", body, account_id=account_id)


@router.post(ONE + "/adjustments", response_model=CommandDocument, responses=SENT)
async def adjust(give: Give, who: Operator, account_id: AccountId, body: AdjustBody) -> CommandDocument:
    """Correct a balance by hand, up or down; more than there is cannot be taken: that is a charge."""
    return await give(who, "adjustment", body, account_id=account_id)


@router.post(ONE + "/contracts", response_model=CommandDocument, responses=SENT)
async def agree(
    give: Give, only_if: OnlyIf, who: Operator, account_id: AccountId, body: ContractBody
) -> CommandDocument:
    """Agree a contract: an account's own prices, mode and arrears terms, in place of the one before."""
    async with only_if.holds(account_id, CONTRACTS):
        return await give(who, "contract", body, account_id=account_id)


@router.get(ONE + "/contracts", response_model=ContractsDocument, responses=PROBLEMS)
async def list_contracts(ask: Ask, account: AnyAccount) -> Response:
    """An account's contracts, by their start. `ETag` is for `If-Match` of those who change them."""
    return await ask(lambda connection: contracts_document(connection, account))


@router.put(ONE + "/low-balance", response_model=CommandDocument, responses=SENT)
async def set_low_balance(
    give: Give, only_if: OnlyIf, who: Anyone, account: OrderedAccount, body: LowBalanceBody
) -> CommandDocument:
    """Set the balance below which the customer gets a notice. The customer may do that too."""
    async with only_if.holds(account, LOW_BALANCE):
        return await give(who, "low_balance", body, account_id=account)


@router.get(ONE + "/low-balance", response_model=LowBalanceDocument, responses=PROBLEMS)
async def show_low_balance(ask: Ask, account: OpenAccount) -> Response:
    """The balance below which the customer gets a notice. `ETag` is for `If-Match` of those who change it."""
    return await ask(lambda connection: low_balance_document(connection, account))


@router.post("/prices", response_model=CommandDocument, responses=SENT)
async def publish(give: Give, who: Operator, body: PriceBookBody) -> CommandDocument:
    """Publish a price book on all partitions, in one transaction."""
    return await give(who, "price_book", body)


@router.get("/commands" + one("command_id"), response_model=CommandDocument, responses=PROBLEMS)
async def show_command(request: Request, services: AllServices, who: Anyone, command_id: AccountId) -> Response:
    """What became of a command, whoever sent it and however."""
    who.need(Role.OPERATOR, Role.ACCOUNT)
    order = await services.store.write(lambda connection: _find(connection, who, command_id))
    return await answer(request, CommandDocument.model_validate(order))


def _find(connection: Connection, who: Caller, command_id: str) -> Order:
    """A command of the log or of the audit trail; the answer that is known by now is written down there.

    Where the id came for other commands too: that of the audit trail, else the one that has the id.
    """
    records = commands.command_by_id(connection, command_id)
    row = connection.execute(select(audit_entry).where(audit_entry.c.command_id == command_id)).first()
    whose = {record.account_id for record in records} | ({row.account_id} if row is not None else set())
    if not whose or (who.role is Role.ACCOUNT and whose != {who.account_id}):
        raise not_found(f"there is no command {command_id!r}")
    if row is not None and is_final(row.outcome, row.code):
        return Order(command_id, row.outcome, row.code, json.loads(row.detail).get("message"))
    own = None if row is None else digest_of(json.loads(row.detail)["command"])
    order = answered(connection, command_id, own) or Order(command_id, "sent")
    note_outcome(connection, order)
    return order


@router.get("/audit", response_model=Page[AuditItem], responses=PROBLEMS)
async def list_audit(ask: Ask, _: Operator, after: After = None, limit: Limit = 50) -> Response:
    """Commands given by way of this API and its console, the latest first: who, when, what, and the outcome."""
    return await ask(lambda connection: audit(connection, after=after, limit=limit))


def audit(connection: Connection, *, after: str | None = None, limit: int = 50) -> Page[AuditItem]:
    """A page of the audit trail, the latest first."""
    rows = page(
        connection,
        select(audit_entry),
        (audit_entry.c.id,),
        lambda row: {**row._mapping, "detail": json.loads(row.detail or "{}")},
        after=after,
        limit=limit,
        descending=True,
    )
    return page_of(AuditItem, rows)
