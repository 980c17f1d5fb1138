"""The bills of a period as a FOCUS 1.2 cost and usage file: one row a line of a bill, and one for its rounding.

The `BilledCost` of an `InvoiceId` sums to what is payable on that bill or charge. Late lines have the charge class
Correction. Charges, credit notes, refunds and adjustments by hand are on no bill: they are rows of the day on which
they were entered. A payment that was reversed is no cost.
"""

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine, select

from meter.ledger import Book, Cause
from meter.money import CURRENCY, EXACT, ZERO, decimal_text
from meter.periods import BillingDays
from meter.prices import PriceBooks
from meter.readback import PublishedBill, PublishedBillLine
from meter.regions import REGIONS, ZONE_OF
from meter.rules import Rules
from meter.settlement import Kind
from streams.export.files import as_text, whole
from streams.export.jobs import Written
from streams.export.period import ExportPeriod
from streams.store.database import one_moment
from streams.store.queries.commands import books_of, price_books
from streams.store.schema import bill, ledger_entry, posting
from streams.text.visible import cell

PIECE_ROWS = 5_000
SERVICE = "Content recognition"
SKU = "content-recognition"
UNIT = "Minutes"
_ENGLISH = {region.code: region.english for region in REGIONS}

#: The causes of the ledger that are costs beside the bills, each with the book that says how much.
_BESIDE = {
    Cause.CHARGE: Book.CHARGES,
    Cause.CREDIT_NOTE: Book.CREDITS,
    Cause.REFUND: Book.REFUNDS,
    Cause.ADJUSTMENT: Book.ADJUSTMENTS,
}

COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd",
    "ChargePeriodStart", "CommitmentDiscountStatus", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
    "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice",
    "PricingCategory", "PricingCurrency", "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "RegionId",
    "RegionName", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails",
    "SkuPriceId", "x_Jobs", "x_OriginalInvoiceId", "x_Reference",
)  # fmt: skip

#: One row of the file, by column; what is absent is null.
Charge = dict[str, str | int | None]


_read_bill = msgspec.json.Decoder(PublishedBill).decode


def export_focus(
    engine: Engine, rules: Rules, span: ExportPeriod, issuer: str, account: str | None, out: Path
) -> Written:
    """Write `focus-<period>.csv`. `issuer`: who bills. Raises MeterError where it cannot be written."""
    path = out / f"focus-{span.period}.csv"
    with one_moment(engine).connect() as connection:
        charges = Charges(rules, books_of(price_books(connection, rules)), issuer)
        with whole(path) as file, as_text(file) as text:
            table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
            table.writeheader()
            rows = 0
            for charge in _charges(connection, charges, span, account):
                table.writerow({name: cell(said) if isinstance(said, str) else said for name, said in charge.items()})
                rows += 1
    return Written(path, rows)


def _charges(connection: Connection, charges: "Charges", span: ExportPeriod, account: str | None) -> Iterator[Charge]:
    bills = select(bill.c.value).where(bill.c.period >= span.period, bill.c.period <= span.last)
    posted = (posting.c.partition == ledger_entry.c.partition) & (posting.c.position == ledger_entry.c.position)
    entries = select(*ledger_entry.c, posting.c.amount).join(posting, posted & posting.c.book.in_(_BESIDE.values()))
    entries = entries.where(
        ledger_entry.c.cause.in_(_BESIDE),
        ledger_entry.c.at >= charges.start_of(span.days[0]),
        ledger_entry.c.at < charges.start_of(_next_day(span.last)),
    )
    if account is not None:
        bills = bills.where(bill.c.account_id == account)
        entries = entries.where(ledger_entry.c.account_id == account)
    streamed = connection.execution_options(yield_per=PIECE_ROWS)
    for value in streamed.scalars(bills.order_by(bill.c.period, bill.c.bill_id)):
        yield from charges.of_bill(_read_bill(value))
    for row in streamed.execute(entries.order_by(ledger_entry.c.partition, ledger_entry.c.position)):
        yield charges.of_entry(row.entry_id, row.account_id, row.at, row.cause, row.reference, row.reason, row.amount)


