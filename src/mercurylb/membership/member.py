"""What every membership machine takes and gives."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class DownReason(enum.Enum):
    """Why a member does not count as alive any more."""

    SILENT = "silent"
    LEAVING = "leaving"
    NOT_READY = "notReady"


class SendDatagram(msgspec.Struct, frozen=True):
    """Send bytes to the membership port of an address."""

    address: str
    payload: bytes


class MemberUp(msgspec.Struct, frozen=True):
    """A node counts as alive from now on."""

    node: str


class MemberDown(msgspec.Struct, frozen=True):
    """A node does not count as alive any more."""

    node: str
    reason: DownReason


class MemberHearsUs(msgspec.Struct, frozen=True):
    """A node that came up knows of us too: it has acted on our being alive."""

    node: str


class Left(msgspec.Struct, frozen=True):
    """Our leaving is known to everybody who matters, or the linger bound has passed: be silent."""


MembershipEffect = SendDatagram | MemberUp | MemberDown | MemberHearsUs | Left


class Peer(Protocol):
    """Where another node's membership machine is reached."""

    @property
    def node(self) -> str:
        """Name of the node."""

    @property
    def address(self) -> str:
        """IP address in canonical text."""


class Membership(Protocol):
    """A machine that knows who is alive.

    `MemberUp` and `MemberDown` speak of this node as well: it is up once it may own addresses.
    Effects are to be carried out in the order given: what follows from a member's going down must
    be done before the datagrams behind it, which tell that member that it may be silent.
    """

    def on_peers(self, peers: Sequence[Peer], now: float) -> list[MembershipEffect]:
        """Take over the list of the other nodes to talk to; the first call starts the grace."""

    def on_ready(self, is_ready: bool, now: float) -> list[MembershipEffect]:  # noqa: FBT001
        """Take over whether this node is able to own addresses."""

    def on_datagram(self, source: str, payload: bytes, now: float) -> list[MembershipEffect]:
        """Take in what came from an address; anything that does not decode is counted only."""

    def on_leave(self, now: float) -> list[MembershipEffect]:
        """Begin a planned stop; `Left` follows, at once or later."""

    def next_deadline(self) -> float | None:
        """Return when `on_deadline` wants to be called."""

    def on_deadline(self, now: float) -> list[MembershipEffect]:
        """Do what is due."""

    def live(self) -> frozenset[str] | None:
        """Return the nodes that may own, this one included when it may; None means all."""

    def validate(self) -> None:
        """Assert the invariants."""
