"""Who left on purpose, and whether its host still carries what it carried.

A speaker that is replaced is back in a moment, and meanwhile its node's kernel goes on handing
traffic to the endpoints: whoever has learned the node's MAC address is well served. So a successor
answers from the first moment, but invites nobody to come over: a client that moves takes its
connections along to a node that knows nothing of them, and they break, there and back again.

The successor tells everybody once that is needed: the host does not answer any more, or its speaker
has not come back for `QUIET_MAX_S`. Hosts are asked only while something was left with them.

Nothing is left with a host that may be on its way down itself: its node is cordoned or not Ready.

Facts: members, who left, who is back, what kernels answer, time. It does not know any service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.membership.member import DownReason, MemberDown, MemberUp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from mercurylb.membership.member import MembershipEffect
    from mercurylb.plan.desired import Member

QUIET_MAX_S = 120.0
"""A new version's image has to be fetched before its speaker starts."""
PROBE_S = 0.1
UNANSWERED_MAX = 5
"""Questions in a row without an answer after which a host counts as dead."""


class _Leaver:
    """One node without its speaker."""

    def __init__(self, address: str, now: float) -> None:
        self.address = address
        self.until = now + QUIET_MAX_S
        self.probe_at: float | None = None
        self.unanswered = 0


class Lull:
    """The nodes whose speakers left and whose hosts carry on."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}
        self._left: dict[str, _Leaver] = {}

    @property
    def nodes(self) -> frozenset[str]:
        """Return the nodes that may go on carrying what they carried."""
        return frozenset(self._left)

    def on_members(self, members: Iterable[Member]) -> None:
        """Take over where the other nodes are, and which of them are to stay."""
        self._addresses = {each.node: each.address for each in members if each.carries_on}

    def on_membership(self, effects: Iterable[MembershipEffect], now: float) -> None:
        """Note whose speaker leaves on purpose and whose is back.

        Nothing is left with a host that cannot be asked or is not to stay.
        """
        for effect in effects:
            if isinstance(effect, MemberUp):
                self._left.pop(effect.node, None)
            elif isinstance(effect, MemberDown) and effect.reason is DownReason.LEAVING:
                address = self._addresses.get(effect.node)
                if address is not None:
                    self._left[effect.node] = _Leaver(address, now)

    def watch(self, nodes: AbstractSet[str], now: float) -> None:
        """Ask these hosts from now on, and no others."""
        for node, leaver in self._left.items():
            if node not in nodes:
                leaver.probe_at = None
            elif leaver.probe_at is None:
                leaver.probe_at, leaver.unanswered = now, 0

    def on_answer(self, address: str) -> None:
        """Take in that a kernel answered."""
        for leaver in self._left.values():
            if leaver.address == address:
                leaver.unanswered = 0

    def next_deadline(self) -> float | None:
        """Return when to ask or to give up."""
        times = [leaver.until for leaver in self._left.values()]
        times += [at for leaver in self._left.values() if (at := leaver.probe_at) is not None]
        return min(times, default=None)

    def on_deadline(self, now: float) -> tuple[list[str], dict[str, str]]:
        """Return the addresses to ask, and the nodes that carry on no more, with the reason."""
        asked: list[str] = []
        over: dict[str, str] = {}
        for node, leaver in self._left.items():
            if now >= leaver.until:
                over[node] = "its speaker has not come back"
            elif leaver.probe_at is not None and now >= leaver.probe_at:
                if leaver.unanswered >= UNANSWERED_MAX:
                    over[node] = "its host does not answer"
                    continue
                leaver.unanswered += 1
                leaver.probe_at = now + PROBE_S
                asked.append(leaver.address)
        for node in over:
            del self._left[node]
        return asked, over
