"""Who is known: one record per name, and the order in which they are probed.

A record is a frozen value that is replaced as a whole. The dead and those who have left stay for
some time, so that late news about them is understood; they are dropped when the probing has gone
round (`reap`). A new member comes to a random place of the order, so that it is not probed last by
everybody.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from mercurylb.membership.swim.message import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mercurylb.membership.seal import Chance
    from mercurylb.membership.swim.effect import SwimMember

MEMBERS_MAX = 4096
"""Kubernetes knows clusters of 5000 nodes; layer 2 does not reach that far."""
_TRIES_PER_PICK = 8


class Table:
    """The members, ourselves included."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._members: dict[str, SwimMember] = {}
        self._order: list[str] = []
        self._turn = 0
        self.members: Mapping[str, SwimMember] = MappingProxyType(self._members)
        """A view that follows every change."""

    def __len__(self) -> int:
        """Count everybody, the dead too."""
        return len(self._order)

    @property
    def is_full(self) -> bool:
        """Whether nobody else can be known."""
        return len(self._order) >= MEMBERS_MAX

    def put(self, member: SwimMember) -> None:
        """Take over a record, new or changed."""
        if member.name not in self._members:
            self._order.append(member.name)
            last = len(self._order) - 1
            place = self._chance.randrange(last) if last else 0
            self._order[place], self._order[last] = self._order[last], self._order[place]
        self._members[member.name] = member

    def live(self, but: str) -> list[SwimMember]:
        """Return all who are alive or suspect, without one, in the order of their coming."""
        return [m for m in self._members.values() if m.is_live and m.name != but]

    def has_live(self, but: str) -> bool:
        """Whether anybody but one is alive or suspect."""
        return any(m.is_live and m.name != but for m in self._members.values())

    def next_turn(self, but: str, *, now: float, keep_s: float) -> SwimMember | None:
        """Return who is to be probed next, if anybody; at the end of a round `reap`."""
        for _ in range(len(self._order) + 1):
            if self._turn >= len(self._order):
                self._reap(now, keep_s)
                self._turn = 0
                if not self._order:
                    return None
            member = self._members[self._order[self._turn]]
            self._turn += 1
            if member.is_live and member.name != but:
                return member
        return None

    def pick(self, count: int, is_wanted: Callable[[SwimMember], bool]) -> list[SwimMember]:
        """Return up to so many different members at random; fewer only if there are no more."""
        size = len(self._order)
        if size > count * _TRIES_PER_PICK:
            picked: dict[str, SwimMember] = {}
            for _ in range(count * _TRIES_PER_PICK):
                member = self._members[self._order[self._chance.randrange(size)]]
                if is_wanted(member):
                    picked[member.name] = member
                    if len(picked) == count:
                        return list(picked.values())
        wanted = [member for member in self._in_order() if is_wanted(member)]
        return self._chance.sample(wanted, min(count, len(wanted)))

    def _in_order(self) -> Iterator[SwimMember]:
        return (self._members[name] for name in self._order)

    def _reap(self, now: float, keep_s: float) -> None:
        gone = {m.name for m in self._in_order() if not m.is_live and now - m.changed_at > keep_s}
        if gone:
            self._order = [name for name in self._order if name not in gone]
            for name in gone:
                del self._members[name]
        self._chance.shuffle(self._order)

    def validate(self) -> None:
        """Assert the invariants."""
        assert len(self._order) == len(self._members) <= MEMBERS_MAX
        assert set(self._order) == set(self._members)
        assert 0 <= self._turn <= MEMBERS_MAX
        for name, member in self._members.items():
            assert member.name == name
            assert len(member.vsn) == 6, member  # noqa: PLR2004
            assert isinstance(member.state, State)
