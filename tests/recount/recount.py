"""The whole log: every partition recounted and compared, and what was rerouted between them."""

from collections import Counter
from typing import NamedTuple

from tests.recount.compare import Reroutes, differences, fold_journal, reroute_differences
from tests.recount.compare_money import money_differences
from tests.recount.count import PartitionCount, Row
from tests.recount.log import Log

FIRST = 20


class Report(NamedTuple):
    """The first differences in words (none: equal), how many there are, and what was recounted."""

    first: list[str]
    differences: int
    outcomes: Counter[str]
    codes: Counter[str]


def recount(bootstrap_servers: str, prefix: str = "") -> Report:
    """Recount everything that the inputs hold and compare it with what was published."""
    log = Log(bootstrap_servers, prefix)
    try:
        return recount_log(log)
    finally:
        log.close()


def recount_log(log: Log) -> Report:
    partitions = log.partitions()
    found: list[str] = []
    outcomes: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    reroutes = Reroutes({}, {}, [])
    for partition in range(partitions):
        published = log.published(partition)
        count = PartitionCount(partition, partitions, rules_of(published.journal))
        found += fold_journal(count, log.inputs(partition), published.journal)
        found += differences(count, published)
        found += money_differences(count, published)
        outcomes += count.outcomes
        codes.update(refused.code for refused in count.refused.values())
        reroutes.add(count, published)
    found += reroute_differences(reroutes)
    return Report(found[:FIRST], len(found), outcomes, codes)


def rules_of(journal: list[Row]) -> Row:
    """What the meter was created with: the first record of its journal."""
    return journal[0] if journal and journal[0].get("kind") == "rules" else {}
