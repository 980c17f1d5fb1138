"""The state of a partition: what its steps have made of the log so far. Read back from `meter.state`."""

from collections.abc import MutableMapping
from decimal import Decimal
from typing import TYPE_CHECKING

from meter import topics
from meter.accounts import Account, Document, Payment
from meter.agenda import Action, Agenda, Due
from meter.arrears import Service
from meter.commands import Answer, Memory
from meter.contracts import Contracts, Mode, mode_on
from meter.dedupe import Seen
from meter.identity import Identity, Seal
from meter.periods import BillingDays
from meter.prices import PriceBooks
from meter.rollup import Total, TotalKey
from meter.rules import Rules
from meter.settlement import Share, ShareKey, Unbilled, due_ms

if TYPE_CHECKING:
    from meter.partition import Step


class PartitionState:
    """All that the meter knows of one partition. Read back from `meter.state`; changed by `merge` alone."""

    def __init__(self, rules: Rules, partition: int, totals: MutableMapping[TotalKey, Total] | None = None) -> None:
        self.rules = rules
        self.partition = partition
        self.days = BillingDays(rules.time_zone)
        self.next: dict[str, int] = dict.fromkeys(topics.INPUTS, 0)
        #: Of each input the last record folded: it proves that a log is the one that `next` is of.
        self.last: dict[str, Seal] = {}
        self.identity: Identity | None = None
        self.seq = 0
        self.record_time = 0
        self.due_until = 0
        self.totals: MutableMapping[TotalKey, Total] = {} if totals is None else totals
        self.books = PriceBooks()
        self.commands: dict[str, Answer] = {}
        self.memory = Memory()
        self.contracts: dict[str, Contracts] = {}
        self.accounts: dict[str, Account] = {}
        self.documents: dict[str, dict[str, Document]] = {}
        self.payments: dict[str, dict[str, Payment]] = {}
        self.tickets: dict[tuple[str, str], tuple[str, Decimal]] = {}
        self.tickets_of: dict[tuple[str, str], dict[str, None]] = {}
        self.used: dict[str, dict[tuple[str, str], None]] = {}
        self.metered_day = ""  # the latest of which a job was ever metered
        self.unbilled = Unbilled()
        self.agenda = Agenda()
        self.stopped: set[str] = set()

    def merge(self, step: "Step", seen: Seen) -> None:
        """Make a committed step's changes part of the state."""
        self.next.update(step.next)
        self.last.update(step.last)
        self.identity = step.identity or self.identity
        self.seq = step.seq
        self.record_time = step.record_time
        self.due_until = step.due_until
        if step.due is not None:
            self.agenda.drop_first(step.due.actions)
        self.books = step.books
        for account_id, contracts in step.new_contracts.items():
            self.put_contracts(account_id, contracts)
        self._merge_commands(step)
        self.memory = step.memory
        for key, total in step.totals.items():
            self.put_total(key, total)
        for key in step.dropped:
            self._drop_total(key)
        for share_key, share in step.shares.items():
            self.put_share(share_key, share)
        for account_id, account in step.till.changed.items():
            self.put_account(account_id, account)
        for (account_id, bill_id), document in step.till.documents.items():
            self.put_document(account_id, bill_id, document)
        for (account_id, command_id), payment in step.till.payments.items():
            self.put_payment(account_id, command_id, payment)
        for (account_id, ticket), (bill_id, amount) in step.till.tickets.items():
            self.put_ticket(account_id, ticket, bill_id, amount)
        seen.add(step.sightings.items())

    def _merge_commands(self, step: "Step") -> None:
        for command_id in step.forgotten:
            del self.commands[command_id]
        for command_id, answer in step.commands.items():
            self.commands.pop(command_id, None)  # the oldest are forgotten first
            self.commands[command_id] = answer

    def mode_on(self, account_id: str, day: str) -> Mode:
        """The settlement mode of an account on a billing day."""
        return mode_on(self.contracts.get(account_id, ()), day)

    # What snapshots and steps put in keeps the agenda and the other indexes in step with it.

    def put_contracts(self, account_id: str, contracts: Contracts) -> None:
        """An account's contracts as they are now; whose last one was withdrawn is as one that never had any."""
        if contracts:
            self.contracts[account_id] = contracts
        else:
            self.contracts.pop(account_id, None)

    def put_total(self, key: TotalKey, total: Total) -> None:
        """A daily total as it is now."""
        self.totals[key] = total
        self.used.setdefault(key[0], {})[key[1:]] = None
        self.metered_day = max(self.metered_day, key[2])

    def _drop_total(self, key: TotalKey) -> None:
        del self.totals[key]
        days = self.used[key[0]]
        del days[key[1:]]
        if not days:
            del self.used[key[0]]

    def put_account(self, account_id: str, account: Account) -> None:
        """An account as it is now, and its deadline."""
        before = self.accounts.get(account_id)
        self.accounts[account_id] = account
        deadline, former = account.deadline_ms, None if before is None else before.deadline_ms
        if deadline != former:
            if former is not None:
                self.agenda.remove(Due(former, Action.STOP, account_id))
            if deadline is not None:
                self.agenda.add(Due(deadline, Action.STOP, account_id))
        if account.service is Service.STOPPED:
            self.stopped.add(account_id)
        else:
            self.stopped.discard(account_id)

    def put_share(self, key: ShareKey, share: Share | None) -> None:
        """Usage that is to be billed, and when its period is settled; or None once it has been."""
        if self.unbilled.put(key, share):
            account_id, period = key.account_id, key.period
            self.agenda.add(Due(due_ms(self.days, self.rules, account_id, period), Action.SETTLE, account_id, period))

    def put_payment(self, account_id: str, command_id: str, payment: Payment | None) -> None:
        """A top-up that may be reversed, or None when it may no longer be."""
        payments = self.payments.setdefault(account_id, {})
        if payment is not None:
            payments[command_id] = payment
        else:
            del payments[command_id]

    def put_document(self, account_id: str, bill_id: str, document: Document | None) -> None:
        """A bill or debit note that may be credited or refunded, or None when it may no longer be."""
        documents = self.documents.setdefault(account_id, {})
        if document is not None:
            documents[bill_id] = document
            return
        del documents[bill_id]
        for ticket in self.tickets_of.pop((account_id, bill_id), ()):
            del self.tickets[account_id, ticket]

    def put_ticket(self, account_id: str, ticket: str, bill_id: str, amount: Decimal) -> None:
        """A refund that was made by a ticket, of a bill."""
        self.tickets[account_id, ticket] = bill_id, amount
        self.tickets_of.setdefault((account_id, bill_id), {})[ticket] = None
