"""The state of a partition: what its steps have made of the log so far. Read back from `meter.state`."""

from collections.abc import MutableMapping

from meter.accounts import Accounts
from meter.agenda import Action, Agenda, Due
from meter.answers import Answer, Memory
from meter.changes import Changes, Position
from meter.contracts import Contracts
from meter.dedupe import DedupeIndex
from meter.identity import Identity
from meter.invariants import must
from meter.periods import BillingDays
from meter.rollup import DayTotals, Total, TotalKey
from meter.rules import Rules
from meter.settlement import ShareKey, Unbilled, UnbilledShare, due_ms
from meter.terms import Terms


class PartitionState:
    """All that the meter knows of one partition. Read back from `meter.state`; changed by `apply` alone."""

    def __init__(self, rules: Rules, partition: int, totals: MutableMapping[TotalKey, Total] | None = None) -> None:
        """`totals`: where the daily totals are kept; a worker's table, or else a dictionary."""
        self.rules = rules
        self.partition = partition
        self.days = BillingDays(rules.time_zone)
        self.position = Position()
        self.identity: Identity | None = None
        self.totals = DayTotals(totals)
        self.terms = Terms()
        self.commands: dict[str, Answer] = {}
        self.memory = Memory()
        self.agenda = Agenda()
        self.accounts = Accounts(self.agenda)
        self.unbilled = Unbilled()

    def apply(self, changes: Changes, dedupe: DedupeIndex) -> None:
        """Make the changes of a committed step part of the state, and add what it priced to what was seen.

        Raises InvariantError where they are not those of the step that follows.
        """
        must(changes.position.seq == self.position.seq + 1, "step", changes.position.seq, "after", self.position.seq)
        self.position = changes.position
        self.identity = changes.identity or self.identity
        self.agenda.drop_first(changes.actions)
        self._apply_commands(changes)
        for key, total in changes.totals.items():
            self.totals.put(key, total)
        for key in changes.dropped:
            self.totals.drop(key)
        for share_key, share in changes.shares.items():
            self.put_share(share_key, share)
        self._apply_accounts(changes)
        dedupe.add(changes.sightings.items())

    def _apply_commands(self, changes: Changes) -> None:
        self.terms.books = changes.terms.books
        for account_id, contracts in changes.terms.changed.items():
            self.put_contracts(account_id, contracts)
        for command_id in changes.forgotten:
            del self.commands[command_id]
        for command_id, answer in changes.commands.items():
            self.commands.pop(command_id, None)  # the oldest are forgotten first
            self.commands[command_id] = answer
        self.memory = changes.memory

    def _apply_accounts(self, changes: Changes) -> None:
        for account_id, account in changes.accounts.accounts.items():
            self.accounts.put(account_id, account)
        for (account_id, bill_id), document in changes.accounts.documents.items():
            self.accounts.put_document(account_id, bill_id, document)
        for (account_id, command_id), payment in changes.accounts.payments.items():
            self.accounts.put_payment(account_id, command_id, payment)
        for (account_id, ticket), (bill_id, amount) in changes.accounts.tickets.items():
            self.accounts.put_ticket(account_id, ticket, bill_id, amount)

    def put_contracts(self, account_id: str, contracts: Contracts) -> None:
        """An account's contracts as they are now; whose last one was withdrawn is as one that never had any."""
        if contracts:
            self.terms.contracts[account_id] = contracts
        else:
            self.terms.contracts.pop(account_id, None)

    def put_share(self, key: ShareKey, share: UnbilledShare | None) -> None:
        """Usage that is to be billed, and when its period is settled; or None once it has been."""
        if self.unbilled.put(key, share):
            account_id, period = key.account_id, key.period
            self.agenda.add(Due(due_ms(self.days, self.rules, account_id, period), Action.SETTLE, account_id, period))
