"""Commands that put right what cannot be edited: charges, credit notes, payments that bounced, what is not to begin."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import Field

from meter.billing_models import CreditLine, LineNumber
from meter.models import Id
from streams.http.access import Operator
from streams.http.bodies import JsonRoute
from streams.http.commands import ONE, SENT, AccountId, Body, Give, PositiveMoney
from streams.http.conditions import CONTRACTS, OnlyIf
from streams.http.documents import CommandDocument

router = APIRouter(prefix="/v1", tags=["commands"], route_class=JsonRoute)

Reason = Annotated[str, Field(min_length=1, max_length=500)]


class ChargeBody(Body):
    """What is owed beside the bills, with its reason."""

    amount: PositiveMoney = Field(examples=["5.00"])
    reason: Reason = Field(examples=["under-billed in May"])


class CreditBody(Body):
    """A line of a bill or debit note that came to too much; the first is 1."""

    bill_id: Id = Field(examples=["B20190103-559aead08264d579"], description="a bill or a debit note")
    line: LineNumber = Field(description=CreditLine.model_fields["line"].description, examples=[1])
    amount: PositiveMoney = Field(examples=["2.80"])
    reason: Reason = Field(examples=["ten minutes were black"])


class ReversalBody(Body):
    """The top-up that bounced, by its command id."""

    top_up: Id = Field(examples=["payment-4711"])


class ContractWithdrawalBody(Body):
    """The contract that is not to begin, by its command id."""

    contract_id: Id = Field(examples=["contract-2127"])


class BookWithdrawalBody(Body):
    """The price book that is not to begin."""

    version: Id = Field(examples=["2127"])


@router.post(ONE + "/charges", response_model=CommandDocument, responses=SENT)
async def charge(give: Give, who: Operator, account_id: AccountId, body: ChargeBody) -> CommandDocument:
    """Charge what the bills do not say: a debit note, owed like a bill."""
    return await give(who, "charge", body, account_id=account_id)


@router.post(ONE + "/credit-notes", response_model=CommandDocument, responses=SENT)
async def credit(give: Give, who: Operator, account_id: AccountId, body: CreditBody) -> CommandDocument:
    """Credit a line of a bill: it lowers what is owed where the bill is open, else it adds to the balance."""
    return await give(who, "credit_note", body, account_id=account_id)


@router.post(ONE + "/reversals", response_model=CommandDocument, responses=SENT)
async def reverse(give: Give, who: Operator, account_id: AccountId, body: ReversalBody) -> CommandDocument:
    """A top-up bounced: all that it brought is owed, by a debit note. Once for each, within 92 days."""
    return await give(who, "payment_reversed", body, account_id=account_id)


@router.post(ONE + "/withdrawals", response_model=CommandDocument, responses=SENT)
async def withdraw(
    give: Give, only_if: OnlyIf, who: Operator, account_id: AccountId, body: ContractWithdrawalBody
) -> CommandDocument:
    """Withdraw a contract that has not begun: what it would have replaced holds on."""
    async with only_if.holds(account_id, CONTRACTS):
        return await give(who, "withdraw_contract", body, account_id=account_id)


@router.post("/prices/withdrawals", response_model=CommandDocument, responses=SENT)
async def withdraw_book(give: Give, who: Operator, body: BookWithdrawalBody) -> CommandDocument:
    """Withdraw a price book that has not begun, on all partitions, in one transaction."""
    return await give(who, "withdraw_price_book", body)
