"""Why nobody announces the address of a service: one cause.

The questions go from the advertisement over the endpoints to the nodes, so the first one that is
answered with no is what has to be put right first (what the speakers ask: spec layer2 §2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.api.annotation import ALLOW_SHARED_IP
from mercurylb.api.node import EXCLUDE_LABEL
from mercurylb.api.service import LOCAL
from mercurylb.errors import ParseError
from mercurylb.plan.cause import Cause, CauseCode
from mercurylb.plan.layer2 import Layer2Reason, NodeReason
from mercurylb.plan.request import listed
from mercurylb.values.selector import compile_selector, matches_any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.api.bgp_advertisement import BGPAdvertisement
    from mercurylb.api.ip_address_pool import IPAddressPool
    from mercurylb.api.l2_advertisement import L2Advertisement as L2Object
    from mercurylb.api.service import Service
    from mercurylb.config.model import L2Advertisement, Pool
    from mercurylb.plan.layer2 import Layer2Decision, NodeVerdict
    from mercurylb.plan.snapshot import Snapshot

_NODE_CAUSES: Final = {
    NodeReason.NO_LOCAL_ENDPOINT: (
        CauseCode.NO_LOCAL_ENDPOINTS,
        "externalTrafficPolicy is Local, and no node that may announce it has a ready endpoint",
        "run a ready pod of the service on one of the nodes, or use externalTrafficPolicy Cluster",
    ),
    NodeReason.EXCLUDED_BY_LABEL: (
        CauseCode.NODES_EXCLUDED,
        f"the nodes that may announce it are labelled {EXCLUDE_LABEL}",
        "remove the label from a node, or start the speakers with --ignore-exclude-lb",
    ),
    NodeReason.NETWORK_UNAVAILABLE: (
        CauseCode.NODES_WITHOUT_NETWORK,
        "the nodes that may announce it have the condition NetworkUnavailable",
        "look at the network plugin on these nodes",
    ),
    NodeReason.NO_SPEAKER: (
        CauseCode.NODES_WITHOUT_SPEAKER,
        "no speaker runs on the nodes that may announce it",
        "look at the speaker's DaemonSet: its node selector and tolerations",
    ),
}


WORDS: Final = {
    NodeReason.NO_SPEAKER: "no speaker runs there",
    NodeReason.NETWORK_UNAVAILABLE: "its network is unavailable",
    NodeReason.EXCLUDED_BY_LABEL: "excluded by its label",
    NodeReason.NOT_ADVERTISED: "no advertisement for the service includes it",
    NodeReason.NO_LOCAL_ENDPOINT: "no ready endpoint, and the policy is Local",
}
"""Why a node is no candidate, for people."""


def why_unannounced(
    service: Service, decision: Layer2Decision, pool: Pool, snapshot: Snapshot
) -> Cause | None:
    """Tell why no node is a candidate; None if there is one."""
    admitted = [
        advertisement
        for advertisement in pool.l2_advertisements
        if advertisement.admits(service.metadata.labels or {})
    ]
    if not pool.l2_advertisements:
        return _not_advertised(pool, snapshot)
    if not admitted:
        names = listed(sorted({item.name for item in pool.l2_advertisements}))
        return Cause(
            CauseCode.ADVERTISED_FOR_OTHER_SERVICES,
            f"the L2Advertisements of pool {pool.name} ({names}) select other services by their"
            " serviceSelectors",
            "give the service labels that they match, or widen them",
        )
    return _why_no_endpoint(service, decision) or _why_no_node(
        service, decision, admitted, snapshot
    )


def _why_no_endpoint(service: Service, decision: Layer2Decision) -> Cause | None:
    if decision.reason is Layer2Reason.SHARED_IP_WITH_SERVICE_SELECTOR:
        return Cause(
            CauseCode.SHARED_BUT_SELECTED,
            f"the service bears the annotation {ALLOW_SHARED_IP}, and {decision.detail}",
            "remove the annotation, or use an L2Advertisement without serviceSelectors",
        )
    if not decision.verdicts and decision.reason is Layer2Reason.NOT_OWNER:
        selector = ",".join(f"{k}={v}" for k, v in sorted((service.wish.selector or {}).items()))
        return Cause(
            CauseCode.NO_ENDPOINTS,
            "no endpoint of the service takes traffic, so nobody announces its address",
            f"look for ready pods with labels {selector}" if selector else "add endpoints",
        )
    return None


def _why_no_node(
    service: Service,
    decision: Layer2Decision,
    advertisements: Sequence[L2Advertisement],
    snapshot: Snapshot,
) -> Cause | None:
    if decision.ranking:
        return None
    nodes = frozenset[str]().union(*(item.nodes for item in advertisements))
    names = listed(sorted({item.name for item in advertisements}))
    if not nodes:
        return Cause(
            CauseCode.ADVERTISED_ON_NO_NODE,
            f"the nodeSelectors of L2Advertisement {names} match no node",
            "correct them, or label a node so that they match it",
        )
    if snapshot.are_pods_known and not snapshot.speakers:
        return Cause(
            CauseCode.SPEAKERS_NOT_RUNNING,
            f"no speaker runs in namespace {snapshot.settings.namespace}",
            "look at the speaker's DaemonSet and its pods",
        )
    obstacles = [verdict for verdict in decision.verdicts if verdict.node in nodes]
    return _of_nodes(obstacles, names, is_local=service.wish.external_traffic_policy == LOCAL)


def _of_nodes(obstacles: Sequence[NodeVerdict], names: str, *, is_local: bool) -> Cause:
    reasons = {verdict.reason for verdict in obstacles}
    each = listed([verdict.node for verdict in obstacles])
    if len(reasons) > 1:
        told = [f"{item.node}: {WORDS[item.reason]}" for item in obstacles if item.reason]
        each = listed(told, separator="; ")
    for reason, (code, sentence, advice) in _NODE_CAUSES.items():
        if reason in reasons:
            return Cause(code, f"{sentence} (L2Advertisement {names}; {each})", advice)
    wanted = "with a ready endpoint " if is_local else ""
    return Cause(
        CauseCode.ADVERTISED_ON_NO_NODE,
        f"L2Advertisement {names} includes no node {wanted}that is known",
        "correct its nodeSelectors",
    )


def _not_advertised(pool: Pool, snapshot: Snapshot) -> Cause:
    home = snapshot.settings.namespace
    found = [item for item in snapshot.pools if item.metadata.name == pool.name]
    objects = [item for item in found if item.metadata.namespace == home]
    advertisements: tuple[L2Object | BGPAdvertisement, ...] = (
        *snapshot.l2_advertisements,
        *snapshot.bgp_advertisements,
    )
    astray = [
        item.metadata.key
        for item in advertisements
        if item.metadata.namespace != home and any(_selects(item, found) for found in objects)
    ]
    if astray:
        return Cause(
            CauseCode.ADVERTISEMENT_IN_WRONG_NAMESPACE,
            f"no advertisement announces pool {pool.name}: {listed(astray)} is in another"
            f" namespace than {home}, where nobody looks",
            f"create it in namespace {home}",
        )
    return Cause(
        CauseCode.NOT_ADVERTISED,
        f"no L2Advertisement and no BGPAdvertisement announces pool {pool.name}",
        f"create an L2Advertisement or a BGPAdvertisement in namespace {home} that names the pool",
    )


def _selects(advertisement: L2Object | BGPAdvertisement, pool: IPAddressPool) -> bool:
    """Tell whether an advertisement, wherever it lies, means a pool."""
    spec = advertisement.spec
    if spec is None or not (spec.ip_address_pools or spec.ip_address_pool_selectors):
        return True
    if pool.metadata.name in (spec.ip_address_pools or ()):
        return True
    selectors = []
    for item in spec.ip_address_pool_selectors or ():
        try:
            selectors.append(compile_selector(item.match_labels, item.match_expressions))
        except ParseError:
            continue
    return matches_any(selectors, pool.metadata.labels or {})
