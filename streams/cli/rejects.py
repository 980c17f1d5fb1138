"""`meter rejects`: what was refused and why, and the way back in for what can be corrected."""

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence, Set
from typing import Annotated

import typer

from meter import topics
from meter.models import Rejected
from meter.periods import BillingDays
from meter.rejects import Code
from meter.rules import Rules
from streams.broker.connect import connected
from streams.cli.answers import note_waiting
from streams.cli.arguments import Account, Json, read_day
from streams.completions.redrive import Kept, Resend, final_reason, prepare, read_changes
from streams.completions.submit import BATCH_BYTES, JobSender, Stamps
from streams.errors import Exit, MeterError, SettingError
from streams.kafka.clients import sender
from streams.kafka.rights import REDRIVER, reading
from streams.kafka.topics import check
from streams.published.lag import COMPLETIONS, waiting
from streams.published.read import PartitionOffset, rejects, rejects_at
from streams.settings import Settings
from streams.terminal.output import complain, counted, note, say, say_fields, say_json, say_table

#: Of what is sent again by a code, so many are told, and so many of those that are not sent.
SHOWN = 10


CodeOption = Annotated[str | None, typer.Option(help="Only those refused with this code, such as unknown_region.")]


def list_rejects(
    code: CodeOption = None,
    account: Account = None,
    day: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Only those that came in on this billing day.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the refused records: when, why, whose, the money at risk.

    The position is that of the record in usage.rejected; `show` and
    `redrive` take it. Put right is one whose job was priced after it had
    been refused, as after a redrive: the read model knows that, once
    `meter projector` has come so far. --json prints one object a line.

    Example:
      meter rejects list --code unknown_region
    """
    code, day = _read_code(code), read_day(day)
    with connected(note) as settings:
        asyncio.run(_list(settings, code, account, day, as_json))


async def _list(settings: Settings, code: str | None, account: str | None, day: str | None, as_json: bool) -> None:
    rules = await check(settings, reading(topics.REJECTED, *COMPLETIONS))
    wait = await waiting(settings, rules)
    found = rejects(settings, rules, code=code, account=account, day=day)
    if as_json:
        async for position, rejected in found:
            say_json({"position": str(position), **rejected.model_dump(mode="json", exclude_none=True)})
        note_waiting(wait)
        return
    days = BillingDays(rules.time_zone)
    rows = [(position, _row(position, rejected, days)) async for position, rejected in found]
    note_waiting(wait)
    if not rows:
        note("nothing was refused")
        return
    put_right = await asyncio.to_thread(_put_right, settings, rules.meter_id)
    columns = ("position", "time", "code", "account", "job", "at risk", "put right", "reason")
    say_table(columns, [(*row[:-1], _mark(position, put_right), row[-1]) for position, row in rows])


def _mark(position: PartitionOffset, put_right: Set[PartitionOffset] | None) -> str:
    if put_right is None:
        return "not known"
    return "yes" if position in put_right else ""


def _put_right(settings: Settings, meter_id: str) -> Set[PartitionOffset] | None:
    """Those whose jobs were priced later; None where the read model does not tell."""
    try:
        from streams.cli.put_right import put_right  # noqa: PLC0415 - its packages need not be installed
    except ModuleNotFoundError:
        return None
    return put_right(settings, meter_id)


def _row(position: PartitionOffset, found: Rejected, days: BillingDays) -> tuple[str, ...]:
    return (
        str(position),
        days.text(found.source.timestamp),
        found.code,
        found.account_id or "",
        found.job_id or "",
        found.amount_at_risk or "",
        found.message,
    )


def show(
    position: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="In usage.rejected, from the list.")],
    as_json: Json = False,
) -> None:
    """Show one refused record: why, from where, and what it holds.

    Example:
      meter rejects show 3:17

    Exit codes: 0 shown; 1 there is no record at that position.
    """
    wanted = PartitionOffset.read(position)
    with connected(note) as settings:
        rules, found = asyncio.run(_one(settings, wanted))
    if as_json:
        say_json({"position": position, **found.model_dump(mode="json", exclude_none=True), "text": _text(found)})
    else:
        _print_one(wanted, found, rules)


async def _one(settings: Settings, position: PartitionOffset) -> tuple[Rules, Rejected]:
    rules = await check(settings, reading(topics.REJECTED))
    async for _, found in rejects_at(settings, rules, [position]):
        return rules, found
    raise AssertionError("rejects_at yields or raises")


def _print_one(position: PartitionOffset, found: Rejected, rules: Rules) -> None:
    source, time = found.source, BillingDays(rules.time_zone).text(found.source.timestamp)
    fields = {
        "position": str(position),
        "code": found.code,
        "reason": found.message,
        "account": found.account_id or "(not readable)",
        "job": found.job_id or "(not readable)",
        "at risk": f"{found.amount_at_risk} {found.currency}" if found.amount_at_risk else "(not known)",
        "came in": f"{source.topic}[{source.partition}] offset {source.offset}, {time}",
        "key": "(null)" if found.key is None else _decoded(found.key),
    }
    fields |= {f"header {header.key}": _decoded(header.value or "") for header in found.headers}
    if found.truncated is not None:
        fields["cut"] = f"of {found.truncated.bytes} bytes, SHA-256 {found.truncated.sha256}"
    say_fields(fields)
    say("record")
    text = _text(found)
    for line in ["(null)"] if text is None else text.splitlines() or ["(empty)"]:
        say(f"  {line}")


def _text(found: Rejected) -> str | None:
    """The record as it came, as text, with what is not UTF-8 escaped; None for a null value."""
    return None if found.record is None else _decoded(found.record)


def _decoded(data: str) -> str:
    return base64.b64decode(data).decode(errors="backslashreplace")


def redrive(
    positions: Annotated[
        list[str] | None, typer.Argument(metavar="PARTITION:OFFSET...", help="In usage.rejected, from the list.")
    ] = None,
    code: Annotated[str | None, typer.Option(help="All that were refused with this code.")] = None,
    set_fields: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Correct a field; kinds are listed with commas."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
) -> int:
    """Send refused records again, as they came or corrected.

    They go to the partition of their account. Safe to run twice: a job is
    charged once. Those that would only be refused again are not sent, and
    those of code too_old and conflict never are: their remedy is an
    adjustment. With --code the first ten are told, sent and not sent, and
    the others counted.

    Example:
      meter rejects redrive 3:17 3:18
      meter rejects redrive --code unknown_region --set region=Frankfurt

    Exit codes: 0 all were sent; 1 some were not (each line says why).
    """
    if bool(positions) == bool(code):
        raise SettingError("redrive takes positions or --code, one of them; `meter rejects list` shows what there is")
    wanted = [PartitionOffset.read(text) for text in positions or ()]
    changes = read_changes(set_fields or ())
    final = final_reason(_read_code(code) or "")
    if final is not None:
        raise MeterError(final)
    with connected(note) as settings:
        return asyncio.run(_redrive(settings, wanted, code, changes, dry_run))


async def _redrive(
    settings: Settings,
    positions: Sequence[PartitionOffset],
    code: str | None,
    changes: dict[str, bytes],
    dry_run: bool,
) -> int:
    rules = await check(settings, REDRIVER)
    stamps = Stamps(rules)
    told = RedriveTally(None if positions else SHOWN, dry_run)
    async with sender(settings, max_batch_size=BATCH_BYTES) as producer:
        jobs = JobSender(producer, settings.topic("recognition.jobs.completed"))
        async for position, rejected in _found(settings, rules, positions, code):
            outcome = prepare(position, rejected, changes, rules.partitions)
            told.tell(outcome)
            if not isinstance(outcome, Kept) and not dry_run:
                key, at_ms = outcome.account_id.encode(), stamps.of(outcome.completed_us)
                await jobs.put(outcome.partition, key, outcome.value, at_ms, outcome.headers)
        await jobs.finish()
    told.tell_of_others()
    if not dry_run:
        say(f"{counted(jobs.acknowledged, 'record')} acknowledged")
    elif not told.sent + told.kept:
        note("nothing was refused with this code")
    return Exit.FAILED if told.kept else Exit.OK


def _found(
    settings: Settings, rules: Rules, positions: Sequence[PartitionOffset], code: str | None
) -> AsyncIterator[tuple[PartitionOffset, Rejected]]:
    return rejects_at(settings, rules, positions) if positions else rejects(settings, rules, code=code)


class RedriveTally:
    """Tells of the first records that are sent, and of the first that are not (`shown` None: of all), and counts."""

    def __init__(self, shown: int | None, dry_run: bool) -> None:
        self.sent = self.kept = 0
        self._shown = shown
        self._verb = "would go" if dry_run else "goes"

    def tell(self, outcome: Resend | Kept) -> None:
        """What becomes of one record."""
        if isinstance(outcome, Kept):
            self.kept += 1
            if not self._beyond(self.kept):
                complain(f"{outcome.position} not sent: {outcome.reason}")
            return
        self.sent += 1
        if not self._beyond(self.sent):
            where = f"{self._verb} to partition {outcome.partition}"
            say(f"{outcome.position} {where}: {outcome.job_id} of {outcome.account_id}")

    def tell_of_others(self) -> None:
        """How many there are of which nothing was said."""
        if more := self._beyond(self.sent):
            say(f"{counted(more, 'more record')} {self._verb if more == 1 else self._verb.replace('goes', 'go')}")
        if more := self._beyond(self.kept):
            complain(f"{counted(more, 'more record')} not sent; `meter rejects list --code` shows them all")

    def _beyond(self, count: int) -> int:
        return 0 if self._shown is None else max(0, count - self._shown)


def _read_code(code: str | None) -> str | None:
    if code is not None and code not in set(Code):
        raise SettingError(f"there is no code {code!r}; there are {', '.join(Code)}")
    return code
