"""The group's assignor: what members say of themselves, and what they are told. See `sharing.py` for who gets what."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from faust.assignor.partition_assignor import PartitionAssignor

from streams.engine.assembly import Engine
from streams.engine.disk_index import index_directory, saved_positions
from streams.engine.sharing import Member, MemberShare, share


class MemberUserData(msgspec.Struct):
    """A member's part, as it joins."""

    generation: int
    held: list[int]
    warm: dict[int, int]


class AssignmentUserData(msgspec.Struct):
    """The group's answer, beside the partitions themselves."""

    standby: list[int]


_read_member = msgspec.json.Decoder(MemberUserData).decode
_read_assignment = msgspec.json.Decoder(AssignmentUserData).decode


class MeterAssignor(PartitionAssignor):
    """All inputs of a partition on one worker, by what the workers hold and have ready.

    Its name is not Faust's: a worker of another version cannot join, and says so.
    """

    #: Partitions that this worker is to keep an index of, by the last assignment.
    standby: frozenset[int] = frozenset()

    @property
    def name(self) -> str:
        """The protocol's name in the group."""
        return "meter-1"

    def metadata(self, topics: Any) -> ConsumerProtocolMemberMetadata:
        """What this worker says of itself."""
        engine: Engine = self.app.engine
        given, warm = engine.owners.assignment, saved_positions(index_directory(engine.settings))
        said = MemberUserData(given.generation, sorted(given.partitions), warm)
        return ConsumerProtocolMemberMetadata(self.version, sorted(topics), msgspec.json.encode(said))

    def _assign(self, cluster: Any, member_metadata: Mapping[str, ConsumerProtocolMemberMetadata]) -> Any:
        topics = sorted({topic for metadata in member_metadata.values() for topic in metadata.subscription})
        members = [_member(name, metadata) for name, metadata in member_metadata.items()]
        engine: Engine = self.app.engine
        shares = share(engine.rules.partitions, members)
        return {name: self._told(topics, each) for name, each in shares.items()}

    def _told(self, topics: list[str], each: MemberShare) -> ConsumerProtocolMemberAssignment:
        told = msgspec.json.encode(AssignmentUserData(sorted(each.standby)))
        active = [(topic, sorted(each.active)) for topic in topics]
        return ConsumerProtocolMemberAssignment(self.version, active, told)

    def on_assignment(self, assignment: Any) -> None:
        """What this worker was told."""
        self.standby = frozenset(_read_assignment(assignment.user_data).standby)


def _member(name: str, metadata: ConsumerProtocolMemberMetadata) -> Member:
    said = _read_member(metadata.user_data)
    return Member(name, said.generation, frozenset(said.held), said.warm)
