"""The states of a session and what may come in each of them (RFC 4271 section 8.2.2).

::

    Idle ──start──► Connect ──TCP──► OpenSent ──OPEN──► OpenConfirm ──KEEPALIVE──► Established
     ▲                │ ▲ timer         │ TCP ends          │                          │
     │                ▼ │               ▼                   │                          │
     │              Active ◄────────────┘                   │                          │
     └──────────────── error, NOTIFICATION, stop, hold timer, TCP ends ────────────────┘

The first three belong to a peer, the last three to one connection: a peer may have two connections
for a moment (section 6.8) and is in the state of the one that got furthest.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from mercurylb.bgp.message import MessageType
from mercurylb.bgp.notification import FsmCode

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(StrEnum):
    """As RFC 4271 names them."""

    IDLE = "Idle"
    CONNECT = "Connect"
    ACTIVE = "Active"
    OPEN_SENT = "OpenSent"
    OPEN_CONFIRM = "OpenConfirm"
    ESTABLISHED = "Established"


TRANSITIONS: Final[Mapping[tuple[State, int], State]] = {
    (State.OPEN_SENT, MessageType.OPEN): State.OPEN_CONFIRM,
    (State.OPEN_CONFIRM, MessageType.KEEPALIVE): State.ESTABLISHED,
    (State.ESTABLISHED, MessageType.KEEPALIVE): State.ESTABLISHED,
    (State.ESTABLISHED, MessageType.UPDATE): State.ESTABLISHED,
    (State.ESTABLISHED, MessageType.ROUTE_REFRESH): State.ESTABLISHED,
}
"""What a message leads to; any other is an error of the state machine. A NOTIFICATION always ends
the connection."""

FSM_CODES: Final[Mapping[State, FsmCode]] = {
    State.OPEN_SENT: FsmCode.OPEN_SENT,
    State.OPEN_CONFIRM: FsmCode.OPEN_CONFIRM,
    State.ESTABLISHED: FsmCode.ESTABLISHED,
}

ORDER: Final[Mapping[State, int]] = {state: order for order, state in enumerate(State)}
"""How far each got."""
