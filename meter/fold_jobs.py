"""Completions are metered: read, routed, deduplicated, rounded up to minutes and priced; then rolled up.

`meter_jobs` is the seam: values in, priced records and sums out. Whatever stands in for it must give the same bytes.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal

from meter import topics
from meter.arrears import Service
from meter.dedupe import Sighting, content_digest, job_key, needed_since, remembered
from meter.durations import billable_minutes
from meter.intake import Job, read_job
from meter.models import Origin, Source
from meter.money import EXACT, ZERO
from meter.outputs import account_texts, amount_text, json_text, rejected_value
from meter.records import MAX_REROUTED_BYTES, ORIGIN_HEADER, Chunk, Record, Rerouted, origin_field
from meter.refusals import clock_ahead, conflict, refuse, untimely
from meter.rejects import Code, Refusal
from meter.rollup import NOTHING
from meter.routing import owner
from meter.settlement import Kind, ShareKey, UnbilledShare, late_period, period_of
from meter.step import Step, add_to

#: (account id, region, day, period of the late line or "") -> jobs and minutes of a chunk
Usage = dict[tuple[str, str, str, str], list[int]]
#: Meters the completions of a chunk: their priced records, refusals and sightings go into the step, the sums come back.
MeterJobs = Callable[[Step, Chunk], Usage]

_new_tuple = tuple.__new__


def meter_jobs(step: Step, chunk: Chunk) -> Usage:
    """Price each completion of a chunk that is this partition's and new."""
    mine = list(own_jobs(step, chunk))
    keys = [job_key(job.account_id, job.job_id) for _, job in mine]
    found = step.dedupe.find(keys)
    rules, due_until = step.state.rules, step.changes.position.due_until
    remember_ms, since_ms = rules.remember_ms, needed_since(due_until, rules)
    sightings = step.changes.sightings
    is_rerouted = chunk.topic == topics.REROUTED
    pricing = Pricing(step, chunk)
    for place, (record, job) in enumerate(mine):
        key = keys[place]
        content = content_digest(job.region, job.kinds, job.duration_ms, job.completed_us)
        before = sightings.get(key)
        if before is None and place in found:
            before = found[place]
        if before is not None and remembered(before, record.timestamp, remember_ms, since_ms):
            if before.content == content:
                step.tally.duplicate += 1
            else:
                reject(step, chunk, record, conflict(job))
            continue
        sightings[key] = _new_tuple(Sighting, (content, record.timestamp))
        pricing.price(record, job, origin_field(record) if is_rerouted else "")
    return pricing.usage


def own_jobs(step: Step, chunk: Chunk) -> Iterator[tuple[Record, Job]]:
    """The jobs of a chunk that this partition is to meter; the others are rejected or rerouted on the way."""
    rules, partition, not_after = step.state.rules, step.state.partition, step.not_after
    tolerance_us = rules.future_tolerance_ms * 1000
    horizon_us = rules.horizon_ms * 1000
    # Totals and ids of before are no longer kept. Only a clock that jumps back can bring a job of then.
    forgotten_us = rules.forgotten_ms(step.changes.position.due_until) * 1000
    for record in chunk.records:
        job = read_job(record.value, record.headers)
        if isinstance(job, Refusal):
            reject(step, chunk, record, job)
            continue
        home = owner(job.account_id, rules.partitions)
        if home != partition:
            _reroute(step, chunk, record, job, home)
            continue
        if record.timestamp > not_after:
            reject(step, chunk, record, clock_ahead(job, record.timestamp, not_after))
            continue
        age_us = record.timestamp * 1000 - job.completed_us
        if -tolerance_us <= age_us <= horizon_us and job.completed_us >= forgotten_us:
            yield record, job
        else:
            reject(step, chunk, record, untimely(job, age_us < 0, rules))


class Pricing:
    """The price of each job of a chunk, as `usage.priced` says it, and the sums of what they used."""

    def __init__(self, step: Step, chunk: Chunk) -> None:
        self.usage: Usage = {}
        self._step = step
        self._terms = step.changes.terms
        self._contracts = step.changes.terms.contracts
        self._days = step.state.days
        self._due_until = step.changes.position.due_until
        self._add = step.outputs.priced.append
        self._stopped = step.state.accounts.stopped
        self._source = f'"source":{{"topic":"{chunk.topic}","partition":{step.state.partition},"offset":'
        #: Of each day, when the usage of that day alone is settled, in ms.
        self._cuts: dict[str, int] = {}

    def price(self, record: Record, job: Job, origin: str) -> None:
        """Round a job up to minutes, price it, and add it to the sums."""
        job_id, account_id, region, kinds, milliseconds, duration_s, completed_us, completed_at = job
        day = self._days.day_of(completed_us)
        minutes = billable_minutes(milliseconds)
        _, _, unit_price, tail = self._terms.price_for(account_id, region, day)
        account_key, account_text = account_texts(account_id)
        value = (
            f'{{"v":1,"job_id":{json_text(job_id)},"account_id":{account_text},"region":"{region}","kinds":{kinds},'
            f'"completed_at":"{completed_at}","day":"{day}","duration_s":"{duration_s}",'
            f'"minutes":{minutes},"unit_price":"{unit_price}","amount":"{amount_text(unit_price, minutes)}",'
            f'{tail},{self._source}{record.offset},"timestamp":{record.timestamp}}}{origin}}}'
        )
        self._add((account_key, value.encode()))
        cut = self._cuts.get(day)
        if cut is not None and record.timestamp < cut and self._due_until < cut and account_id not in self._contracts:
            late = ""  # as most are
        else:
            late = self.late_period(account_id, day, record.timestamp)
        key = (account_id, region, day, late)
        used = self.usage.get(key)
        if used is None:
            self.usage[key] = [1, minutes]
        else:
            used[0] += 1
            used[1] += minutes
        if account_id in self._stopped or account_id in self._step.changes.accounts.stopped:
            _completed_while_stopped(self._step, account_id, completed_us)

    def late_period(self, account_id: str, day: str, record_time: int) -> str:
        """The period on whose bill a job is an adjustment line; empty when it is in time for its own."""
        contracts = self._contracts.get(account_id)
        if contracts is not None:
            cut = self._days.cut_ms(period_of(day, self._terms.mode_on(account_id, day)))
        elif (known := self._cuts.get(day)) is not None:
            cut = known
        else:
            cut = self._cuts[day] = self._days.cut_ms(day)
        if record_time < cut and self._due_until < cut:
            return ""
        return late_period(self._days, contracts or (), max(record_time, self._due_until))


