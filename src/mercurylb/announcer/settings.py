"""What an announcer is told once, at its start; everything else comes from the brain."""

from __future__ import annotations

import re

import msgspec

from mercurylb.membership.swim.config import LAN, SwimConfig

MEMBERSHIP_PORT = 7946
"""The port of MetalLB 0.16 and of hashicorp/memberlist."""

BRAIN_LEASE_S = 600.0
"""How long the wire stands still without a living brain. An unreachable API ends no lease."""


class MembershipSettings(msgspec.Struct, frozen=True):
    """Where this announcer talks to the others."""

    bind_address: str
    """The node's own address, in canonical text; everything the membership says comes from it."""
    bind_port: int = MEMBERSHIP_PORT
    secret: bytes = b""
    """Raw content of the memberlist secret file; empty: nothing is encrypted or authenticated."""
    swim: SwimConfig = LAN
    """The knobs of memberlist."""


class AnnouncerSettings(msgspec.Struct, frozen=True):
    """Everything the announcer is configured with."""

    node: str
    membership: MembershipSettings | None
    """None when membership is disabled: then every candidate of a ranking counts as alive."""
    excluded_interfaces: tuple[re.Pattern[str], ...] = ()
    """An interface whose name one of these finds (unanchored) does not exist for layer 2."""
    gratuitous_interval_s: int = 0
    """`--gratuitous-arp-interval`; 0 sends bursts only."""
    lease_s: float = BRAIN_LEASE_S
    """After this long without a message from the brain all addresses are withdrawn."""
    log_level: str = "info"
    """all, debug, info, warn, error or none."""
