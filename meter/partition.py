"""One partition: its state, and a step that folds chunks of its inputs into outputs.

decode > validate > route > dedupe > round > price > roll up. A step changes nothing: it collects its outputs and what
is to become of the state; `PartitionState.merge` follows when, and only when, the outputs are committed. The same
inputs in the same order give the same bytes, which is what `replay` builds on.
"""

from collections import ChainMap
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import islice
from operator import attrgetter

from meter import __version__, topics
from meter.agenda import Action
from meter.arrears import Service
from meter.commands import (
    Answer,
    Reading,
    apply_command,
    id_reused,
    read_command,
    result_value,
)
from meter.commands import clock_ahead as stamped_ahead
from meter.contracts import Contract, Contracts, contract_on, contract_price, mode_on
from meter.dedupe import Seen, Sighting, content_digest, job_key, needed_since, remembered
from meter.desk import Times
from meter.identity import Identity, Seal, seal
from meter.intake import Job, read_job
from meter.journal import Counts, DueRun, InputRange, JournalStep
from meter.models import Origin, Source
from meter.money import EXACT, ZERO
from meter.outputs import account_texts, amount_text, json_text, rejected_value, total_key, total_value
from meter.periods import CALENDAR_END_MS
from meter.prices import Price, PriceBook
from meter.records import MAX_REROUTED_BYTES, ORIGIN_HEADER, Chunk, HoleError, Keyed, Record, Rerouted, origin_field
from meter.refusals import clock_ahead, conflict, refuse, untimely
from meter.rejects import Code, Refusal
from meter.rollup import NOTHING, Total, TotalKey
from meter.rounding import billable_minutes
from meter.routing import owner
from meter.rules import Rules
from meter.settlement import Kind, Share, ShareKey, bill, last_day, late_period, period_of
from meter.state import PartitionState
from meter.till import Till

#: (account id, region, day, period of the late line or "") -> jobs and minutes of a chunk
Usage = dict[tuple[str, str, str, str], list[int]]

_new_tuple = tuple.__new__
_timestamp = attrgetter("timestamp")