class Charges:
    """Makes rows: of a meter with these rules and price books, billed by `issuer`."""

    def __init__(self, rules: Rules, books: PriceBooks, issuer: str) -> None:
        self._days = BillingDays(rules.time_zone)
        self._books = books
        self._issuer = issuer

    def start_of(self, day: str) -> datetime:
        """When a billing day begins."""
        return self._days.start_of(date.fromisoformat(day))

    def of_bill(self, issued: PublishedBill) -> Iterator[Charge]:
        """The rows of a bill; their costs sum to what is payable."""
        first, last = _days_of(issued.period)
        common = self._common(issued.account_id, first, last, issued.bill_id)
        for line in issued.lines:
            yield self._line(common, line)
        if Decimal(issued.rounding):
            yield common | {
                **_costs(issued.rounding),
                "ChargeCategory": "Adjustment",
                "ChargeDescription": f"Rounding of bill {issued.bill_id} to 0.01 {CURRENCY}",
                "ChargeFrequency": "One-Time",
            }

    def _line(self, common: Charge, line: PublishedBillLine) -> Charge:
        listed = self._books.price_for(line.region, line.day)
        late = line.kind == Kind.LATE
        where = _ENGLISH.get(line.region, line.region)
        minutes = decimal_text(Decimal(line.minutes))  # FOCUS has decimals for quantities
        start, end = self._instants(line.day, line.day)
        return common | {
            **_costs(line.amount),
            "ChargeCategory": "Usage",
            "ChargeClass": "Correction" if late else None,
            "ChargeDescription": f"{SERVICE}, {where}, {line.day}" + (", recorded late" if late else ""),
            "ChargeFrequency": "Usage-Based",
            "ChargePeriodStart": start,
            "ChargePeriodEnd": end,
            "ConsumedQuantity": minutes,
            "ConsumedUnit": UNIT,
            "ContractedUnitPrice": line.unit_price,
            "ListCost": decimal_text(EXACT.multiply(listed.unit_price, Decimal(line.minutes))),
            "ListUnitPrice": listed.unit_price_text,
            "PricingCategory": "Standard",
            "PricingCurrencyContractedUnitPrice": line.unit_price,
            "PricingCurrencyListUnitPrice": listed.unit_price_text,
            "PricingQuantity": minutes,
            "PricingUnit": UNIT,
            "RegionId": line.region,
            "RegionName": where,
            "SkuId": SKU,
            "SkuMeter": "Video minutes",
            "SkuPriceDetails": msgspec.json.encode({"x_PriceZone": ZONE_OF[line.region]}).decode(),
            "SkuPriceId": f"{listed.version}/{ZONE_OF[line.region]}",
            "x_Jobs": line.jobs,
            "x_OriginalInvoiceId": line.original_bill_id,
        }

    def of_entry(
        self,
        entry_id: str,
        account_id: str,
        at: datetime,
        cause: str,
        reference: str,
        reason: str | None,
        amount: Decimal,
    ) -> Charge:
        """The row of an entry beside the bills: what its book is debited, `amount` in CNY, is a negative cost."""
        day = at.astimezone(self._days.zone).date().isoformat()
        is_credit = cause in (Cause.REFUND, Cause.CREDIT_NOTE)
        what = {
            Cause.CHARGE: f"Charge: {reason}",
            Cause.CREDIT_NOTE: f"Credit on {reference}: {reason}",
            Cause.REFUND: f"Refund of bill {reference}, ticket {reason}",
            Cause.ADJUSTMENT: f"Adjustment: {reason}",
        }
        return self._common(account_id, day, day, reference if cause == Cause.CHARGE else None) | {
            **_costs(decimal_text(EXACT.subtract(ZERO, amount))),
            "ChargeCategory": "Credit" if is_credit else "Adjustment",
            "ChargeClass": "Correction" if is_credit else None,
            "ChargeDescription": what[Cause(cause)],
            "ChargeFrequency": "One-Time",
            "x_OriginalInvoiceId": reference if is_credit else None,
            "x_Reference": entry_id,
        }

    def _common(self, account_id: str, first: str, last: str, bill_id: str | None) -> Charge:
        start, end = self._instants(first, last)
        return {
            "BillingAccountId": account_id,
            "BillingCurrency": CURRENCY,
            "BillingPeriodStart": start,
            "BillingPeriodEnd": end,
            "ChargePeriodStart": start,
            "ChargePeriodEnd": end,
            "PricingCurrency": CURRENCY,
            "InvoiceId": bill_id,
            "InvoiceIssuerName": self._issuer,
            "ProviderName": self._issuer,
            "PublisherName": self._issuer,
            "ServiceCategory": "AI and Machine Learning",
            "ServiceName": SERVICE,
            "ServiceSubcategory": "Other (AI and Machine Learning)",
        }

    def _instants(self, first: str, last: str) -> tuple[str, str]:
        return _utc(self.start_of(first)), _utc(self.start_of(_next_day(last)))


_COSTS = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "PricingCurrencyEffectiveCost")


def _costs(amount: str) -> Charge:
    return dict.fromkeys(_COSTS, amount)


def _days_of(period: str) -> tuple[str, str]:
    """The first and the last day of a bill's period."""
    if len(period) == 10:
        return period, period
    after = (date.fromisoformat(f"{period}-01") + timedelta(days=32)).replace(day=1)
    return f"{period}-01", (after - timedelta(days=1)).isoformat()


def _next_day(day: str) -> str:
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
