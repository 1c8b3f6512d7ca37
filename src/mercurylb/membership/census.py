"""Who counts as alive: SWIM's table, less whom the detector found dead, plus whom we presume alive.

A verdict holds as of an incarnation: a member whose incarnation is higher is alive again. What is
presumed comes from what others told before we joined, and ends when we have joined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.fast.codec import VERSION, Status
from mercurylb.membership.member import DownReason, MemberNote, MemberView
from mercurylb.membership.swim.message import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mercurylb.membership.fast.detector import FastDetector
    from mercurylb.membership.swim.effect import SwimMember

OURS = f"mlb{VERSION}".encode()
"""What the metadata of our own announcers begins with; their note follows.

Announcers of other versions of the detector's datagrams are strangers to each other, like MetalLB's
speakers: gossip alone tells who lives, and one ranking who owns.
"""


class Census:
    """The other members."""

    def __init__(self, node: str) -> None:
        self.node = node
        self._found: dict[str, tuple[int, DownReason]] = {}
        self._reasons: dict[str, DownReason] = {}
        self._notes: dict[str, bytes] = {}
        self._presumed: frozenset[str] = frozenset()

    def clear(self) -> None:
        """Know nothing of anybody."""
        self._found.clear()
        self._reasons.clear()
        self._notes.clear()
        self._presumed = frozenset()

    def presume(self, names: Iterable[str]) -> None:
        """Take some for alive, whatever the table says, or no longer."""
        self._presumed = frozenset(names) - {self.node}

    def condemn(self, member: SwimMember, incarnation: int, reason: DownReason) -> bool:
        """Take over a verdict; return whether it is news."""
        if member.incarnation > incarnation or not self.is_alive(member):
            return False
        self._found[member.name] = (incarnation, reason)
        return True

    def on_up(self, node: str) -> None:
        """Take note that SWIM holds a node for alive again; it may be a record begun anew."""
        self._found.pop(node, None)

    def on_down(self, node: str, *, is_leave: bool) -> None:
        """Take note that SWIM holds a node for dead."""
        self._reasons[node] = DownReason.LEAVING if is_leave else DownReason.TOLD

    def take_note(self, member: SwimMember) -> list[MemberNote]:
        """Return what a live member says about itself, if it is another thing than before."""
        note = member.meta[len(OURS) :] if member.meta.startswith(OURS) else b""
        if not self.is_alive(member) or self._notes.get(member.name, b"") == note:
            return []
        self._notes[member.name] = note
        return [MemberNote(member.name, note)]

    def sweep(self, members: Mapping[str, SwimMember]) -> None:
        """Forget those who are in the table no more."""
        for node in {*self._found, *self._reasons, *self._notes} - members.keys():
            self._found.pop(node, None)
            self._reasons.pop(node, None)
            self._notes.pop(node, None)

    # --- what follows ------------------------------------------------------------------------

    def is_alive(self, member: SwimMember) -> bool:
        """Return whether a member counts as alive."""
        found = self._found.get(member.name)
        return member.is_live and (found is None or member.incarnation > found[0])

    def status(self, member: SwimMember) -> Status:
        """Return the same for the detector."""
        if self.is_alive(member):
            return Status.ALIVE
        found = self._found.get(member.name)
        has_left = member.state is State.LEFT
        if has_left or (found is not None and found[1] is DownReason.LEAVING):
            return Status.LEFT
        return Status.DEAD

    def live(self, members: Mapping[str, SwimMember], *, is_owning: bool) -> frozenset[str]:
        """Return who may own, this node included if it may."""
        live = {name for name, member in members.items() if self.is_alive(member)}
        live |= {name for name in self._presumed if name not in self._found}
        (live.add if is_owning else live.discard)(self.node)
        return frozenset(live)

    def reason(self, node: str) -> DownReason:
        """Return why a node does not count as alive."""
        if node in self._found:
            return self._found[node][1]
        return self._reasons.get(node, DownReason.TOLD)

    def views(
        self, members: Mapping[str, SwimMember], detector: FastDetector, now: float
    ) -> list[MemberView]:
        """Return how the members look, for people."""
        views: list[MemberView] = []
        for name, member in members.items():
            if name == self.node:
                continue
            contact = detector.contact(name)
            is_alive = self.is_alive(member)
            silent_s: float | None = None
            if contact is not None and not is_alive:
                silent_s = contact.silent_s
            elif contact is not None and contact.is_watched and contact.heard_at is not None:
                silent_s = now - contact.heard_at
            views.append(
                MemberView(
                    node=name,
                    address=member.address,
                    state=self._state(member),
                    reason="" if is_alive else self.reason(name).value,
                    is_ours=member.meta.startswith(OURS),
                    silent_s=silent_s,
                )
            )
        return views

    def _state(self, member: SwimMember) -> str:
        if self.is_alive(member):
            return "suspect" if member.state is State.SUSPECT else "up"
        return "left" if self.status(member) is Status.LEFT else "down"
