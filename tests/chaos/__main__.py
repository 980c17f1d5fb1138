"""`python -m tests.chaos [--long | --broker] [--cluster | --days | --settling] [--seed N] [--fault X]`.

Ends with 0 where everything is right; with a fault, where it was found. Otherwise with 1.
"""

import argparse
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.cluster_plan import ClusterPlan
from tests.chaos.cluster_runner import ClusterChaos
from tests.chaos.cluster_verdict import cluster_verdict
from tests.chaos.days_runner import DaysChaos, DaysPlan
from tests.chaos.faults import BITES, FAULTS, bites_of, judged
from tests.chaos.plan import Plan
from tests.chaos.runner import Chaos
from tests.chaos.verdict import Say, verdict


def chaos(plan: Plan, root: Path, say: Say) -> list[str]:
    """One run in `root`: what was wrong with it, in words."""
    run = Chaos(plan, root, say)
    try:
        return verdict(run.go(), run.bootstrap, run.meter, say)
    finally:
        run.close()


def days_chaos(plan: DaysPlan, root: Path, say: Say) -> list[str]:
    """One run with settlement in `root`: what was wrong with it, in words."""
    run = DaysChaos(plan, root, say)
    try:
        return run.settle()
    finally:
        run.close()


def cluster_chaos(plan: ClusterPlan, root: Path, say: Say) -> list[str]:
    """One run on three brokers in `root`: what was wrong with it, in words."""
    run = ClusterChaos(plan, root, say)
    try:
        run.go()
        return cluster_verdict(run, say)
    finally:
        run.close()


def as_wanted(fault: str, findings: list[str], root: Path) -> int:
    """0 where a planted bug has bitten and was found."""
    is_found, why = judged(fault, bites_of(root / BITES, fault), findings)
    print(f"red as wanted: {why}" if is_found else f"NOT AS WANTED: {why}; logs and data are in {root}")
    if is_found:
        shutil.rmtree(root)
    return 0 if is_found else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--long", action="store_true", help="1,000,000 records, 24 kills, 5 freezes")
    parser.add_argument("--broker", action="store_true", help="200,000 records, 20 kills of the broker itself")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--fault", choices=sorted(FAULTS), help="plant a bug: the run must find it")
    parser.add_argument("--cluster", action="store_true", help="three brokers, three workers, every kind of fault")
    parser.add_argument("--settling", action="store_true", help="100,000 customers billed once, under kills")
    parser.add_argument("--days", action="store_true", help="simulated days of customers, with settlement")
    arguments = parser.parse_args()
    if arguments.days and arguments.fault:
        parser.error("a fault is planted in the run without --days")
    make = Plan.long if arguments.long else Plan.short
    if arguments.cluster and (arguments.broker or arguments.days or arguments.settling):
        parser.error("--cluster is a run of its own")
    if arguments.broker and (arguments.long or arguments.days or arguments.settling or arguments.fault):
        parser.error("--broker is a run of its own")
    root = Path(tempfile.mkdtemp(prefix="meter-chaos-"))
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:7.1f}  {line}", flush=True)

    say(f"seed {arguments.seed}, in {root}")
    if arguments.cluster:
        wanted = ClusterPlan.long if arguments.long else ClusterPlan.short
        findings = cluster_chaos(wanted(arguments.seed, arguments.fault), root, say)
    elif arguments.days or arguments.settling:
        days = DaysPlan.settling if arguments.settling else DaysPlan.long if arguments.long else DaysPlan.short
        findings = days_chaos(days(arguments.seed), root, say)
    else:
        plan = Plan.broker(arguments.seed) if arguments.broker else make(arguments.seed, arguments.fault)
        findings = chaos(plan, root, say)
    for finding in findings:
        print(f"WRONG  {finding}")
    if arguments.fault:
        return as_wanted(arguments.fault, findings, root)
    if findings:
        print(f"red: {len(findings)} findings; logs and data are in {root}")
        return 1
    shutil.rmtree(root)
    print("green: totals, priced jobs and rejects equal the recount and the replay")
    return 0


if __name__ == "__main__":
    sys.exit(main())
