"""Routes that are about to go: for a moment with GRACEFUL_SHUTDOWN, then withdrawn (RFC 8326).

The desired state says for as long as it lasts that a route is leaving; since when, is known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.bgp.timer import NEVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.bgp.route import RouteGroup

LEAVE_S: Final = 1.0
"""Between GRACEFUL_SHUTDOWN and the withdrawal: routers choose anew in far less."""


class Departures:
    """Until when each leaving prefix is still announced."""

    def __init__(self) -> None:
        self.deadline = NEVER
        """When `remaining` has another answer for the same groups."""
        self._until: dict[tuple[str, ...], dict[str, float]] = {}

    def remaining(self, groups: Sequence[RouteGroup], now: float) -> list[RouteGroup]:
        """Give the groups without what has left."""
        until_of: dict[tuple[str, ...], dict[str, float]] = {}
        kept = []
        self.deadline = NEVER
        for group in groups:
            if not group.is_leaving:
                kept.append(group)
                continue
            known = self._until.get(group.peers, {})
            fresh = until_of.setdefault(group.peers, {})
            prefixes = []
            for prefix in group.prefixes:
                until = fresh[prefix] = known.get(prefix, now + LEAVE_S)
                if until > now:
                    prefixes.append(prefix)
                    self.deadline = min(self.deadline, until)
            if prefixes:
                kept.append(msgspec.structs.replace(group, prefixes=tuple(prefixes)))
        self._until = until_of
        return kept
