"""Who watches whom."""

from __future__ import annotations

import pytest

from mercurylb.membership.fast.ring import MESH_MAX, RING_COUNT, Rings


def names(count: int) -> list[str]:
    """Return node names."""
    return [f"node-{number}" for number in range(count)]


@pytest.mark.parametrize("count", range(1, MESH_MAX + 1))
def test_few_watch_each_other_all(count: int) -> None:
    """Up to five nodes are a full mesh."""
    rings = Rings(names(count))
    for name in names(count):
        assert rings.neighbours(name) == tuple(n for n in names(count) if n != name)


@pytest.mark.parametrize("count", [6, 7, 20, 200])
def test_many_are_watched_by_a_constant_number(count: int) -> None:
    """Everybody has two to four observers, and watches exactly those."""
    rings = Rings(names(count))
    for name in names(count):
        neighbours = rings.neighbours(name)
        assert 2 <= len(neighbours) <= 2 * RING_COUNT
        assert name not in neighbours
        assert all(name in rings.neighbours(other) for other in neighbours)


def test_neighbours_are_a_function_of_the_set() -> None:
    """The order in which nodes come and go leaves no trace."""
    grown = Rings(reversed(names(30)))
    for name in names(40)[30:]:
        grown.add(name)
        grown.add(name)
    for name in [*names(40)[30:], "never there"]:
        grown.remove(name)
    fresh = Rings(names(30))
    assert [grown.neighbours(n) for n in names(40)] == [fresh.neighbours(n) for n in names(40)]
    assert len(grown) == 30


def test_one_that_goes_changes_only_those_beside_it() -> None:
    """Whoever was no neighbour of the node that went keeps all of its own."""
    rings = Rings(names(50))
    before = {name: rings.neighbours(name) for name in names(50)}
    rings.remove("node-7")
    changed = {n for n in names(50) if n != "node-7" and rings.neighbours(n) != before[n]}
    assert changed == set(before["node-7"])


def test_who_would_watch_one_that_is_not_there() -> None:
    """A dead node's former observers are those who knock at its door."""
    rings = Rings(names(50))
    before = rings.neighbours("node-7")
    rings.remove("node-7")
    assert rings.neighbours("node-7") == before
