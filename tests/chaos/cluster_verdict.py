"""Was it right? What the clients were told, held against the log; the recount, `verify` and `reconcile`; the table."""

import json
from collections import Counter
from collections.abc import Iterator

from tests.chaos.clients import Acknowledged, ChaosClients, job_of
from tests.chaos.cluster_runner import PARTITIONS, ClusterChaos, ClusterRun
from tests.chaos.days import COMMANDS, COMPLETED
from tests.chaos.runner import Say
from tests.chaos.verdict import wrong_exits
from tests.recount.log import Log
from tests.recount.recount import recount

FIRST = 10
Place = tuple[str, int, int]


def cluster_verdict(chaos: ClusterChaos, say: Say) -> list[str]:
    """Everything that was wrong, in words."""
    run = chaos.run
    found = [*run.findings, *chaos.reader.wrong, *wrong_exits(run)]
    if not found:
        report = recount(chaos.bootstrap)
        say(f"recounted          {dict(report.outcomes)}")
        found += [*report.first, *outcomes(chaos.bootstrap, chaos.clients), *proofs(chaos), *too_little(run)]
    tell(chaos, len(found), say)
    return found


def proofs(chaos: ClusterChaos) -> Iterator[str]:
    for command in ("verify", "reconcile"):
        ended = chaos.meter(command)
        if ended.returncode:
            yield f"meter {command} exited with {ended.returncode}: {ended.stdout[-1000:]}{ended.stderr[-1000:]}"


def outcomes(bootstrap_servers: str, clients: ChaosClients) -> list[str]:
    """Every acknowledged record is where its producer was told, and has become exactly one thing."""
    log = Log(bootstrap_servers)
    try:
        became = Outcomes(log)
        found = list(became.wrong(clients))
    finally:
        log.close()
    return found[:FIRST] + ([f"... {len(found)} in all"] if len(found) > FIRST else [])


class Outcomes:
    """What the log says has become of each record of the inputs."""

    def __init__(self, log: Log) -> None:
        self._inputs: dict[Place, bytes] = {}
        self._at: Counter[Place] = Counter()
        self._jobs: Counter[tuple[str, str]] = Counter()
        for partition in range(log.partitions()):
            for topic in (COMPLETED, COMMANDS):
                for record in log.records(topic, partition):
                    self._inputs[topic, partition, record.offset] = record.value or b""
            for topic in ("usage.priced", "usage.rejected", "meter.command-results"):
                for record in log.records(topic, partition):
                    self._add(json.loads(record.value or b"{}"))

    def _add(self, row: dict[str, object]) -> None:
        place = row.get("origin") or row["source"]
        assert isinstance(place, dict)
        self._at[place["topic"], place["partition"], place["offset"]] += 1
        if "unit_price" in row:
            self._jobs[str(row["account_id"]), str(row["job_id"])] += 1

    def wrong(self, clients: ChaosClients) -> Iterator[str]:
        """Everything that is not as the clients were told."""
        for told in clients.acknowledged:
            yield from self._wrong_record(told)
        for job, times in self._jobs.items():
            if times > 1:
                yield f"job {job} was priced {times} times"
        said = {told.value for told in clients.acknowledged}
        known = {job_of(value) for value in said}
        for value in clients.aborted:
            aborted = job_of(value)
            if clients.counts["unknown"] == 0 and aborted not in known and aborted in self._jobs:
                yield f"job {aborted} was aborted, and priced"
        too_many = len(self._inputs) - len(clients.acknowledged) - PARTITIONS  # the clock's own tick at the end
        if not 0 <= too_many <= clients.counts["unknown"]:
            yield f"the log holds {too_many:+,} records against what the clients were told: {dict(clients.counts)}"

    def _wrong_record(self, told: Acknowledged) -> Iterator[str]:
        place = (told.topic, told.partition, told.offset)
        if self._inputs.get(place) != told.value:
            yield f"what was acknowledged at {place} is not there"
            return
        times = self._at[place]
        # One that says nothing of its own is a duplicate: then its job was priced by another record.
        is_duplicate = times == 0 and told.topic == COMPLETED and self._jobs[job_of(told.value) or ("", "")] == 1
        if times != 1 and not is_duplicate:
            yield f"what was acknowledged at {place} has {times} outcomes: {told.value[:200]!r}"


def too_little(run: ClusterRun) -> Iterator[str]:
    """What the plan wanted and the run has not had: without it, it proves nothing."""
    for kind, wanted in run.plan.blows.items():
        if run.faults[kind].runs < wanted * 0.9:
            yield f"proves too little: {kind} {run.faults[kind].runs} times, {wanted} were planned"


def tell(chaos: ClusterChaos, violations: int, say: Say) -> None:
    """The table, and what is beside it."""
    run, clients = chaos.run, chaos.clients
    say(f"seed               {run.plan.seed}" + (f"   fault {run.plan.fault}" if run.plan.fault else ""))
    say(f"clients            {len(clients.acknowledged):,} acknowledged, {dict(clients.counts)}")
    say(f"reader             {chaos.reader.polls:,} polls of committed records")
    say(f"exit codes         {dict(sorted(run.exits.items()))}")
    for words in run.last_words[-20:]:
        say(f"                   {words}")
    rows = ["fault                  runs  violations  longest stall  after its end"]
    for kind, fault in run.faults.items():
        rows.append(
            f"{kind:<22} {fault.runs:>4}  {fault.violations:>10}  {fault.longest_s:>11.1f} s  {fault.after_s:>11.1f} s"
        )
    rows.append(f"in all                 {sum(f.runs for f in run.faults.values()):>4}  {violations:>10}")
    say("\n" + "\n".join(rows))
