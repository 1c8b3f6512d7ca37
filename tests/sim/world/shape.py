"""What a simulated cluster is made of."""

from __future__ import annotations

import os

import msgspec


class Shape(msgspec.Struct, frozen=True):
    """What a cluster is made of."""

    seed: int
    nodes: int = 3
    gossipers: int = 0
    """How many of the nodes, the last ones, run a speaker that knows gossip only."""
    services: int = 4
    clock_spread: float = 0.01
    """Clocks run so much faster or slower at most."""
    has_icmp: bool = True
    """Errors of closed ports reach the sender."""
    is_sealed: bool = False
    """The gossip is encrypted."""
    is_compressed: bool = False
    """The gossip is compressed; that costs the simulation much and is seldom of interest."""
    membership: str = os.environ.get("MERCURYLB_SIM_MEMBERSHIP", "combined")
    """Of our announcers; see `makers`."""