def roll_up(step: Step, usage: Usage) -> None:
    """Add a chunk's usage to the totals and to what is to be billed: one account, region and day has one price."""
    state, changes, tally = step.state, step.changes, step.tally
    for (account_id, region, day, late), (jobs, minutes) in usage.items():
        amount = EXACT.multiply(changes.terms.price_for(account_id, region, day).unit_price, Decimal(minutes))
        key = (account_id, region, day)
        before = changes.totals.get(key)
        if before is None:
            before = step.found[key] = state.totals.rows.get(key, NOTHING)
        changes.totals[key] = before.plus(jobs, minutes, amount)
        _add_share(step, account_id, region, day, late, jobs, minutes, amount)
        add_to(tally.usage, region, minutes, amount)
        if late:
            add_to(tally.late, region, jobs, amount)
        if account_id not in state.accounts.by_id:
            changes.accounts.opened(account_id, max(changes.position.due_until, changes.position.record_time))


def _add_share(
    step: Step, account_id: str, region: str, day: str, late: str, jobs: int, minutes: int, amount: Decimal
) -> None:
    shares, seq = step.changes.shares, step.changes.position.seq
    if late:
        key = ShareKey(account_id, late, Kind.LATE, region, day)
    else:
        period = period_of(day, step.changes.terms.mode_on(account_id, day))
        key = ShareKey(account_id, period, Kind.USAGE, region, day)
    before = shares[key] if key in shares else step.state.unbilled.get(key)
    share = before or UnbilledShare(0, 0, ZERO, seq, seq)
    shares[key] = share.plus(jobs, minutes, amount, seq)


def _completed_while_stopped(step: Step, account_id: str, completed_us: int) -> None:
    """Count jobs that were completed after the stop; they are billed like any other."""
    changes = step.changes.accounts
    account = changes.find(account_id)
    if account is not None and account.service is Service.STOPPED and completed_us > account.since_ms * 1000:
        changes.accounts[account_id] = account._replace(completed_after_stop=account.completed_after_stop + 1)


def _reroute(step: Step, chunk: Chunk, record: Record, job: Job, home: int) -> None:
    """Send a job on to the partition of its account, once."""
    if chunk.topic == topics.REROUTED:
        refusal = refuse(job, Code.MISPLACED, f"account {job.account_id!r} belongs to partition {home}")
        reject(step, chunk, record, refusal)
        return
    origin = Origin(topic=chunk.topic, partition=step.state.partition, offset=record.offset)
    headers = [header for header in record.headers if header[0] != ORIGIN_HEADER]
    headers.append((ORIGIN_HEADER, origin.model_dump_json().encode()))
    key, value = job.account_id.encode(), record.value or b""
    size = len(key) + len(value) + sum(len(name) * 4 + len(data or b"") + 16 for name, data in headers)
    if size > MAX_REROUTED_BYTES:
        refusal = refuse(job, Code.TOO_LARGE, f"{size} bytes on another account's partition cannot be forwarded")
        reject(step, chunk, record, refusal)
        return
    step.outputs.rerouted.append(Rerouted(home, key, value, record.timestamp, headers))


def reject(step: Step, chunk: Chunk, record: Record, refusal: Refusal) -> None:
    """Refuse a record: what was wrong with it, and what it may be worth."""
    partition, outputs, refused = step.state.partition, step.outputs, step.tally.refused
    source = Source(topic=chunk.topic, partition=partition, offset=record.offset, timestamp=record.timestamp)
    value = rejected_value(
        refusal,
        amount_at_risk=_amount_at_risk(step, refusal),
        key=record.key,
        value=record.value,
        headers=record.headers,
        source=source,
    )
    refused[refusal.code] = refused.get(refusal.code, 0) + 1
    outputs.rejected.append(((refusal.account_id or "").encode(), value))


def _amount_at_risk(step: Step, refusal: Refusal) -> Decimal | None:
    if refusal.region is None or refusal.duration_ms is None or refusal.completed_us is None:
        return None
    day = step.state.days.day_of(refusal.completed_us)
    price = step.changes.terms.books.price_for(refusal.region, day).unit_price
    return EXACT.multiply(price, Decimal(billable_minutes(refusal.duration_ms)))
