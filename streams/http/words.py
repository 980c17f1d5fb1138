"""Names and refusals of the contract in a reader's words.

What the meter and the API say of a refusal is English, and is published so. In another language it is told by its
sentence: the catalogue has each sentence with places for what it quotes, `there is no account {1}: open it first`. A
sentence that it does not know is told by its code alone. Tests hold that every code and every sentence is there.
"""

import re
from collections.abc import Mapping
from functools import cache

from streams.http.languages import DEFAULT, translations

#: The context of sentences in the catalogue.
SENTENCE = "sentence"
_MAX_CHARS = 400
_PLACE = re.compile(r"\{([1-9])\}")
_OF_A_FIELD = re.compile(r"([\w.*-]{1,100}): (.+)", re.DOTALL)
_QUOTED = re.compile(r"(['\"])(.*)\1", re.DOTALL)


def word(language: str, what: str, name: str) -> str:
    """A name of the contract in a reader's words; as it is where there are none."""
    found = WORDS[what].get(name)
    return name if found is None else text(language, found)


def text(language: str, message: str) -> str:
    """A message in a language."""
    return translations(language).gettext(message)


def reason(language: str, code: str, message: str | None) -> str:
    """What a refusal says, in a reader's language: by its sentence, else by its code."""
    if language == DEFAULT:
        return message or code
    told = _told(language, (message or "")[:_MAX_CHARS])
    return told or text(language, REFUSALS.get(code, REFUSALS["refused"]))


def _told(language: str, message: str) -> str | None:
    """A message by its sentence, which may be about a field; None where it is not known."""
    said, _semicolon, hint = message.rpartition("; ")
    if said and (told_hint := _told(language, hint)) and (told := _told(language, said)):
        return f"{told.rstrip('。')}，{told_hint}"
    for pattern, meaning in _sentences(language):
        if found := pattern.fullmatch(message):
            return _filled(language, meaning, found.groups())
    of_field = _OF_A_FIELD.fullmatch(message)
    told = _told(language, of_field[2]) if of_field else None
    if told is None or of_field is None:
        return None
    field = of_field[1].rpartition(".")[2]
    name = word(language, "field", field)
    return told if told.startswith(name[:2]) else name + text(language, _(": ")) + told  # it says so itself


def _filled(language: str, meaning: str, values: tuple[str, ...]) -> str:
    """The meaning with what was quoted; of that, what is a sentence itself is told as well, without its full stop."""

    def value(place: re.Match[str]) -> str:
        given = values[int(place[1]) - 1]
        quoted = _QUOTED.fullmatch(given)
        if quoted:
            return quoted[2] or text(language, _("(empty)"))
        return (_told_all(language, given) or given).rstrip("。")

    return _PLACE.sub(value, meaning)


def _told_all(language: str, given: str) -> str | None:
    """One sentence, or several with commas between them."""
    told = [_told(language, each) for each in given.split(", ")]
    return _told(language, given) or ("，".join(each for each in told if each) if all(told) else None)


@cache
def _sentences(language: str) -> list[tuple[re.Pattern[str], str]]:
    """The sentences of the catalogue as patterns, those with the most words of their own first."""
    mark = f"{SENTENCE}\x04"  # as gettext keeps a message with its context
    catalogue: Mapping[object, str] = getattr(translations(language), "_catalog", {})
    found = [(str(key).removeprefix(mark), told) for key, told in catalogue.items() if str(key).startswith(mark)]
    found.sort(key=lambda each: -len(_PLACE.sub("", each[0])))
    return [(re.compile(pattern_of(sentence), re.DOTALL), told) for sentence, told in found]


def pattern_of(sentence: str) -> str:
    """A regular expression of a sentence: its places may be anything."""
    return "".join(re.escape(part) if at % 2 == 0 else "(.*?)" for at, part in enumerate(_PLACE.split(sentence)))


def _(message: str) -> str:
    """Marks a message for the catalogues."""
    return message


