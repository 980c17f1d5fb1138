"""The topics of the public contract, by name. A deployment's prefix is the business of `streams`."""

COMPLETED = "recognition.jobs.completed"
REROUTED = "recognition.jobs.rerouted"
COMMANDS = "meter.commands"
COMMAND_RESULTS = "meter.command-results"
PRICED = "usage.priced"
DAILY = "usage.daily"
REJECTED = "usage.rejected"
BILLS = "billing.bills"
NOTES = "billing.notes"
LEDGER = "billing.ledger"
NOTICES = "billing.notices"
SERVICE = "account.service"
JOURNAL = "meter.journal"
STATE = "meter.state"

#: In the order in which a step folds them: commands go before completions.
INPUTS = (COMMANDS, REROUTED, COMPLETED)

#: Everything, whose ids are kept with the state.
ALL = (
    *INPUTS,
    COMMAND_RESULTS,
    PRICED,
    DAILY,
    REJECTED,
    BILLS,
    NOTES,
    LEDGER,
    NOTICES,
    SERVICE,
    JOURNAL,
    STATE,
)
