"""Which nodes may announce a service by ARP and NDP, in which order, and why not the others.

The order is MetalLB 0.16's: higher preference first, then the SHA-256 of `<node>#<address>`, where
the address is the service's first (spec: layer2 §2, §3). Every speaker computes the same ranking
from the same objects. Which node of the ranking is alive is not known here: the announcers pick the
first that is.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from mercurylb.api.annotation import ALLOW_SHARED_IP, read_annotation
from mercurylb.api.service import LOAD_BALANCER, LOCAL
from mercurylb.errors import ParseError
from mercurylb.plan.desired import Layer2Service
from mercurylb.values.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from mercurylb.api.endpoint_slice import EndpointSlice
    from mercurylb.api.node import Node
    from mercurylb.api.service import Service
    from mercurylb.config.model import Config, L2Advertisement


class Layer2Reason(StrEnum):
    """Why this node does not announce a service, whoever is alive."""

    NOT_LOAD_BALANCER = "notLoadBalancer"
    NO_CONFIG = "noConfig"
    NO_IP_ALLOCATED = "noIPAllocated"
    INVALID_IP = "invalidIP"
    IP_NOT_ALLOWED = "ipNotAllowed"
    NOT_OWNER = "notOwner"
    SHARED_IP_WITH_SERVICE_SELECTOR = "sharedIPWithServiceSelector"
    NO_MATCHING_ADVERTISEMENT = "noMatchingAdvertisement"


class NodeReason(StrEnum):
    """Why a node is no candidate."""

    NO_SPEAKER = "noSpeaker"
    NETWORK_UNAVAILABLE = "networkUnavailable"
    EXCLUDED_BY_LABEL = "excludedByLabel"
    NOT_ADVERTISED = "noMatchingAdvertisement"
    NO_LOCAL_ENDPOINT = "noLocalEndpoint"


class NodeVerdict(msgspec.Struct, frozen=True, gc=False):
    """How one node stands: its place in the ranking, or why it has none."""

    node: str
    rank: int | None = None
    """0 is the best."""
    reason: NodeReason | None = None
    score: int = 0
    """Sum of the weights by which advertisements prefer it."""


class Layer2Decision(msgspec.Struct, frozen=True):
    """Everything there is to say about announcing one service by layer 2."""

    service: str
    """`namespace/name`."""
    reason: Layer2Reason | None
    """Why this node cannot announce it; None if it announces it whenever it is the first alive."""
    detail: str = ""
    addresses: tuple[str, ...] = ()
    """Canonical text, in the order of the status."""
    pool: str = ""
    ranking: tuple[str, ...] = ()
    """Candidate nodes, best first."""
    interfaces: tuple[str, ...] | None = ()
    """Where this node would announce; None is everywhere, empty if it may not."""
    verdicts: tuple[NodeVerdict, ...] = ()
    """Candidates by rank, then the others by name."""

    def desired(self) -> Layer2Service | None:
        """Give what the announcer is told; None if no node is a candidate."""
        if not self.ranking:
            return None
        return Layer2Service(
            service=self.service,
            addresses=self.addresses,
            ranking=self.ranking,
            interfaces=self.interfaces,
        )


def plan_layer2(  # noqa: PLR0913 (all facts the decision rests on, by keyword)
    service: Service,
    *,
    config: Config | None,
    nodes: Mapping[str, Node],
    endpoint_slices: Iterable[EndpointSlice],
    speakers: AbstractSet[str],
    node: str,
    ignore_exclude_lb: bool = False,
) -> Layer2Decision:
    """Rank the candidate nodes for a service, from the view of `node`.

    `speakers` are the nodes that have a speaker, alive or not. A node without a Node object counts
    as available and without labels. Services of another load-balancer class are not for this
    function: see `plan.service.is_ours`.
    """
    key = service.metadata.key
    reason = _refuse_at_once(service, config)
    if reason is not None or config is None:
        return Layer2Decision(key, reason)
    try:
        addresses = [parse_address(entry.ip) for entry in service.ingress]
    except ParseError as error:
        return Layer2Decision(key, Layer2Reason.INVALID_IP, str(error))
    texts = tuple(map(str, addresses))
    pool = config.index.find_common(addresses)
    if pool is None:
        detail = f"no pool has {', '.join(texts)}"
        return Layer2Decision(key, Layer2Reason.IP_NOT_ALLOWED, detail, texts)
    election = _Election(
        service,
        advertisements=[
            advertisement
            for advertisement in pool.l2_advertisements
            if advertisement.admits(service.metadata.labels or {})
        ],
        nodes=nodes,
        ignore_exclude_lb=ignore_exclude_lb,
    )
    reason, detail = election.hold(endpoint_slices, speakers, address=texts[0], node=node)
    return Layer2Decision(
        service=key,
        reason=reason,
        detail=detail,
        addresses=texts,
        pool=pool.name,
        ranking=election.ranking,
        interfaces=election.interfaces(node),
        verdicts=election.verdicts,
    )


def _refuse_at_once(service: Service, config: Config | None) -> Layer2Reason | None:
    if service.wish.type != LOAD_BALANCER:
        return Layer2Reason.NOT_LOAD_BALANCER
    if config is None:
        return Layer2Reason.NO_CONFIG
    return None if service.ingress else Layer2Reason.NO_IP_ALLOCATED


class _Election:
    """The candidates for one service."""

    def __init__(
        self,
        service: Service,
        *,
        advertisements: list[L2Advertisement],
        nodes: Mapping[str, Node],
        ignore_exclude_lb: bool,
    ) -> None:
        self._service = service
        self._advertisements = advertisements
        self._nodes = nodes
        self._ignore_exclude_lb = ignore_exclude_lb
        self.ranking: tuple[str, ...] = ()
        self.verdicts: tuple[NodeVerdict, ...] = ()

    def hold(
        self,
        endpoint_slices: Iterable[EndpointSlice],
        speakers: AbstractSet[str],
        *,
        address: str,
        node: str,
    ) -> tuple[Layer2Reason | None, str]:
        """Rank the candidates; gives why `node` cannot announce, in the original's order."""
        servable = {
            endpoint.node_name
            for endpoint_slice in endpoint_slices
            for endpoint in endpoint_slice.endpoints or ()
            if endpoint.is_servable
        }
        if not servable:
            return Layer2Reason.NOT_OWNER, "no endpoint of the service takes traffic"
        annotations = self._service.metadata.annotations
        if read_annotation(annotations, ALLOW_SHARED_IP) is not None:
            selective = [ad.name for ad in self._advertisements if ad.service_selectors]
            if selective:
                detail = (
                    f"L2Advertisement {selective[0]} selects services, and the address is shared"
                )
                return Layer2Reason.SHARED_IP_WITH_SERVICE_SELECTOR, detail
        self._rank(servable, speakers, address)
        if not any(node in advertisement.nodes for advertisement in self._advertisements):
            return Layer2Reason.NO_MATCHING_ADVERTISEMENT, self._describe_missing()
        if node not in self.ranking:
            own = next((verdict for verdict in self.verdicts if verdict.node == node), None)
            cause = own.reason.value if own and own.reason else NodeReason.NO_SPEAKER.value
            return Layer2Reason.NOT_OWNER, f"this node is no candidate: {cause}"
        return None, ""

    def _describe_missing(self) -> str:
        if self._advertisements:
            return "no L2Advertisement for the service includes this node"
        return "no L2Advertisement announces the pool for this service"

    def _rank(self, servable: set[str | None], speakers: AbstractSet[str], address: str) -> None:
        is_local = self._service.wish.external_traffic_policy == LOCAL
        scores = self._scores()
        candidates: list[tuple[int, bytes, str]] = []
        others: list[NodeVerdict] = []
        for name in sorted(speakers | self._nodes.keys()):
            reason = self._obstacle(name, speakers)
            if reason is None and is_local and name not in servable:
                reason = NodeReason.NO_LOCAL_ENDPOINT
            score = scores.get(name, 0)
            if reason is None:
                candidates.append((-score, election_hash(name, address), name))
            else:
                others.append(NodeVerdict(name, None, reason, score))
        candidates.sort()
        self.ranking = tuple(name for *_, name in candidates)
        ranked = (
            NodeVerdict(name, rank, None, -negated)
            for rank, (negated, _, name) in enumerate(candidates)
        )
        self.verdicts = (*ranked, *others)

    def _scores(self) -> dict[str, int]:
        scores: dict[str, int] = {}
        for advertisement in self._advertisements:
            for name, weight in advertisement.preferences:
                scores[name] = scores.get(name, 0) + weight
        return scores

    def _obstacle(self, name: str, speakers: AbstractSet[str]) -> NodeReason | None:
        if name not in speakers:
            return NodeReason.NO_SPEAKER
        known = self._nodes.get(name)
        if known is not None:
            if known.is_network_unavailable:
                return NodeReason.NETWORK_UNAVAILABLE
            if known.is_excluded and not self._ignore_exclude_lb:
                return NodeReason.EXCLUDED_BY_LABEL
        if not any(name in advertisement.nodes for advertisement in self._advertisements):
            return NodeReason.NOT_ADVERTISED
        return None

    def interfaces(self, node: str) -> tuple[str, ...] | None:
        """Give where a node would announce; None is everywhere."""
        chosen: set[str] = set()
        for advertisement in self._advertisements:
            if node in advertisement.nodes:
                if advertisement.interfaces is None:
                    return None
                chosen.update(advertisement.interfaces)
        return tuple(sorted(chosen))


def election_hash(node: str, address: str) -> bytes:
    """Give what orders equally preferred nodes; the address is canonical text."""
    return hashlib.sha256(f"{node}#{address}".encode()).digest()
