"""What the responder wants done; interfaces are named by their index."""

from __future__ import annotations

import msgspec

from mercurylb.layer2.conflict import Conflict
from mercurylb.layer2.interface import Interface


class SendFrame(msgspec.Struct, frozen=True):
    """Put a whole Ethernet frame on an interface."""

    interface: int
    frame: bytes


class OpenInterface(msgspec.Struct, frozen=True):
    """Begin to receive on an interface."""

    interface: Interface


class CloseInterface(msgspec.Struct, frozen=True):
    """Stop receiving on an interface, which also leaves its groups."""

    interface: int


class JoinGroup(msgspec.Struct, frozen=True):
    """Become a listener of a solicited-node group."""

    interface: int
    group: bytes


class LeaveGroup(msgspec.Struct, frozen=True):
    """Stop being a listener of a solicited-node group."""

    interface: int
    group: bytes


class ChangeFilter(msgspec.Struct, frozen=True):
    """Let the kernel deliver requests for these targets, and may it drop all others."""

    interface: int
    arp: tuple[bytes, ...]
    """IPv4 targets, sorted."""
    ndp: tuple[bytes, ...]
    """IPv6 targets, sorted."""
    has_claims: bool = True
    """Deliver also what somebody else says to be true about these addresses."""


class ConflictFound(msgspec.Struct, frozen=True):
    """Tell people that somebody else claims an address; bounded in rate already."""

    conflict: Conflict
    is_stranger: bool
    """No member, as far as the members' MAC addresses are known."""


Layer2Effect = (
    SendFrame
    | OpenInterface
    | CloseInterface
    | JoinGroup
    | LeaveGroup
    | ChangeFilter
    | ConflictFound
)
