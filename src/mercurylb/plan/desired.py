"""What a node's brain wants on the wire, and what its announcer tells back.

These are the only messages between the two processes of a speaker. The brain sends the *whole*
desired state each time it changes, under a growing revision; the announcer answers with the whole
observed state. Neither side keeps a history of differences, so a lost or repeated message, or a
restart of either side, heals with the next one.

Who owns an address is *not* in here: the brain ranks the candidates, the announcer picks the first
one that is alive.
"""

from __future__ import annotations

import msgspec


class Member(msgspec.Struct, frozen=True):
    """Another node's speaker: where its announcer's heartbeats come from and go to."""

    node: str
    address: str
    """IPv4 or IPv6 address in canonical text."""


class Layer2Service(msgspec.Struct, frozen=True):
    """One service to be announced by ARP and NDP."""

    service: str
    """`namespace/name`."""
    addresses: tuple[str, ...]
    """Load-balancer IPs in the order of the service's status, canonical text."""
    ranking: tuple[str, ...]
    """Names of the candidate nodes, best first; may or may not contain this node."""
    interfaces: tuple[str, ...] | None
    """Where this node would answer; None means on every interface."""


class DesiredState(msgspec.Struct, frozen=True, tag="desired"):
    """Everything the brain wants; replaces whatever it wanted before."""

    revision: int
    members: tuple[Member, ...] = ()
    """All other speakers that take part, alive or not; this node is not among them."""
    layer2: tuple[Layer2Service, ...] = ()


class Renewal(msgspec.Struct, frozen=True, tag="renewal"):
    """The brain lives and still wants `revision`: extends the lease, changes nothing."""

    revision: int


class OwnedService(msgspec.Struct, frozen=True):
    """A service whose addresses this node announces now."""

    service: str
    addresses: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    """Those of `addresses` that none of the chosen interfaces of this node can carry."""


class AddressCounters(msgspec.Struct, frozen=True):
    """Frames per load-balancer IP since this announcer started."""

    address: str
    requests_received: int
    responses_sent: int
    gratuitous_sent: int


class Observation(msgspec.Struct, frozen=True, tag="observation"):
    """Everything the announcer knows; replaces whatever it told before."""

    revision: int
    """Of the desired state that is being carried out; 0 before the first."""
    owned: tuple[OwnedService, ...] = ()
    live: tuple[str, ...] = ()
    """Nodes whose announcers are alive, this one included, sorted."""
    interfaces: tuple[str, ...] = ()
    """Names of the node's interfaces that are not excluded, whatever their state, sorted."""
    counters: tuple[AddressCounters, ...] = ()
    loop_lag_s: float = 0.0
    """The longest the announcer's loop was late since the last observation."""


BrainMessage = DesiredState | Renewal
"""What travels from the brain to the announcer."""
