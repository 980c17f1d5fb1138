"""Who meters which partition: as evenly as can be, with as few moves as can be, and to whoever has the index already.

A pure function of what the members say of themselves, so that it can be read, and tested, without a Kafka.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Member(NamedTuple):
    """What a worker says of itself when it joins the group."""

    name: str
    #: The group's generation in which it was given what it holds: a member that was away says what is no longer so.
    generation: int
    held: frozenset[int]
    #: Partitions whose dedupe index is on its disk, and up to which position of `usage.priced` each is true.
    warm: Mapping[int, int]


class MemberShare(NamedTuple):
    """What a member is given: the partitions that it meters, and those whose index it keeps ready."""

    active: frozenset[int]
    standby: frozenset[int]


def share(partitions: int, members: Sequence[Member]) -> dict[str, MemberShare]:
    """The share of each member, by its name. Each partition is active on one, and on standby on one other, if any."""
    members = sorted(members)
    active = _held(partitions, members)
    room = _room(partitions, members, active)
    for member in members:
        wanted = {p for p in range(partitions) for other in members if other is not member and p in other.warm}
        surplus = sorted(active[member.name], key=lambda p: (p in wanted, p))
        for partition in surplus[room[member.name] :]:
            active[member.name].discard(partition)
    free = set(range(partitions)).difference(*active.values())
    # Those first that somebody has an index of: else another one would be put in its place.
    for partition in sorted(free, key=lambda p: (not any(p in member.warm for member in members), p)):
        open_to = [member for member in members if len(active[member.name]) < room[member.name]]
        taker = min(open_to, key=lambda m: (-m.warm.get(partition, -1), len(active[m.name]) - room[m.name], m.name))
        active[taker.name].add(partition)
    standby = _standbys(partitions, members, active)
    return {name: MemberShare(frozenset(active[name]), frozenset(standby[name])) for name in active}


def _held(partitions: int, members: Iterable[Member]) -> dict[str, set[int]]:
    """What each holds: of several that say so of one partition, the one that was told last."""
    holder: dict[int, Member] = {}
    for member in members:
        for partition in member.held:
            if partition < partitions and (partition not in holder or holder[partition].generation < member.generation):
                holder[partition] = member
    held: dict[str, set[int]] = {member.name: set() for member in members}
    for partition, member in holder.items():
        held[member.name].add(partition)
    return held


def _room(partitions: int, members: Sequence[Member], held: Mapping[str, set[int]]) -> dict[str, int]:
    """How many each may have: those that hold most have one more, where it does not come out even."""
    least, more = divmod(partitions, len(members))
    by_load = sorted(members, key=lambda member: (-len(held[member.name]), -len(member.warm), member.name))
    return {member.name: least + (place < more) for place, member in enumerate(by_load)}


def _standbys(partitions: int, members: Sequence[Member], active: Mapping[str, set[int]]) -> dict[str, set[int]]:
    """Each partition on one member that does not meter it: one that has its index, if there is, and is not full."""
    standby: dict[str, set[int]] = {member.name: set() for member in members}
    most = -(-partitions // len(members))
    for partition in range(partitions):
        others = [member for member in members if partition not in active[member.name]]
        if others:
            taker = min(
                others,
                key=lambda m: (
                    len(standby[m.name]) >= most,
                    -m.warm.get(partition, -1),
                    len(standby[m.name]),
                    m.name,
                ),
            )
            standby[taker.name].add(partition)
    return standby
