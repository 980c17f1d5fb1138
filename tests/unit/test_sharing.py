"""Who meters which partition: all of them, evenly, with few moves, and where the index is."""

import random

import pytest

from streams.engine.sharing import Member, MemberShare, share


def member(name: str, held: tuple[int, ...] = (), warm: dict[int, int] | None = None, generation: int = 1) -> Member:
    return Member(name, generation, frozenset(held), warm or {})


def active(shares: dict[str, MemberShare]) -> dict[str, list[int]]:
    return {name: sorted(each.active) for name, each in shares.items()}


@pytest.mark.parametrize("seed", range(50))
def test_every_partition_is_on_one_member_and_on_standby_on_another(seed: int) -> None:
    chance = random.Random(seed)
    partitions, count = chance.randrange(1, 20), chance.randrange(1, 7)
    members = [
        Member(
            f"m{number}",
            chance.randrange(3),
            frozenset(chance.sample(range(partitions + 1), chance.randrange(partitions + 1))),
            {p: chance.randrange(99) for p in range(partitions) if chance.random() < 0.3},
        )
        for number in range(count)
    ]
    shares = share(partitions, members)
    assert sorted(p for each in shares.values() for p in each.active) == list(range(partitions))
    sizes = [len(each.active) for each in shares.values()]
    assert max(sizes) - min(sizes) <= 1
    assert sorted(p for each in shares.values() for p in each.standby) == (list(range(partitions)) if count > 1 else [])
    assert not any(each.active & each.standby for each in shares.values())
    chance.shuffle(members)
    assert share(partitions, members) == shares
    held = [m._replace(held=shares[m.name].active, generation=9) for m in members]
    assert active(share(partitions, held)) == active(shares)  # nothing moves where nobody comes or goes


def test_who_joins_gets_its_part_and_nothing_else_moves() -> None:
    before = [member("a", (0, 1, 2)), member("b", (3, 4, 5))]
    after = active(share(6, [*before, member("c")]))
    assert set(after["a"]) < {0, 1, 2}
    assert set(after["b"]) < {3, 4, 5}
    assert len(after["c"]) == 2


def test_who_comes_back_gets_what_it_has_an_index_of() -> None:
    before = [member("a", (0, 1, 2)), member("b", (3, 4, 5))]
    assert active(share(6, [*before, member("c", warm={2: 7, 4: 7})])) == {"a": [0, 1], "b": [3, 5], "c": [2, 4]}


def test_what_becomes_free_goes_to_who_has_the_newest_index_of_it() -> None:
    members = [member("a", (0, 1), {4: 10, 5: 20}), member("b", (2, 3), {4: 20, 5: 10})]
    assert active(share(6, members)) == {"a": [0, 1, 5], "b": [2, 3, 4]}


def test_of_two_that_say_they_hold_a_partition_the_one_that_was_told_last_keeps_it() -> None:
    """One of them was frozen, and the group went on without it."""
    members = [member("frozen", (0, 1, 2, 3), generation=4), member("awake", (0, 1, 2, 3), generation=5)]
    shares = active(share(4, members))
    assert len(shares["awake"]) == 2
    assert len(shares["frozen"]) == 2


def test_more_workers_than_partitions_leave_some_without_any() -> None:
    shares = share(1, [member("a", (0,)), member("b"), member("c")])
    assert active(shares) == {"a": [0], "b": [], "c": []}
    assert [sorted(shares[name].standby) for name in "bc"] == [[0], []]
