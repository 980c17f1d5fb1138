"""Who needs which rights on Kafka, asked for at the start: what is missing is named at once, before it is needed.

Kafka tells what one may do with topics and groups. Of transactional ids it tells only whether they may be seen; the
rest is known when a producer starts. Reading and writing bring the right to describe.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from meter import topics
from streams.errors import RefusalToStartError
from streams.kafka.wire import Operation, Topic, denied_transactions, group_rights
from streams.settings import Settings

COORDINATOR_PATIENCE_S = 15.0
COORDINATOR_RETRY_S = 0.1


class KafkaRole(NamedTuple):
    """What one of the meter's processes and commands does with Kafka. Topics without the deployment's prefix.

    `configures`: it reads the configuration of all topics. `joins`: it is a member of the meter's group.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    configures: bool = False
    joins: bool = False

    @property
    def topics(self) -> list[str]:
        """All that it has to do with."""
        return list(dict.fromkeys((*self.reads, *self.writes, *(topics.ALL if self.configures else ()))))

    def operations(self, topic: str) -> Iterator[Operation]:
        """What it does with a topic."""
        if topic in self.reads:
            yield Operation.READ
        if topic in self.writes:
            yield Operation.WRITE
        if topic not in (*self.reads, *self.writes):
            yield Operation.DESCRIBE
        if self.configures:
            yield Operation.DESCRIBE_CONFIGS


def reading(*names: str) -> KafkaRole:
    """Somebody who reads these topics, and the rules in the journal."""
    return KafkaRole(reads=tuple(dict.fromkeys((topics.JOURNAL, *names))))


WORKER = KafkaRole(
    reads=topics.ALL,
    writes=tuple(topic for topic in topics.ALL if topic not in (topics.COMPLETED, topics.COMMANDS)),
    configures=True,
    joins=True,
)
CREATOR = KafkaRole(reads=(topics.JOURNAL,), writes=(topics.JOURNAL,), configures=True)
CHECKER = KafkaRole(reads=(*topics.INPUTS, topics.JOURNAL, topics.STATE), configures=True)
PRODUCER = KafkaRole(writes=(topics.COMPLETED,))
TIMED_PRODUCER = KafkaRole(reads=(topics.JOURNAL,), writes=(topics.COMPLETED,))
REDRIVER = KafkaRole(reads=(topics.JOURNAL, topics.REJECTED), writes=(topics.COMPLETED,))
#: Commands are answered; an id that was used before is looked for among them.
ORDERER = KafkaRole(reads=(topics.JOURNAL, topics.COMMANDS, topics.COMMAND_RESULTS), writes=(topics.COMMANDS,))
#: A price book is first held against those that there are.
PUBLISHER = KafkaRole(reads=(*ORDERER.reads, topics.STATE), writes=ORDERER.writes)
CLOCK = KafkaRole(reads=(*ORDERER.reads, topics.STATE, *topics.INPUTS), writes=ORDERER.writes)
API = KafkaRole(
    reads=(topics.JOURNAL, topics.COMMAND_RESULTS, topics.COMMANDS), writes=(topics.COMPLETED, topics.COMMANDS)
)
AUDITOR = reading(*topics.ALL)


#: What Kafka answers to one who may not.
DENIALS = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)


class MissingRightsError(RefusalToStartError):
    """Kafka does not let this user do what it will have to do."""


class Missing(NamedTuple):
    """A right that is not there: `topic usage.rejected` and what is to be done with it."""

    resource: str
    operation: Operation

    def __str__(self) -> str:
        return f"{self.operation} on {self.resource}"


async def need(
    client: AIOKafkaAdminClient,
    settings: Settings,
    role: KafkaRole,
    found: dict[str, Topic],
    transactional_ids: Sequence[str] = (),
) -> None:
    """See that a role's rights are there; `found` are its topics by full name.

    Raises MissingRightsError, which names each that is not.
    """
    missing = [*_of_topics(settings, role, found)]
    if role.joins and not await _may_join(client, settings.app_id):
        missing.append(Missing(f"group {settings.app_id}", Operation.READ))
    denied = await denied_transactions(client, transactional_ids) if transactional_ids else []
    missing += [Missing(f"transactional id {each}", Operation.WRITE) for each in denied]
    if missing:
        raise MissingRightsError(refused(settings, missing))


async def _may_join(client: AIOKafkaAdminClient, group: str) -> bool:
    """Whether the group may be joined, as far as Kafka says: on a new cluster it has no coordinators at first."""
    deadline = time.monotonic() + COORDINATOR_PATIENCE_S
    while True:
        try:
            rights = await group_rights(client, group)
        except KafkaError as error:
            if not error.retriable or time.monotonic() > deadline:
                return True
            await asyncio.sleep(COORDINATOR_RETRY_S)
        else:
            return rights is None or Operation.READ in rights


def _of_topics(settings: Settings, role: KafkaRole, found: dict[str, Topic]) -> Iterator[Missing]:
    for topic in role.topics:
        said = found[settings.topic(topic)]
        for operation in role.operations(topic):
            is_unseen = said.error is TopicAuthorizationFailedError
            if is_unseen or (said.rights is not None and said.error is None and operation not in said.rights):
                yield Missing(f"topic {said.name}", operation)


def refused(settings: Settings, missing: Iterable[Missing]) -> str:
    """The line that names rights that are missing."""
    user = f" {settings.sasl_username}" if settings.sasl_username else ""
    return (
        f"Kafka does not give this user{user} the rights: {'; '.join(map(str, missing))}. "
        "Give them with kafka-acls.sh, see `Rights` in docs/operating.md"
    )
