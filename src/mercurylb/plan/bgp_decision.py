"""What there is to say about announcing a service by BGP: routes and reasons (spec: bgp §4).

How it is decided is in `plan.bgp`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from mercurylb.config.community import Community


class BgpReason(StrEnum):
    """Why this node does not announce a service."""

    NOT_LOAD_BALANCER = "notLoadBalancer"
    NO_CONFIG = "noConfig"
    NO_IP_ALLOCATED = "noIPAllocated"
    INVALID_IP = "invalidIP"
    IP_NOT_ALLOWED = "ipNotAllowed"
    NOT_OWNER = "notOwner"
    NO_MATCHING_ADVERTISEMENT = "noMatchingAdvertisement"
    CONFLICTING_ADVERTISEMENTS = "conflictingAdvertisements"
    TOO_MANY_COMMUNITIES = "tooManyCommunities"
    NODE_NETWORK_UNAVAILABLE = "nodeNetworkUnavailable"
    NODE_LABELED_EXCLUDE_BALANCERS = "nodeLabeledExcludeBalancers"
    NO_LOCAL_ENDPOINTS = "noLocalEndpoints"
    NO_ENDPOINTS = "noEndpoints"


class AdvertisementReason(StrEnum):
    """Why an advertisement makes no routes of a service on this node."""

    OTHER_NODES = "otherNodes"
    OTHER_SERVICES = "otherServices"
    CONFLICT = "conflict"
    TOO_MANY_COMMUNITIES = "tooManyCommunities"


class PeerReason(StrEnum):
    """Why a route is not sent to a peer."""

    OTHER_NODES = "filteredByNodeSelector"
    """The node selectors of the peer do not match this node: there is no session."""
    NOT_NAMED = "notInAdvertisement"
    """The advertisement names other peers."""
    OTHER_FAMILY = "otherFamily"
    """The session carries routes of the other family only."""
    UNKNOWN = "noSuchPeer"
    """The advertisement names a peer that is not there."""


class PeerVerdict(msgspec.Struct, frozen=True, gc=False):
    """Why one peer does not get a route."""

    peer: str
    reason: PeerReason


class AdvertisementVerdict(msgspec.Struct, frozen=True, gc=False):
    """How one advertisement of the pool stands to the service on this node."""

    advertisement: str
    reason: AdvertisementReason | None = None
    """None if it makes routes, as far as it is up to the advertisement."""
    detail: str = ""


class BgpRoute(msgspec.Struct, frozen=True, gc=False):
    """One address of the service as one advertisement has it."""

    advertisement: str
    address: str
    prefix: str
    """Canonical text with length: the address as far as the aggregation length goes."""
    peers: tuple[str, ...]
    """Who gets it, sorted."""
    local_pref: int = 0
    as_path_prepend: int = 0
    communities: tuple[Community, ...] = ()
    """Ascending."""
    unsent: tuple[PeerVerdict, ...] = ()
    """Who does not get it, by name."""


class BgpDecision(msgspec.Struct, frozen=True):
    """Everything there is to say about announcing one service by BGP from one node."""

    service: str
    """`namespace/name`."""
    reason: BgpReason | None
    """None if it is announced, be it that nobody is there to hear it."""
    detail: str = ""
    addresses: tuple[str, ...] = ()
    """Canonical text, in the order of the status."""
    pool: str = ""
    routes: tuple[BgpRoute, ...] = ()
    is_leaving: bool = False
    """The routes are on their way out, for the reason that is told."""
    verdicts: tuple[AdvertisementVerdict, ...] = ()
    """Of every advertisement of the pool, in its order."""

    @property
    def peers(self) -> tuple[str, ...]:
        """Give who is told of the service, sorted."""
        if self.reason is not None:
            return ()
        return tuple(sorted({peer for route in self.routes for peer in route.peers}))
