"""What a node's brain wants on the wire, and what its announcer tells back.

These are the only messages between the two processes of a speaker. The brain sends the *whole*
desired state each time it changes, under a growing revision; the announcer answers with the whole
observed state. Neither side keeps a history of differences, so a lost or repeated message, or a
restart of either side, heals with the next one.

Who owns an address is *not* in here: the brain ranks the candidates, the announcer picks the first
one that is alive.
"""

from __future__ import annotations

import bisect
from typing import Final

import msgspec

from mercurylb.bfd.report import BfdReport
from mercurylb.bfd.settings import BfdSettings
from mercurylb.bgp.report import SessionReport
from mercurylb.bgp.route import RouteGroup
from mercurylb.bgp.settings import PeerSettings


class Member(msgspec.Struct, frozen=True):
    """Another node's speaker: where its announcer's heartbeats come from and go to."""

    node: str
    address: str
    """IPv4 or IPv6 address in canonical text."""
    carries_on: bool = True
    """Its host is expected to go on when its speaker stops: the node is not being taken down."""


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


class BgpPeer(msgspec.Struct, frozen=True):
    """A neighbour that routes are announced to."""

    settings: PeerSettings
    bfd: BfdSettings | None = None
    """None without BFD."""


class DesiredState(msgspec.Struct, frozen=True, tag="desired"):
    """Everything the brain wants; replaces whatever it wanted before."""

    revision: int
    members: tuple[Member, ...] = ()
    """All other speakers that take part, alive or not; this node is not among them."""
    layer2: tuple[Layer2Service, ...] = ()
    bgp_peers: tuple[BgpPeer, ...] = ()
    """By name; none unless this speaker talks BGP itself."""
    bgp_routes: tuple[RouteGroup, ...] = ()


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


class MemberState(msgspec.Struct, frozen=True):
    """How another node's speaker looks from here."""

    node: str
    address: str
    state: str
    """`up`, `suspect`, `down` or `left`."""
    reason: str = ""
    is_ours: bool = True
    """Watched by the fast detector; False: known by gossip alone, as MetalLB's speakers are."""
    silent_s: float | None = None
    """Since its last proof of life, as far as this node waits for one; of one that is down, how
    long it had been silent when this node found it dead."""


class Conflict(msgspec.Struct, frozen=True):
    """Somebody else claims an address that this node announces."""

    address: str
    interface: str
    mac: str
    """As the claim's sender hardware address says, lower case with colons."""
    node: str
    """The member that has this MAC address; empty for a stranger."""
    count: int
    """Claims by this MAC address on this interface since the announcer started."""
    age_s: float
    """Since the latest one."""
    defended: int = 0
    """How often this node answered a stranger's claim with its own (RFC 5227 section 2.4)."""


class Count(msgspec.Struct, frozen=True):
    """How often something happened since the announcer started."""

    name: str
    count: int


DETECTION_BOUNDS_S: Final = (0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)


class Detections(msgspec.Struct, frozen=True):
    """How long members had been silent when this node found them dead, since it started."""

    counts: tuple[int, ...] = (0,) * (len(DETECTION_BOUNDS_S) + 1)
    """Up to each of `DETECTION_BOUNDS_S`, each once, and above the last."""
    sum_s: float = 0.0

    def added(self, silent_s: float) -> Detections:
        """Return these and one more."""
        index = bisect.bisect_left(DETECTION_BOUNDS_S, silent_s)
        counts = tuple(count + (at == index) for at, count in enumerate(self.counts))
        return Detections(counts, self.sum_s + silent_s)


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
    members: tuple[MemberState, ...] = ()
    """Every other member that is known, by name."""
    conflicts: tuple[Conflict, ...] = ()
    """Those of the last hours, the latest claim first; bounded."""
    drops: tuple[Count, ...] = ()
    """Frames not answered, by reason; and membership messages refused, as `membership <reason>`."""
    sessions: tuple[SessionReport, ...] = ()
    """Every configured BGP peer, by name."""
    bfd: tuple[BfdReport, ...] = ()
    detections: Detections = Detections()
    scheduling: str = ""
    """What the kernel granted the announcer, such as `round robin 10`."""


BrainMessage = DesiredState | Renewal
"""What travels from the brain to the announcer."""
