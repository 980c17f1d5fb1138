"""All commands of `meter`: the function of each, its line in the help, and the panel of the help that has it.

A new one is a function in a module beside this one, and an entry here; the entry says what the docstring's first line
says, and a test holds them alike. What partitions answer, as records of `meter.commands`, is in `meter/commands.py`.
"""

from types import MappingProxyType
from typing import Any

from streams.cli.lazy import LazyGroup, ListedCommand, ListedGroup

RUN, USE, MONEY, LOOK = "Run a meter", "Submit and read", "Bills and accounts", "Look after it"

#: What other programs call a command: by its letters alone another would seem meant.
OTHER_WORDS = {
    "start": "up", "run": "up", "stop": "down", "kill": "down", "shutdown": "down", "ps": "status", "health": "status",
    "serve": "api", "usage": "totals", "topup": "account topup", "replay": "verify", "prove": "verify",
}  # fmt: skip


class Commands(LazyGroup):
    """All there are, in the order of the help."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is meant; another program's word for one is told ours."""
        meant = None if args[0] in self.listed else OTHER_WORDS.get(args[0])
        if meant is not None and meant.partition(" ")[0] in self.listed:  # not in a group below
            ctx.fail(f"No such command {args[0]!r}. Did you mean {meant!r}?")
        return super().resolve_command(ctx, args)

    package = "streams.cli"
    listed = MappingProxyType(
        {
            "up": ListedCommand(
                "up:up", "Run it all on this machine, until Ctrl-C: Kafka, topics, workers, console.", RUN
            ),
            "down": ListedCommand(
                "status:down", "Stop the `meter up` of this data directory, and wait for its end.", RUN
            ),
            "status": ListedCommand(
                "status:status", "Show what `meter up` runs on this data directory, where, and if it is ready.", RUN
            ),
            "worker": ListedCommand("worker:worker", "Run one worker, until Ctrl-C or SIGTERM.", RUN),
            "broker": ListedCommand("broker:broker", "Run the embedded Kafka, until Ctrl-C.", RUN),
            "projector": ListedCommand("projector:app", "Project the topics into SQL, until Ctrl-C or SIGTERM.", RUN),
            "api": ListedCommand("api:api", "Serve the HTTP API and the console, until Ctrl-C or SIGTERM.", RUN),
            "console": ListedCommand("console:console", "Open the console in a browser, and print its address.", RUN),
            "topics": ListedGroup(
                "Create a meter's topics, or check them.",
                {
                    "create": ListedCommand(
                        "topics:create", "Create a meter: its topics, and the rules that never change."
                    ),
                    "check": ListedCommand(
                        "topics:check", "Check that all topics are as the contract says; show the rules."
                    ),
                },
                RUN,
            ),
            "demo": ListedCommand("demo:demo", "Watch it work: a day of traffic, a SIGKILL, and the proof.", RUN),
            "submit": ListedCommand("jobs:submit", "Send finished jobs to the meter, one JSON object a line.", USE),
            "totals": ListedCommand("jobs:totals", "Show what was used, by billing day, account and region.", USE),
            "quote": ListedCommand("prices:quote", "Say what a job costs: its minutes, unit price and amount.", USE),
            "account": ListedGroup(
                "Show an account, top it up, refund, charge, credit, agree a contract.",
                {
                    "show": ListedCommand("accounts:show", "Show an account: balance, service, contracts, open bills."),
                    "open": ListedCommand(
                        "accounts:open_account", "Open an account before its first job, which opens it too."
                    ),
                    "topup": ListedCommand("accounts:topup", "Add what a customer has paid in to the balance."),
                    "refund": ListedCommand(
                        "accounts:refund", "Give back to the balance what was paid on a bill or debit note."
                    ),
                    "adjust": ListedCommand(
                        "accounts:adjust", "Correct a balance by hand, up or down, with the reason."
                    ),
                    "limit": ListedCommand("accounts:limit", "Set the balance below which the customer gets a notice."),
                    "contract": ListedCommand(
                        "accounts:contract", "Agree a contract: an account's own prices, mode, arrears terms."
                    ),
                    "charge": ListedCommand(
                        "corrections:charge", "Charge what the bills do not say: a debit note, with its reason."
                    ),
                    "credit": ListedCommand(
                        "corrections:credit", "Credit a line of a bill: a credit note, with its reason."
                    ),
                    "reverse": ListedCommand(
                        "corrections:reverse", "Reverse a top-up that bounced: what it brought is owed."
                    ),
                    "withdraw": ListedCommand("corrections:withdraw", "Withdraw a contract that has not begun."),
                },
                MONEY,
            ),
            "bills": ListedGroup(
                "List bills, or show one with its lines and its proof.",
                {
                    "list": ListedCommand(
                        "bills:list_bills", "List bills: period, account, what is payable, open or paid."
                    ),
                    "show": ListedCommand("bills:show", "Show one bill: its lines, what is payable, its proof."),
                },
                MONEY,
            ),
            "ledger": ListedCommand(
                "ledger:ledger", "Show the ledger: every entry with its postings, and their sum.", MONEY
            ),
            "statement": ListedCommand(
                "ledger:statement", "Show an account's month: opening balance, entries, closing balance.", MONEY
            ),
            "notes": ListedCommand("corrections:notes", "Show debit and credit notes, in the order of the log.", MONEY),
            "notices": ListedCommand(
                "ledger:notices", "Show what customers were to be told, in the order of the log.", MONEY
            ),
            "export": ListedGroup(
                "Write the jobs or the bills of a period to files; the same period, the same bytes.",
                {
                    "csv": ListedCommand(
                        "export:export_csv", "Write the priced jobs of a day or month as CSV, by billing day."
                    ),
                    "parquet": ListedCommand(
                        "export:export_parquet", "Write the priced jobs of a day or month as Parquet, by billing day."
                    ),
                    "focus": ListedCommand(
                        "export:export_focus", "Write the bills of a day or month as a FOCUS 1.2 cost and usage file."
                    ),
                },
                MONEY,
            ),
            "webhooks": ListedGroup(
                "Tell other systems of bills, notices and service changes over HTTP.",
                {
                    "add": ListedCommand(
                        "webhooks:add", "Add a webhook: from now on it is told, and everything is signed."
                    ),
                    "list": ListedCommand(
                        "webhooks:list_webhooks", "List the webhooks, with how many messages wait or are dead."
                    ),
                    "remove": ListedCommand(
                        "webhooks:remove", "Remove a webhook: it is sent nothing more, also of what waits."
                    ),
                    "dead": ListedCommand(
                        "webhooks:dead", "List the messages that were given up after the last attempt."
                    ),
                    "retry": ListedCommand(
                        "webhooks:retry", "Send dead messages again, with as many attempts as a new one."
                    ),
                    "run": ListedCommand("webhooks:run", "Read the topics and send, until Ctrl-C or SIGTERM."),
                },
                MONEY,
            ),
            "prices": ListedGroup(
                "Show the price books, publish one, or withdraw it.",
                {
                    "show": ListedCommand("prices:show", "Show the price books, and which one is in effect on a day."),
                    "publish": ListedCommand(
                        "prices:publish", "Publish a price book, and wait for the workers' answers."
                    ),
                    "withdraw": ListedCommand(
                        "prices:withdraw", "Withdraw a price book that has not begun, on all partitions."
                    ),
                },
                LOOK,
            ),
            "rejects": ListedGroup(
                "Records that were refused: list them, show one, send them again.",
                {
                    "list": ListedCommand(
                        "rejects:list_rejects", "List the refused records: when, why, whose, the money at risk."
                    ),
                    "show": ListedCommand(
                        "rejects:show", "Show one refused record: why, from where, and what it holds."
                    ),
                    "redrive": ListedCommand(
                        "rejects:redrive", "Send refused records again, as they came or corrected."
                    ),
                },
                LOOK,
            ),
            "token": ListedGroup(
                "Tokens of the API and the console: make, list and revoke them.",
                {
                    "create": ListedCommand("tokens:create", "Make a token, and show it: this once."),
                    "list": ListedCommand("tokens:list_tokens", "List the tokens, without their secrets."),
                    "revoke": ListedCommand("tokens:revoke", "Revoke a token: within seconds it counts no more."),
                },
                LOOK,
            ),
            "clock": ListedGroup(
                "Move the simulated clock of a test or demo meter.",
                {
                    "advance": ListedCommand("clock:advance", "Let time pass on a meter with a simulated clock."),
                },
                LOOK,
            ),
            "verify": ListedCommand("proof:verify", "Recompute everything, or one bill, from the log; compare.", LOOK),
            "reconcile": ListedCommand(
                "proof:reconcile", "Add up what came in, what was priced, billed and paid.", LOOK
            ),
        }
    )
