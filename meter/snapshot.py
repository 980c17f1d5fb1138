"""The state of a partition as records of the compacted topic `meter.state`, and back."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from meter.commands import Answer
from meter.money import decimal_text
from meter.partition import Keyed, PartitionState, Step
from meter.prices import PriceBook
from meter.rollup import Total

_encode = msgspec.json.Encoder(decimal_format="string").encode

POSITION = b'["position"]'


class StateError(Exception):
    """A record of `meter.state` that this version cannot read."""


def changes(step: Step) -> Iterator[Keyed]:
    """The records that a step writes to `meter.state`. The position comes last: it is what makes them true."""
    for (account, region, day), total in step.totals.items():
        yield (
            _encode(("total", account, region, day)),
            _encode((total.jobs, total.minutes, decimal_text(total.amount))),
        )
    for command_id, answer in step.commands.items():
        yield _encode(("command", command_id)), _encode(answer)
    count = len(step.state.books.published)
    for number, book in enumerate(step.new_books, count):
        prices = {zone: decimal_text(price) for zone, price in book.prices}
        yield (
            _encode(("book", number)),
            _encode({"version": book.version, "from": book.effective_from, "prices": prices}),
        )
    yield POSITION, _encode({"v": 1, "seq": step.seq, "record_time": step.record_time, "next": step.next})


class StateReader:
    """Reads `meter.state` into a PartitionState: hand it every record in order, then `finish`."""

    def __init__(self, state: PartitionState) -> None:
        self.state = state
        self._books: dict[int, PriceBook] = {}
        self.found = False

    def read(self, key: bytes | None, value: bytes | None) -> None:
        """One record. Raises StateError where it is not of this version."""
        try:
            self._read(msgspec.json.decode(key or b""), value)
        except (msgspec.MsgspecError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
            raise StateError(f"meter.state: cannot read the record with key {key!r}: {error}") from error

    def _read(self, key: Any, value: bytes | None) -> None:
        content = msgspec.json.decode(value or b"")
        match key:
            case ["total", account, region, day]:
                jobs, minutes, amount = content
                self.state.totals[account, region, day] = Total(jobs, minutes, Decimal(amount))
            case ["command", command_id]:
                self.state.commands[command_id] = Answer(*content)
            case ["book", number]:
                prices = tuple((zone, Decimal(price)) for zone, price in content["prices"].items())
                self._books[int(number)] = PriceBook(content["version"], content["from"], prices)
            case ["position"]:
                if content["v"] != 1:
                    raise ValueError(f"version {content['v']}")
                self.found = True
                self.state.seq, self.state.record_time = content["seq"], content["record_time"]
                self.state.next.update(content["next"])
            case _:
                raise ValueError("unknown kind of record")

    def finish(self) -> PartitionState:
        """The state, whole."""
        for _, book in sorted(self._books.items()):
            self.state.books = self.state.books.with_book(book)
        return self.state