#: Every code of a refused record, a refused command and a problem, as a sentence.
REFUSALS: dict[str, str] = {
    # records
    "not_json": _("What was sent is not JSON."),
    "duplicate_key": _("A key stands there twice."),
    "bad_fields": _("A field is missing or wrong."),
    "unknown_kind": _("There is no such kind of recognition."),
    "unknown_region": _("There is no such region."),
    "bad_duration": _("The duration is a number of seconds, more than 0 and at most 31536000."),
    "no_offset": _("A time needs its offset."),
    "misplaced": _("The record is on another account's partition."),
    "address_too_long": _("The address is too long."),
    "proof_unavailable": _("The bill could not be verified. Try again later."),
    "too_large": _("What was sent is too large."),
    "in_future": _("The time is in the future."),
    "too_old": _("The time is too long ago."),
    "clock_ahead": _("The broker's clock was ahead. Send this form again as it is."),
    "conflict": _("The job was metered before with other content."),
    # commands
    "bad_amount": _("The amount is a number with at most 2 places, and more than 0."),
    "bad_price": _("A price is a number with at most 8 places."),
    "unknown_command": _("There is no such command."),
    "unknown_account": _("There is no such account."),
    "account_exists": _("This account is open already."),
    "over_balance": _("That would take more than the balance."),
    "not_paid": _("Nothing was paid on this bill, or not lately."),
    "over_paid": _("That is more than was paid on this bill and not given back."),
    "ticket_conflict": _("This ticket refunded another amount or bill."),
    "effective_in_past": _("This day is over or begins too soon, or jobs of it were metered already."),
    "overlapping": _("The account has a contract from this day on, or from a later one."),
    "mode_mid_month": _("Another settlement begins on the 1st of a month."),
    "id_reused": _("This id was used for another command."),
    "wrong_partition": _("The command is on another account's partition."),
    "not_simulated": _("The clock of this meter cannot be moved."),
    "unknown_payment": _("There is no such top-up, or not lately."),
    "already_reversed": _("This top-up was reversed before."),
    "unknown_bill": _("There is no bill or debit note that could be credited."),
    "no_such_line": _("The bill has no such line."),
    "over_credited": _("That is more than can be credited on this line."),
    "unknown_contract": _("The account has no such contract."),
    "too_many_open": _("Too many bills and debit notes are not paid."),
    "unknown_version": _("There is no such price book."),
    "version_exists": _("There is a price book of this version already."),
    "missing_zone": _("A price zone has no price."),
    "unknown_zone": _("There is no such price zone."),
    # the API's own
    "changed": _("It was changed meanwhile. Look at it again."),
    "unknown_parameter": _("There is no such parameter."),
    "repeated_parameter": _("A parameter is given more than once."),
    "key_reused": _("This number was used for something else. Take another one, or load the page again."),
    "bad_key": _("At most 128 letters, digits and signs of a keyboard."),
    "bad_cursor": _("There is no such page of the list."),
    "bad_length": _("There are too many in one request, or none."),
    "bad_request": _("The request is wrong."),
    "busy": _("Somebody else does the same just now. Try again a little later."),
    "completions_refused": _("Some completions are wrong; none was taken."),
    "not_redriven": _("It would only be refused again."),
    "not_signed_in": _("Sign in first."),
    "forbidden": _("This is not yours to do."),
    "operator_first": _("Make an operator's token first."),
    "stale_form": _("This form is old. Load the page again."),
    "account_stopped": _("The account is stopped."),
    "not_found": _("There is no such thing."),
    "method_not_allowed": _("This address does not do that."),
    "unsupported_media_type": _("This kind of content is not taken."),
    "too_many_requests": _("Too many requests. Wait a moment."),
    "refused": _("The request was refused."),
    "no_figures": _("There are no figures yet."),
    "internal_error": _("This should not have happened."),
    "unavailable": _("This is not to be had just now. Try again a little later."),
    "store_unavailable": _("The read model is away."),
    "kafka_unavailable": _("Kafka is away, or did not confirm. Send this form again as it is: it counts once."),
}

