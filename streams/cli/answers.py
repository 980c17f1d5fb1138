"""What came of a command, for people and for programs; what an answer has not yet."""

from streams.commands.verdict import CLOCK_AHEAD, DISAGREE, Outcome
from streams.errors import Exit
from streams.published.lag import Waiting
from streams.terminal.output import complain, note, say, say_json


def report(outcome: Outcome, done: str, timeout_s: float, as_json: bool) -> int:
    """Say it: the line `done`, or why it is not. Returns the exit code."""
    answers = [answer for _, answer in sorted(outcome.answers.items())]
    if as_json:
        say_json([answer.model_dump(mode="json", exclude_none=True) for answer in answers])
    verdict = outcome.verdict
    if verdict.code == CLOCK_AHEAD:
        complain(f"refused: {verdict.code}: {verdict.message}: --command-id {outcome.command_id}")
        return Exit.FAILED
    if verdict.code == DISAGREE:
        complain("PARTITIONS DISAGREE about this command; accounts would not be treated alike:")
        for answer in answers:
            what = f"{answer.status} {answer.code or ''} {answer.message or ''}".rstrip()
            complain(f"  partition {answer.partition}: {what}")
        return Exit.FAILED
    if verdict.outcome == "sent":
        complain(_no_answer(outcome, timeout_s))
        return Exit.FAILED
    if verdict.outcome == "refused":
        complain(f"refused: {verdict.code}: {verdict.message}")
        return Exit.FAILED
    if not as_json:
        say(done)
    return Exit.OK


def _no_answer(outcome: Outcome, timeout_s: float) -> str:
    partitions = "partitions" if len(outcome.silent) > 1 else "partition"
    return (
        f"no answer from {partitions} {', '.join(map(str, outcome.silent))} within {timeout_s:g} s; does a worker run? "
        f"The command is in the log and will be answered; ask again with --command-id {outcome.command_id}"
    )


def note_waiting(wait: Waiting) -> None:
    """What is not in an answer yet, where there is something."""
    if wait.records:
        note(f"{wait}: `meter status` shows the workers")