class Step:
    """One step: reads the state, collects outputs and changes. Lists of (key, value) are records to publish."""

    def __init__(
        self, state: PartitionState, seen: Seen, meter_version: str = __version__, not_after: int | None = None
    ) -> None:
        """`not_after`: records stamped later, in ms, are refused: no clock could say so (None: all that have a day)."""
        self.state = state
        self.seen = seen
        self.meter_version = meter_version
        self.not_after = CALENDAR_END_MS if not_after is None else min(not_after, CALENDAR_END_MS)
        self.ahead = 0
        self.seq = state.seq + 1
        self.next = dict(state.next)
        self.last: dict[str, Seal] = dict(state.last)
        #: Which log it is, where that is to be kept with the state: it comes from outside, and no replay knows it.
        self.identity: Identity | None = None
        self.record_time = state.record_time
        self.due_until = state.due_until
        self.due: DueRun | None = None
        self.books = state.books
        self.contracts: Mapping[str, Contracts] = state.contracts
        self.till = Till(state.accounts, state.documents, state.payments, state.tickets, state.days.text)
        self.inputs: list[InputRange] = []
        self.read = self.duplicate = 0
        self.priced: list[Keyed] = []
        self.rejected: list[Keyed] = []
        self.rerouted: list[Rerouted] = []
        self.results: list[Keyed] = []
        self.bills: list[Keyed] = []
        self.totals: dict[TotalKey, Total] = {}
        self.dropped: dict[TotalKey, None] = {}
        self.shares: dict[ShareKey, Share | None] = {}
        self.sightings: dict[str, Sighting] = {}
        self.commands: dict[str, Answer] = {}
        self.memory = state.memory
        self.forgotten: list[str] = []
        self._oldest_commands = iter(state.commands.items())
        self.new_contracts: dict[str, Contracts] = {}
        self.usage_by_region: dict[str, tuple[int, Decimal]] = {}
        self.late: dict[str, tuple[int, Decimal]] = {}
        self.billed_amount = ZERO
        self.refused: dict[Code, int] = {}
        self._cuts: dict[str, int] = {}

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        return self.state.rules

    @property
    def partition(self) -> int:
        """The partition that is metered."""
        return self.state.partition

    # -- folding ---------------------------------------------------------------------------------------------

    def fold(self, chunk: Chunk) -> None:
        """Fold one chunk. Raises HoleError unless it starts where its input's last one ended."""
        expected = self.next[chunk.topic]
        if chunk.start != expected:
            raise HoleError(f"{chunk.topic}[{self.state.partition}]: expected position {expected}, got {chunk.start}")
        if chunk.records:
            self.record_time = max(self.record_time, self._latest(chunk))
            self.last[chunk.topic] = seal(chunk.records[-1])
        if chunk.topic == topics.COMMANDS:
            self._fold_commands(chunk)
        else:
            self._fold_jobs(chunk)
        self.next[chunk.topic] = chunk.next
        self.read += len(chunk.records)
        self.inputs.append(InputRange(topic=chunk.topic, start=chunk.start, next=chunk.next))

    def _latest(self, chunk: Chunk) -> int:
        """The latest record time of a chunk that is believed; at least 0."""
        latest: int = max(map(_timestamp, chunk.records))
        if latest > self.not_after:
            believed = [record.timestamp for record in chunk.records if record.timestamp <= self.not_after]
            self.ahead += len(chunk.records) - len(believed)
            latest = max(believed, default=0)
        return max(latest, 0)

    def _fold_jobs(self, chunk: Chunk) -> None:
        mine = list(self._own_jobs(chunk))
        keys = [job_key(job.account_id, job.job_id) for _, job in mine]
        found = self.seen.find(keys)
        remember_ms, since_ms = self.rules.remember_ms, needed_since(self.due_until, self.rules)
        sightings = self.sightings
        is_rerouted = chunk.topic == topics.REROUTED
        source = f'"source":{{"topic":"{chunk.topic}","partition":{self.state.partition},"offset":'
        usage: Usage = {}
        for place, (record, job) in enumerate(mine):
            key = keys[place]
            content = content_digest(job.region, job.kinds, job.duration_ms, job.completed_us)
            before = sightings.get(key)
            if before is None and place in found:
                before = found[place]
            if before is not None and remembered(before, record.timestamp, remember_ms, since_ms):
                if before.content == content:
                    self.duplicate += 1
                else:
                    self._reject(chunk, record, conflict(job))
                continue
            sightings[key] = _new_tuple(Sighting, (content, record.timestamp))
            self._price(record, job, source, usage, origin_field(record) if is_rerouted else "")
        self._roll_up(usage)

    def _own_jobs(self, chunk: Chunk) -> Iterator[tuple[Record, Job]]:
        """The jobs of a chunk that this partition is to meter; the others are rejected or rerouted on the way."""
        rules, partition = self.state.rules, self.state.partition
        tolerance_us = rules.future_tolerance_ms * 1000
        horizon_us = rules.horizon_ms * 1000
        # Totals and ids of before are no longer kept. Only a clock that jumps back can bring a job of then.
        forgotten_us = rules.forgotten_ms(self.due_until) * 1000
        not_after = self.not_after
        for record in chunk.records:
            job = read_job(record.value, record.headers)
            if isinstance(job, Refusal):
                self._reject(chunk, record, job)
                continue
            home = owner(job.account_id, rules.partitions)
            if home != partition:
                self._reroute(chunk, record, job, home)
                continue
            if record.timestamp > not_after:
                self._reject(chunk, record, clock_ahead(job, record.timestamp, not_after))
                continue
            age_us = record.timestamp * 1000 - job.completed_us
            if -tolerance_us <= age_us <= horizon_us and job.completed_us >= forgotten_us:
                yield record, job
            else:
                self._reject(chunk, record, untimely(job, age_us < 0, rules))

    def _price(self, record: Record, job: Job, source: str, usage: Usage, origin: str) -> None:
        job_id, account_id, region, kinds, milliseconds, duration_s, completed_us, completed_at = job
        day = self.state.days.day_of(completed_us)
        minutes = billable_minutes(milliseconds)
        _, _, unit_price, tail = self.price_for(account_id, region, day)
        account_key, account_text = account_texts(account_id)
        value = (
            f'{{"v":1,"job_id":{json_text(job_id)},"account_id":{account_text},"region":"{region}","kinds":{kinds},'
            f'"completed_at":"{completed_at}","day":"{day}","duration_s":"{duration_s}",'
            f'"minutes":{minutes},"unit_price":"{unit_price}","amount":"{amount_text(unit_price, minutes)}",'
            f'{tail},{source}{record.offset},"timestamp":{record.timestamp}}}{origin}}}'
        )
        self.priced.append((account_key, value.encode()))
        cut = self._cuts.get(day)
        if cut is not None and record.timestamp < cut and self.due_until < cut and account_id not in self.contracts:
            late = ""  # as most are
        else:
            late = self._late_period(account_id, day, record.timestamp)
        key = (account_id, region, day, late)
        used = usage.get(key)
        if used is None:
            usage[key] = [1, minutes]
        else:
            used[0] += 1
            used[1] += minutes
        if account_id in self.state.stopped or account_id in self.till.stopped:
            self._completed_while_stopped(account_id, completed_us)

    def price_for(self, account_id: str, region: str, day: str) -> Price:
        """The price of an account's jobs: its contract's, else the book's."""
        contracts = self.contracts.get(account_id)
        own = None if contracts is None else contract_price(contracts, region, day)
        return self.books.price_for(region, day) if own is None else own

    def _late_period(self, account_id: str, day: str, record_time: int) -> str:
        """The period on whose bill a job is an adjustment line; empty when it is in time for its own."""
        contracts = self.contracts.get(account_id)
        if contracts is not None:
            cut = self.state.days.cut_ms(period_of(day, mode_on(contracts, day)))
        elif (known := self._cuts.get(day)) is not None:
            cut = known
        else:
            cut = self._cuts[day] = self.state.days.cut_ms(day)
        if record_time < cut and self.due_until < cut:
            return ""
        return late_period(self.state.days, contracts or (), max(record_time, self.due_until))

    def _completed_while_stopped(self, account_id: str, completed_us: int) -> None:
        account = self.till.find(account_id)
        if account is not None and account.service is Service.STOPPED and completed_us > account.since_ms * 1000:
            self.till.completed_after_stop(account_id, 1)

    def _roll_up(self, usage: Usage) -> None:
        """Add a chunk's usage to the totals and to what is to be billed: one account, region and day has one price."""
        for (account_id, region, day, late), (jobs, minutes) in usage.items():
            amount = EXACT.multiply(self.price_for(account_id, region, day).unit_price, Decimal(minutes))
            key = (account_id, region, day)
            before = self.totals.get(key) or self.state.totals.get(key, NOTHING)
            self.totals[key] = before.plus(jobs, minutes, amount)
            self._add_share(account_id, region, day, late, jobs, minutes, amount)
            add_to(self.usage_by_region, region, minutes, amount)
            if late:
                add_to(self.late, region, jobs, amount)
            if account_id not in self.state.accounts:
                self.till.opened(account_id, max(self.due_until, self.record_time))

    def _add_share(
        self, account_id: str, region: str, day: str, late: str, jobs: int, minutes: int, amount: Decimal
    ) -> None:
        if late:
            key = ShareKey(account_id, late, Kind.LATE, region, day)
        else:
            contracts = self.contracts.get(account_id)
            period = day if contracts is None else period_of(day, mode_on(contracts, day))
            key = ShareKey(account_id, period, Kind.USAGE, region, day)
        before = self.shares[key] if key in self.shares else self.state.unbilled.get(key)
        share = before or Share(0, 0, ZERO, self.seq, self.seq)
        self.shares[key] = share.plus(jobs, minutes, amount, self.seq)

    def _reroute(self, chunk: Chunk, record: Record, job: Job, home: int) -> None:
        if chunk.topic == topics.REROUTED:
            refusal = refuse(job, Code.MISPLACED, f"account {job.account_id!r} belongs to partition {home}")
            self._reject(chunk, record, refusal)
            return
        origin = Origin(topic=chunk.topic, partition=self.state.partition, offset=record.offset)
        headers = [header for header in record.headers if header[0] != ORIGIN_HEADER]
        headers.append((ORIGIN_HEADER, origin.model_dump_json().encode()))
        key, value = job.account_id.encode(), record.value or b""
        size = len(key) + len(value) + sum(len(name) * 4 + len(data or b"") + 16 for name, data in headers)
        if size > MAX_REROUTED_BYTES:
            refusal = refuse(job, Code.TOO_LARGE, f"{size} bytes on another account's partition cannot be forwarded")
            self._reject(chunk, record, refusal)
            return
        self.rerouted.append(Rerouted(home, key, value, record.timestamp, headers))

    def _reject(self, chunk: Chunk, record: Record, refusal: Refusal) -> None:
        source = Source(
            topic=chunk.topic,
            partition=self.state.partition,
            offset=record.offset,
            timestamp=record.timestamp,
        )
        value = rejected_value(
            refusal,
            amount_at_risk=self._amount_at_risk(refusal),
            key=record.key,
            value=record.value,
            headers=record.headers,
            source=source,
        )
        self.refused[refusal.code] = self.refused.get(refusal.code, 0) + 1
        self.rejected.append(((refusal.account_id or "").encode(), value))

    def _amount_at_risk(self, refusal: Refusal) -> Decimal | None:
        if refusal.region is None or refusal.duration_ms is None or refusal.completed_us is None:
            return None
        day = self.state.days.day_of(refusal.completed_us)
        price = self.books.price_for(refusal.region, day).unit_price
        return EXACT.multiply(price, Decimal(billable_minutes(refusal.duration_ms)))

    def _fold_commands(self, chunk: Chunk) -> None:
        for record in chunk.records:
            read = read_command(record.value)
            answer = self._answer(read, record.timestamp)
            source = Source(
                topic=chunk.topic,
                partition=self.state.partition,
                offset=record.offset,
                timestamp=record.timestamp,
            )
            command_id = read.command_id or ""
            self.results.append((command_id.encode(), result_value(command_id, self.partition, answer, source)))
            self._forget_commands()

    def _answer(self, read: Reading, record_time: int) -> Answer:
        """The answer that the id was given, if this is the same command; the first one to an id is remembered."""
        is_ahead = record_time > self.not_after
        if not is_ahead:
            self.memory = self.memory.at(record_time, self.rules)
        known = self._known_answer(read.command_id)
        if known is not None:
            same = known.digest == read.digest
            return known if same else id_reused(read, known, record_time, self.state.days.text)
        if is_ahead:
            return stamped_ahead(read, record_time)
        times = Times(record_time, max(record_time, self.due_until), self.memory.forgotten)
        answer = apply_command(read, self, times)
        if read.command_id is not None:
            self.commands[read.command_id] = answer
            self.memory = self.memory.with_answer(record_time)
        return answer

    def _known_answer(self, command_id: str | None) -> Answer | None:
        known = self.commands.get(command_id or "") or self.state.commands.get(command_id or "")
        return None if known is None or known.record_time < self.memory.forgotten else known

    def _forget_commands(self) -> None:
        """Let go of ids that would be refused as too old anyway, a few at a time."""
        self.forgotten += [
            command_id
            for command_id, answer in islice(self._oldest_commands, 2)
            if answer.record_time < self.memory.forgotten and command_id not in self.commands
        ]

    # What a command may do: see `meter.commands.Desk`.

    def contracts_of(self, account_id: str) -> Contracts:
        """An account's contracts, those of this step among them."""
        return self.contracts.get(account_id, ())

    def agree(self, account_id: str, contract: Contract) -> None:
        """Add a contract."""
        self._put_contracts(account_id, (*self.contracts_of(account_id), contract))

    def withdraw_contract(self, account_id: str, number: int) -> None:
        """Take a contract away that has not begun: what it would have replaced holds on."""
        known = self.contracts_of(account_id)
        self._put_contracts(account_id, (*known[:number], *known[number + 1 :]))

    def _put_contracts(self, account_id: str, contracts: Contracts) -> None:
        if not self.new_contracts:
            self.contracts = ChainMap(self.new_contracts, self.state.contracts)
        self.new_contracts[account_id] = contracts

    def publish(self, book: PriceBook) -> None:
        """Add a price book."""
        self.books = self.books.with_book(book)

    def withdraw_book(self, version: str) -> None:
        """Take a price book away that has not begun."""
        self.books = self.books.without(version)

    def day_of(self, at_ms: int) -> str:
        """The billing day of an instant."""
        return self.state.days.day_of(at_ms * 1000)

    def metered_day(self, account_id: str | None) -> str:
        """The latest billing day of which a job of an account (None: of any) was metered; empty where none was."""
        if account_id is None:
            return max(self.state.metered_day, *(day for _, _, day in self.totals), "")
        own = [day for account, _, day in self.totals if account == account_id]
        return max((*own, *(day for _, day in self.state.used.get(account_id, ()))), default="")

    # -- what falls due --------------------------------------------------------------------------------------

    def run_due(self, until_ms: int, limit: int) -> int:
        """Do the next actions due by an instant, `limit` at most, before anything is folded. Returns how many.

        Every input must have been folded, by the steps before, up to an end that was taken after `until_ms`. Deductions
        and stops happen at `until_ms`; what is on a bill depends on its cut alone, so the records that this step goes
        on to fold are on later ones.
        """
        assert not self.inputs
        until_ms = max(until_ms, self.due_until)  # a clock that jumped back does not take settlement back
        done = 0 if self.due is None else self.due.actions
        actions = self.state.agenda.due(until_ms, done, limit)
        self.due_until = until_ms
        first_kept = self.state.days.day_of(self.rules.forgotten_ms(until_ms) * 1000)
        for due in actions:
            if due.action is Action.STOP:
                self.till.expire(due.account_id, until_ms)
            else:
                self._settle(due.account_id, due.period, until_ms)
                self._forget_days(due.account_id, first_kept)
        self.due = DueRun(until=until_ms, actions=done + len(actions))
        return len(actions)

    def _settle(self, account_id: str, period: str, at_ms: int) -> None:
        shares = self.state.unbilled.of(account_id, period)
        contracts = self.contracts_of(account_id)
        issued = bill(
            account_id,
            period,
            shares,
            days=self.state.days,
            rules=self.rules,
            partition=self.partition,
            contracts=contracts,
            price_of=self.price_for,
            meter_version=self.meter_version,
        )
        self.bills.append((account_texts(account_id)[0], issued.value))
        self.billed_amount = EXACT.add(self.billed_amount, issued.total)
        self.shares.update(dict.fromkeys(shares))
        terms = contract_on(contracts, last_day(period))
        self.till.bill(account_id, issued.open, issued.lines, issued.total, at_ms, terms)

    def _forget_days(self, account_id: str, first_kept: str) -> None:
        """Drop totals to which no job can be added any more."""
        for region, day in self.state.used.get(account_id, ()):
            if day < first_kept and self.state.unbilled.own(key := (account_id, region, day)) is None:
                self.dropped[key] = None

    # -- outputs ---------------------------------------------------------------------------------------------

    @property
    def counts(self) -> Counts:
        """What became of the records read."""
        return Counts(
            read=self.read,
            priced=len(self.priced),
            duplicate=self.duplicate,
            rejected=len(self.rejected),
            rerouted=len(self.rerouted),
            commands=len(self.results),
        )

    def daily(self) -> Iterator[Keyed]:
        """`usage.daily`: the totals that this step changed."""
        for key, total in self.totals.items():
            yield total_key(key), total_value(key, total)

    def journal_entry(self) -> JournalStep:
        """The step's journal entry."""
        return JournalStep(
            **self.counts.model_dump(),
            seq=self.seq,
            record_time=self.record_time,
            not_after=self.not_after if self.ahead else None,
            inputs=tuple(self.inputs),
            due=self.due,
            bills=len(self.bills),
            notes=len(self.till.notes),
            entries=len(self.till.entries),
            daily=len(self.totals),
            notices=len(self.till.notices),
            services=len(self.till.services),
            meter_version=self.meter_version,
        )


def add_to(sums: dict[str, tuple[int, Decimal]], name: str, count: int, amount: Decimal) -> None:
    """Add to a count and an exact amount."""
    before, money = sums.get(name, (0, ZERO))
    sums[name] = before + count, EXACT.add(money, amount)
