"""What people are told about addresses that somebody else claims: events on the Service.

One when it begins, one when another claimant joins in, one more now and then while it lasts, and
one when it is over; never more than one a minute for a service, however many claim its addresses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.kube.events import NORMAL, WARNING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mercurylb.plan.testimony import Dispute

CONFLICT_REASON: Final = "addressConflict"
OVER_REASON: Final = "addressConflictOver"
EVENT_INTERVAL_S: Final = 60.0
REPEAT_S: Final = 1800.0

_Claimant = tuple[str, str, str]


class DisputeEvent(msgspec.Struct, frozen=True):
    """One event to be recorded on a service."""

    service: str
    type: str
    reason: str
    message: str


class _Told(msgspec.Struct):
    at: float
    claimants: frozenset[_Claimant]


class DisputeTeller:
    """Remembers what was told, so that it is told on changes only."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._told: dict[str, _Told] = {}

    def step(
        self, disputes: Mapping[str, tuple[Dispute, ...]], now: float
    ) -> tuple[DisputeEvent, ...]:
        """Take all disputes, by service; give the events that are due."""
        events: list[DisputeEvent] = []
        for service in sorted(self._told.keys() - {key for key, each in disputes.items() if each}):
            del self._told[service]
            message = f'nobody else claims its addresses on node "{self._node}" any more'
            events.append(DisputeEvent(service, NORMAL, OVER_REASON, message))
        for service, each in sorted(disputes.items()):
            if each and self._is_due(service, each, now):
                claimants = frozenset(dispute.claimant for dispute in each)
                self._told[service] = _Told(now, claimants)
                message = describe(each, self._node)
                events.append(DisputeEvent(service, WARNING, CONFLICT_REASON, message))
        return tuple(events)

    def forget(self, service: str) -> None:
        """Tell nothing more of a service that this node announces no longer."""
        self._told.pop(service, None)

    def _is_due(self, service: str, disputes: tuple[Dispute, ...], now: float) -> bool:
        told = self._told.get(service)
        if told is None:
            return True
        is_other = not {dispute.claimant for dispute in disputes} <= told.claimants
        return now - told.at >= (EVENT_INTERVAL_S if is_other else REPEAT_S)


def describe(disputes: tuple[Dispute, ...], node: str) -> str:
    """Say who claims what, since when, and what to do about it."""
    latest = disputes[-1]
    others = f"; {len(disputes) - 1} more claims are told beside it" if len(disputes) > 1 else ""
    what = f'"{latest.address}" is announced by node "{node}", and also claimed by '
    if latest.node:
        who = f'node "{latest.node}" (MAC {latest.mac})'
        advice = "look at the log of the speaker on that node"
    else:
        who = f"MAC {latest.mac}, which is none of this cluster's speakers"
        advice = "find that machine and give it another address, or take this one out of the pool"
    return f'{what}{who}, on interface "{latest.interface}" since {latest.since}{others}; {advice}'
