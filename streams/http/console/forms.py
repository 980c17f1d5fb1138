"""The forms that command something: what each asks for, what is wrong with what was filled in, and its command.

A form with a number is the command of that number (a payment's, a ticket's): sent twice, from whichever page, it is
done once. What moves money is shown before it is done, and asked once more.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from meter.billing_models import MONEY_PATTERN
from meter.regions import REGION_CODES
from streams.http.placing import KEY_PATTERN

Values = Mapping[str, str]
#: Says what is wrong with a field, as a message of the catalogues; None: nothing.
Check = Callable[[str], str | None]


def _(message: str) -> str:
    """Marks a message for the catalogues."""
    return message


class CommandForm(NamedTuple):
    """A form: its command, what it asks for in order, and whether it is shown before it is done.

    `fields`: of the command, where they are others than what was filled in.
    """

    command: str
    checks: Mapping[str, Check]
    is_reviewed: bool = True
    fields: Callable[[Values], dict[str, Any]] | None = None

    @property
    def has_number(self) -> bool:
        """Whether the command's id is filled in."""
        return "number" in self.checks

    def wrong(self, values: Values) -> dict[str, str]:
        """What is wrong, by field."""
        said = {name: check(values.get(name, "")) for name, check in self.checks.items()}
        return {name: message for name, message in said.items() if message is not None}

    def command_fields(self, values: Values) -> dict[str, Any]:
        """The command's fields of what was filled in, in which nothing is wrong."""
        if self.fields is not None:
            return self.fields(values)
        return {name: values.get(name, "") for name in self.checks if name != "number"}


def _amount(value: str) -> str | None:
    if re.fullmatch(MONEY_PATTERN, value) and re.search("[1-9]", value) and value[:1] != "-":
        return None
    return _("The amount is a number with at most 2 places, and more than 0.")


def _signed(value: str) -> str | None:
    if re.fullmatch(MONEY_PATTERN, value) and re.search("[1-9]", value):
        return None
    return _("The amount is a number with at most 2 places, and not 0.")


def _amount_or_none(value: str) -> str | None:
    return _amount(value) if value else None


def _text(most: int) -> Check:
    def check(value: str) -> str | None:
        if not value:
            return _("Fill this in.")
        return _("This is too long.") if len(value) > most else None

    return check


def _number(value: str) -> str | None:
    if not value:
        return _("Fill this in.")
    return None if re.fullmatch(KEY_PATTERN, value) else _("At most 128 letters, digits and signs of a keyboard.")


def _line(value: str) -> str | None:
    return None if re.fullmatch("[1-9][0-9]{0,5}", value) else _("The number of a line: 1 is the first.")


def _day(value: str) -> str | None:
    return None if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value) else _("A day, such as 2027-01-31.")


def _hours(value: str) -> str | None:
    return None if re.fullmatch("[0-9]{0,4}", value) else _("A whole number of hours.")


def _prices(value: str) -> str | None:
    return None if _read_prices(value) is not None else _("A line is REGION = CNY, each region once.")


def _read_prices(lines: str) -> dict[str, str] | None:
    """`ap-tokyo = 0.30`, a line each; None: they are not. Of unknown regions the meter says that they are."""
    prices: dict[str, str] = {}
    for line in filter(None, map(str.strip, lines.splitlines())):
        name, equals, price = (part.strip() for part in line.rpartition("="))
        region = REGION_CODES.get(name, name)
        if not equals or region in prices:
            return None
        prices[region] = price
    return prices


def _anything(_value: str) -> str | None:
    return None


def _credit(values: Values) -> dict[str, Any]:
    return {name: values[name] for name in ("bill_id", "amount", "reason")} | {"line": int(values["line"])}


def _low_balance(values: Values) -> dict[str, Any]:
    return {"threshold": values.get("threshold") or None}


def _contract(values: Values) -> dict[str, Any]:
    grace = values.get("grace_hours", "")
    return {
        "effective_from": values["effective_from"],
        "mode": values.get("mode") or None,
        "prices": _read_prices(values.get("prices", "")) or {},
        "grace_hours": int(grace) if grace else None,
    }


_ID, _REASON = _text(128), _text(500)

#: Of an account, by what its address ends with.
FORMS: dict[str, CommandForm] = {
    "top-up": CommandForm("top_up", {"amount": _amount, "number": _number}),
    "refund": CommandForm("refund", {"bill_id": _ID, "ticket": _ID, "amount": _amount}),
    "adjust": CommandForm("adjustment", {"amount": _signed, "reason": _REASON, "number": _number}),
    "charge": CommandForm("charge", {"amount": _amount, "reason": _REASON, "number": _number}),
    "credit-note": CommandForm(
        "credit_note",
        {"bill_id": _ID, "line": _line, "amount": _amount, "reason": _REASON, "number": _number},
        fields=_credit,
    ),
    "reversal": CommandForm("payment_reversed", {"top_up": _ID}),
    "contract": CommandForm(
        "contract",
        {"effective_from": _day, "mode": _anything, "prices": _prices, "grace_hours": _hours},
        fields=_contract,
    ),
    "withdraw-contract": CommandForm("withdraw_contract", {"contract_id": _ID}),
    "threshold": CommandForm("low_balance", {"threshold": _amount_or_none}, False, _low_balance),
}
#: Those that a customer may send, too.
CUSTOMERS = {"threshold": FORMS["threshold"]}
OPEN = CommandForm("open_account", {"account_id": _ID}, False)
WITHDRAW_BOOK = CommandForm("withdraw_price_book", {"version": _ID})

#: A code of the meter -> the field that it is about; where a form has none of these, it is said of the whole form.
FIELD_OF: dict[str, tuple[str, ...]] = {
    "bad_amount": ("amount", "threshold"),
    "over_balance": ("amount",),
    "over_paid": ("amount",),
    "over_credited": ("amount",),
    "not_paid": ("bill_id",),
    "unknown_bill": ("bill_id",),
    "no_such_line": ("line",),
    "ticket_conflict": ("ticket",),
    "key_reused": ("number",),
    "id_reused": ("number",),
    "bad_key": ("number",),
    "unknown_payment": ("top_up",),
    "already_reversed": ("top_up",),
    "unknown_contract": ("contract_id",),
    "unknown_version": ("version",),
    "effective_in_past": ("effective_from",),
    "overlapping": ("effective_from",),
    "mode_mid_month": ("effective_from",),
    "bad_price": ("prices",),
    "unknown_region": ("prices",),
    "account_exists": ("account_id",),
}


def field_of(form: CommandForm, code: str) -> str | None:
    """The field of a form that a refusal is about; None: the whole form."""
    return next((name for name in FIELD_OF.get(code, ()) if name in form.checks), None)
