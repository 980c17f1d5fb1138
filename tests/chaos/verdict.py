"""Was it right, and did it prove anything? Every finding is a sentence; none means yes twice."""

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from tests.chaos.plan import Run
from tests.chaos.watch import uncommitted
from tests.chaos.workers import FENCED
from tests.recount.count import COMPLETED
from tests.recount.recount import Report, recount

# SIGKILL, asked to stop, fenced, broker lost, step failed: how a worker may end here. Anything else is a bug.
HONEST_EXITS = {-9, 0, FENCED, 5, 6}
OUTCOMES = {"priced", "duplicate", "rejected", "rerouted"}
CODES = {
    *("not_json", "bad_fields", "unknown_kind", "unknown_region", "bad_duration", "no_offset"),
    *("in_future", "too_old", "conflict"),
}
Say = Callable[[str], None]
Meter = Callable[..., subprocess.CompletedProcess[str]]


def verdict(run: Run, bootstrap_servers: str, meter: Meter, say: Say) -> list[str]:
    """Compare what was published with the recount and with `meter verify`, and weigh the evidence."""
    report = recount(bootstrap_servers)
    aborted = aborted_steps(bootstrap_servers)
    aborted_inputs = sum(uncommitted(bootstrap_servers, COMPLETED))
    tell(run, report, aborted, aborted_inputs, say)
    return [
        *run.faults,
        *wrong_exits(run),
        *wrong_results(report),
        *verify(meter),
        *too_little(run, report, aborted, aborted_inputs),
    ]


def aborted_steps(bootstrap_servers: str) -> int:
    """Transactions of workers that were aborted after something of them had reached the log."""
    topics = ("meter.journal", "meter.state", "usage.priced")
    found = [uncommitted(bootstrap_servers, topic) for topic in topics]
    return sum(max(counts) for counts in zip(*found, strict=True))


def tell(run: Run, report: Report, aborted: int, aborted_inputs: int, say: Say) -> None:
    say(f"seed               {run.plan.seed}" + (f"   fault {run.plan.fault}" if run.plan.fault else ""))
    say(f"records            {run.sent['acknowledged']:,} acknowledged, {run.sent['aborted']:,} aborted by producers")
    say(f"recounted          {dict(report.outcomes)}")
    say(f"rejects            {dict(sorted(report.codes.items()))}")
    say(f"kills              {run.kills}, {run.kills_in_transaction} in a transaction, {run.wipes} with the disk wiped")
    say(f"freezes            {run.freezes}, {run.freezes_in_transaction} in a transaction")
    say(f"broker restarts    {run.broker_restarts}, {run.forgotten_ends} ends of transactions forgotten by it")
    say(f"fencings           {run.exits[FENCED]} workers, {run.taken_over} partitions")
    say(f"exit codes         {dict(sorted(run.exits.items()))}")
    for words in run.last_words:
        say(f"                   {words}")
    say(f"aborted            {aborted} transactions of workers, {aborted_inputs} stretches of producers' records")


class RunEnded(Protocol):
    """How the workers of a run have ended, by code and as asked, and what they said."""

    @property
    def exits(self) -> Counter[int]: ...
    @property
    def last_exits(self) -> list[int]: ...
    @property
    def last_words(self) -> list[str]: ...


def wrong_exits(run: RunEnded) -> Iterator[str]:
    for code, times in run.exits.items():
        if code not in HONEST_EXITS:
            said = next((f", at first {words}" for words in run.last_words if f"exit_code={code}" in words), "")
            yield f"a worker exited with {code} ({times} times){said}"
    if run.last_exits != [0] * len(run.last_exits):
        yield f"asked to stop, the workers exited with {run.last_exits}"


def wrong_results(report: Report) -> Iterator[str]:
    yield from report.first
    if report.differences > len(report.first):
        yield f"... {report.differences:,} differences from the recount in all"


def verify(meter: Meter) -> Iterator[str]:
    ended = meter("verify", "--json")
    if ended.returncode != 0:
        yield f"meter verify exited with {ended.returncode}: {ended.stdout[-1000:]}{ended.stderr[-1000:]}"


def too_little(run: Run, report: Report, aborted: int, aborted_inputs: int) -> Iterator[str]:
    """What the run should have met and has not: without it, it proves nothing."""
    plan, sent, outcomes = run.plan, run.sent, report.outcomes
    if (run.kills, run.freezes, run.broker_restarts) != (plan.kills, plan.freezes, plan.broker_kills):
        yield "not every blow of the plan was struck"
    if aborted < plan.least_aborted:
        yield f"proves too little: {aborted} aborted transactions, at least {plan.least_aborted} are wanted"
    if (fenced := run.exits[FENCED] + run.taken_over) < plan.least_fenced:
        yield f"proves too little: {fenced} fencings, at least {plan.least_fenced} are wanted"
    if not sent["aborted"] or not aborted_inputs:
        yield "proves too little: no producer aborted a transaction"
    missing = (OUTCOMES - set(outcomes)) | (CODES - set(report.codes))
    if missing:
        yield f"proves too little: never met {sorted(missing)}"
    surplus = outcomes["read"] - outcomes["rerouted"] - sent["acknowledged"]
    # A producer's next commit has committed what it had aborted: the log holds it, and who reads it cannot know.
    is_kafkas = run.forgotten_ends and 0 < surplus <= sent["aborted"]
    if sent["failed"] or sent["unsent"] or (surplus and not is_kafkas):
        yield f"the log holds {surplus:+,} completions against what the producers say: {dict(sent)}"
