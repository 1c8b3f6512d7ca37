"""What only some BGP backends support (spec: config §9).

The native one has the fewest features. The FRR ones run one FRR per node, which has one router ID,
one session per neighbour and, in each VRF, one local ASN. A backend that is not known is not
checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.config.community import parse_community
from mercurylb.config.problem import Code, Problem, Report
from mercurylb.config.resources import FRR, FRR_K8S, NATIVE
from mercurylb.errors import ParseError
from mercurylb.values.address import IPV6, quoted
from mercurylb.values.duration import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mercurylb.api.bfd_profile import BFDProfile
    from mercurylb.api.bgp_peer import BGPPeerSpec
    from mercurylb.api.community import Community
    from mercurylb.config.bgp_advertisement import Advertised
    from mercurylb.config.peer import CompiledPeer
    from mercurylb.config.scope import NodeIndex

_OTHER: Final = "set METALLB_BGP_TYPE to a backend that supports it, or take it out"


def check_backend(  # noqa: PLR0913 (everything that a backend may not support)
    backend: str,
    *,
    peers: Sequence[CompiledPeer],
    advertised: Sequence[Advertised],
    profiles: Iterable[BFDProfile],
    communities: Iterable[Community],
    nodes: NodeIndex,
    problems: list[Problem],
) -> None:
    """Note everything that the backend does not support."""
    if backend in (NATIVE, FRR):
        _check_prepending(advertised)
    if backend in (FRR, FRR_K8S):
        _check_shared_instance(peers, nodes=nodes)
    if backend == NATIVE:
        _check_native_peers(peers)
        for profile in profiles:
            report = Report(f"BFDProfile {profile.metadata.key}", problems)
            code, name = Code.BACKEND_FEATURE, profile.metadata.name
            message = "bfd profiles section set"
            hint = f"native BGP has no BFD; {_OTHER}"
            report.add("", name, message, code=code, hint=hint)
        _check_native_pools(advertised, problems=problems)
        _check_native_communities(advertised, communities, problems=problems)


def _check_prepending(advertised: Iterable[Advertised]) -> None:
    for item in advertised:
        if item.advertisement.as_path_prepend > 0:
            value = str(item.advertisement.as_path_prepend)
            message = "asPathPrepend is only supported by the frr-k8s backend"
            code = Code.BACKEND_FEATURE
            item.report.add("spec.asPathPrepend", value, message, code=code, hint=_OTHER)


# --- native --------------------------------------------------------------------------------------


def _is_set(text: str | None) -> bool:
    """Tell whether a duration is given and not zero."""
    if text is None:
        return False
    try:
        return parse_duration(text) != 0
    except ParseError:
        return True


_FRR_ONLY: Final[tuple[tuple[str, str, Callable[[BGPPeerSpec], bool]], ...]] = (
    ("bfdProfile", "bfd-profile", lambda spec: bool(spec.bfd_profile)),
    ("keepaliveTime", "keepalive-time", lambda spec: _is_set(spec.keepalive_time)),
    ("vrf", "vrf", lambda spec: bool(spec.vrf)),
    ("connectTime", "connect time", lambda spec: spec.connect_time is not None),
    (
        "enableGracefulRestart",
        "EnableGracefulRestart flag",
        lambda spec: spec.enable_graceful_restart is True,
    ),
    ("disableMP", "disable MP flag", lambda spec: spec.disable_mp),
    (
        "dualStackAddressFamily",
        "dualstackaddressfamily flag",
        lambda spec: spec.dual_stack_address_family,
    ),
    ("dynamicASN", "dynamicASN", lambda spec: bool(spec.dynamic_asn)),
    ("interface", "interface", lambda spec: bool(spec.interface)),
    ("localASN", "localASN", lambda spec: bool(spec.local_asn)),
)
"""Fields of a peer, the words for them, and when they count as set."""


def _check_native_peers(peers: Iterable[CompiledPeer]) -> None:
    for peer in peers:
        for field, words, has in _FRR_ONLY:
            if has(peer.spec):
                message = f"peer {peer.spec.peer_address} has {words} set on native bgp mode"
                code = Code.BACKEND_FEATURE
                peer.report.add(f"spec.{field}", "", message, code=code, hint=_OTHER)


def _check_native_pools(advertised: Iterable[Advertised], *, problems: list[Problem]) -> None:
    seen: set[str] = set()
    for item in advertised:
        for compiled in item.pools:
            name = compiled.pool.name
            if name in seen or IPV6 not in compiled.families:
                continue
            seen.add(name)
            entry = next(entry for entry in compiled.entries if entry.family == IPV6)
            block = next(prefix for prefix in compiled.pool.prefixes if prefix.family == IPV6)
            Report(f"IPAddressPool {compiled.object.metadata.key}", problems).add(
                entry.field,
                entry.text,
                f"pool {quoted(name)} has ipv6 CIDR {block}, native bgp mode does not support ipv6",
                code=Code.BACKEND_IPV6,
                hint=f"BGPAdvertisement {item.object.metadata.key} selects it",
            )


def _check_native_communities(
    advertised: Iterable[Advertised], communities: Iterable[Community], *, problems: list[Problem]
) -> None:
    only = "native BGP mode only supports legacy communities"
    code = Code.BACKEND_COMMUNITY
    for item in advertised:
        name = quoted(item.object.metadata.name)
        for index, text in enumerate(item.spec.communities or ()):
            if _is_large(text):
                message = f"{only}, BGP advertisement {name} has non legacy community"
                field = f"spec.communities[{index}]"
                item.report.add(field, text, f"{message} {quoted(text)}", code=code, hint=_OTHER)
    for alias in communities:
        report = Report(f"Community {alias.metadata.key}", problems)
        name = quoted(alias.metadata.name)
        for index, entry in enumerate((alias.spec.communities if alias.spec else None) or ()):
            if _is_large(entry.value):
                message = f"{only}, BGP community CR {name} has non legacy community"
                field = f"spec.communities[{index}].value"
                message = f"{message} {quoted(entry.value)}"
                report.add(field, entry.value, message, code=code, hint=_OTHER)


def _is_large(text: str) -> bool:
    try:
        return parse_community(text).is_large
    except ParseError:
        return False


# --- FRR -----------------------------------------------------------------------------------------


def _check_shared_instance(peers: Sequence[CompiledPeer], *, nodes: NodeIndex) -> None:
    """Compare the peers of each node; each peer is told once of each rule that it breaks."""
    told: set[tuple[int, Code]] = set()
    for group in _groups(peers, nodes=nodes):
        by_identifier: dict[str, CompiledPeer] = {}
        by_vrf: dict[str, CompiledPeer] = {}
        for index in group:
            peer = peers[index]
            identifier = _identifier(peer.spec)
            rivals = (
                (Code.BACKEND_ROUTER_ID, peers[group[0]]),
                (Code.BACKEND_DUPLICATE_PEER, by_identifier.setdefault(identifier, peer)),
                (Code.BACKEND_MY_ASN, by_vrf.setdefault(peer.spec.vrf, peer)),
            )
            for code, rival in rivals:
                if (index, code) not in told and _is_broken(code, peer, rival):
                    told.add((index, code))
                    _tell(code, peer, rival)


def _groups(peers: Sequence[CompiledPeer], *, nodes: NodeIndex) -> Iterator[tuple[int, ...]]:
    """Give the peers (by index) of each node, once where nodes have the same ones.

    If no nodes are known, any two peers may meet.
    """
    understood = [index for index, peer in enumerate(peers) if peer.nodes is not None]
    if not nodes.nodes:
        yield from [tuple(understood)] if understood else []
        return
    by_node: dict[str, list[int]] = {}
    for index in understood:
        for node in peers[index].nodes or ():
            by_node.setdefault(node, []).append(index)
    yield from sorted({tuple(group) for group in by_node.values()})


def _identifier(spec: BGPPeerSpec) -> str:
    target = spec.peer_address or spec.interface
    return f"{target}-{spec.vrf}" if spec.vrf else target


def _is_broken(code: Code, peer: CompiledPeer, rival: CompiledPeer) -> bool:
    if rival is peer:
        return False
    if code is Code.BACKEND_ROUTER_ID:
        return peer.spec.router_id != rival.spec.router_id
    if code is Code.BACKEND_MY_ASN:
        numbers = {peer.spec.my_asn, rival.spec.my_asn}
        return len(numbers) > 1 and 0 not in numbers  # A missing one is told as such.
    return bool(peer.spec.peer_address or peer.spec.interface)


def _tell(code: Code, peer: CompiledPeer, rival: CompiledPeer) -> None:
    mine, its = peer.spec, rival.spec
    name = _identifier(mine)
    hint = f"the other is BGPPeer {rival.object.metadata.key}"
    if code is Code.BACKEND_ROUTER_ID:
        message = (
            f"peer {mine.router_id} has RouterID different from {its.router_id}, in FRR mode peers"
            " selecting the same node must all have the same RouterID"
        )
        peer.report.add("spec.routerID", mine.router_id, message, code=code, hint=hint)
    elif code is Code.BACKEND_MY_ASN:
        message = (
            f"peer {name} has myAsn different from {_identifier(its)}, in FRR mode peers selecting"
            " the same node must have the same myAsn within the same VRF"
        )
        peer.report.add("spec.myASN", str(mine.my_asn), message, code=code, hint=hint)
    else:
        message = (
            f"peer {name} already exists, FRR mode doesn't support duplicate BGPPeers selecting the"
            " same node"
        )
        field = "spec.peerAddress" if mine.peer_address else "spec.interface"
        value = mine.peer_address or mine.interface
        peer.report.add(field, value, message, code=code, hint=hint)
