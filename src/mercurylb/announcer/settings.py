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
    """Where to listen, in canonical text: the node's own address, or 0.0.0.0."""
    bind_port: int = MEMBERSHIP_PORT
    secret: bytes = b""
    """Raw content of the memberlist secret file; empty: nothing is encrypted or authenticated."""
    swim: SwimConfig = LAN
    """The knobs of memberlist."""
    advertise_address: str = ""
    """What the others are told in place of 0.0.0.0."""

    @property
    def own_address(self) -> str:
        """Give the address by which the others know this node."""
        return self.advertise_address or self.bind_address


class AnnouncerSettings(msgspec.Struct, frozen=True):
    """Everything the announcer is configured with."""

    node: str
    membership: MembershipSettings | None
    """None when membership is disabled: then every candidate of a ranking counts as alive."""
    excluded_interfaces: tuple[re.Pattern[str], ...] = ()
    """An interface whose name one of these finds (unanchored) does not exist for layer 2."""
    gratuitous_interval_s: int = 0
    """`--gratuitous-arp-interval`; 0 sends bursts only."""
    bgp_listen_port: int = 0
    """Where BGP peers may call; 0: they are only called."""
    lease_s: float = BRAIN_LEASE_S
    """After this long without a message from the brain all addresses are withdrawn."""
    log_level: str = "info"
    """all, debug, info, warn, error or none."""
