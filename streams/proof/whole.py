"""`meter verify`: all partitions, or an account's, recomputed and compared."""

from collections.abc import Callable

from meter.routing import owner
from streams.errors import MeterError
from streams.kafka import same_log as samelog
from streams.kafka.rights import AUDITOR
from streams.kafka.topics import check
from streams.proof.differences import Report, Scope, UnprovableError
from streams.proof.log import PartitionLog, readers
from streams.proof.partition import PartitionProof
from streams.proof.rerouted import RerouteCheck
from streams.settings import Settings

Say = Callable[[str], None]

EVERYTHING = Scope()


async def verify(settings: Settings, scope: Scope = EVERYTHING, *, say: Say) -> Report:
    """Recompute and compare. With an account, its partition alone; differences are those that `scope` asks about.

    Raises MeterError for an account that there is not: a misspelt one must not seem to be proved.
    """
    rules = await check(settings, AUDITOR)
    account = scope.account
    partitions = range(rules.partitions) if account is None else [owner(account, rules.partitions)]
    report = Report(differences=await samelog.differences(settings, partitions, rules))
    rerouted = RerouteCheck()
    try:
        async with readers(settings) as log_readers:
            for partition in partitions:
                proof = PartitionProof(PartitionLog(settings, partition, log_readers), rules, report, rerouted)
                found = [difference async for difference in proof.differences()]
                log_readers.release()
                report.partitions += 1
                report.differences += [difference.text for difference in found if scope.concerns(difference)]
                if account is not None and report.proved and not proof.knows(account):
                    raise MeterError(f"there is no account {account!r}: nothing of it was verified")
                say(f"partition {partition}: {report.steps} steps, {report.records} records so far")
        if account is None:
            found = [difference async for difference in rerouted.differences(settings, rules)]
            report.differences += [difference.text for difference in found if scope.concerns(difference)]
    except UnprovableError as error:
        report.unprovable = str(error)
    return report