#: Names of the contract by what they are of.
WORDS: dict[str, dict[str, str]] = {
    "kind": {
        "face": _("face"),
        "text": _("text"),
        "speech": _("speech"),
        "opening_ending": _("opening and ending"),
        "frame_tag": _("frame tags"),
    },
    "cause": {
        "top_up": _("Top-up"),
        "bill": _("Bill"),
        "payment": _("Payment"),
        "refund": _("Refund"),
        "adjustment": _("Adjustment"),
        "charge": _("Charge"),
        "payment_reversed": _("Reversed payment"),
        "credit_note": _("Credit note"),
    },
    "book": {
        "cash": _("cash"),
        "balance": _("balance"),
        "receivable": _("receivable"),
        "revenue": _("revenue"),
        "rounding": _("rounding"),
        "refunds": _("refunds"),
        "adjustments": _("adjustments"),
        "charges": _("charges"),
        "credits": _("credits"),
    },
    "action": {
        "open_account": _("Open account"),
        "top_up": _("Top-up"),
        "adjustment": _("Adjustment"),
        "refund": _("Refund"),
        "low_balance": _("Low-balance notice"),
        "contract": _("Contract"),
        "charge": _("Charge"),
        "payment_reversed": _("Reversed payment"),
        "credit_note": _("Credit note"),
        "withdraw_contract": _("Contract withdrawn"),
        "withdraw_price_book": _("Price book withdrawn"),
        "price_book": _("Price book"),
        "redrive": _("Send again"),
        "create_token": _("Token made"),
        "revoke_token": _("Token revoked"),
        "add_webhook": _("Webhook added"),
        "remove_webhook": _("Webhook removed"),
        "retry_webhook": _("Webhook messages tried again"),
    },
    "outcome": {
        "done": _("Done"),
        "refused": _("Refused"),
        "sent": _("Sent, not answered yet"),
        "new": _("Taken in"),
    },
    "code": {
        "not_json": _("Not JSON"),
        "duplicate_key": _("A key stands there twice"),
        "bad_fields": _("Fields missing or wrong"),
        "unknown_kind": _("Unknown kind"),
        "unknown_region": _("Unknown region"),
        "bad_duration": _("Wrong duration"),
        "no_offset": _("Time without an offset"),
        "misplaced": _("On a wrong partition"),
        "too_large": _("Too large"),
        "in_future": _("In the future"),
        "too_old": _("Too old"),
        "clock_ahead": _("Stamped by a clock that was ahead"),
        "conflict": _("Conflict with another report"),
    },
    "role": {"operator": _("operator"), "account": _("customer"), "producer": _("producer")},
    "clock": {"broker": _("the broker's"), "simulated": _("simulated")},
    "mode": {"daily": _("daily"), "monthly": _("monthly")},
    "field": {
        "account_id": _("Account"),
        "amount": _("Amount"),
        "bill_id": _("Bill"),
        "command_id": _("Id of the command"),
        "completed_at": _("Completed at"),
        "contract_id": _("Contract"),
        "currency": _("Currency"),
        "data": _("Data"),
        "duration_s": _("Duration in seconds"),
        "effective_from": _("From"),
        "grace_hours": _("Grace in hours"),
        "issued_at": _("Issued"),
        "job_id": _("Job"),
        "kinds": _("Recognised"),
        "line": _("Line"),
        "mode": _("Settled"),
        "number": _("Number"),
        "position": _("Where"),
        "prices": _("Prices"),
        "reason": _("Reason"),
        "region": _("Region"),
        "set": _("Corrected"),
        "specversion": _("Version of CloudEvents"),
        "role": _("Role"),
        "label": _("Label"),
        "token": _("Token"),
        "user": _("User of the system"),
        "expires_at": _("Ends"),
        "webhook_id": _("Webhook"),
        "url": _("Address"),
        "events": _("Events"),
        "threshold": _("Below"),
        "ticket": _("Ticket"),
        "top_up": _("Top-up"),
        "type": _("What"),
        "version": _("Version"),
    },
    "refusal": REFUSALS,
}
