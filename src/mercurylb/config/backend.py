"""What only some BGP backends support (spec: config §9).

The native one takes everything but configuration in FRR's language, and what cannot be on the wire.
The FRR ones run one FRR per node, which has one router ID, one session per neighbour and, in each
VRF, one local ASN. A backend that is not known is not checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.api.annotation import GTSM_HOPS, TCP_AO
from mercurylb.config.problem import Code, Problem, Report
from mercurylb.config.resources import BGP_EXTRAS_KEY, BGP_EXTRAS_NAME, FRR, FRR_K8S, NATIVE
from mercurylb.values.address import IPV4

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mercurylb.api.bgp_peer import BGPPeerSpec
    from mercurylb.config.bgp_advertisement import Advertised
    from mercurylb.config.peer import CompiledPeer
    from mercurylb.config.scope import NodeIndex

PASSWORD_BYTES_MAX: Final = 80
"""Of a TCP MD5 key (TCP_MD5SIG_MAXKEYLEN), and of a TCP-AO key."""
_OTHER: Final = "set METALLB_BGP_TYPE to a backend that supports it, or take it out"

_NO_EXTRAS: Final = {
    NATIVE: "bgp extra info not supported in native mode",
    FRR_K8S: "extra info not supported in frr-k8s mode",
}


def check_backend(  # noqa: PLR0913 (everything that a backend may not support)
    backend: str,
    *,
    peers: Sequence[CompiledPeer],
    advertised: Sequence[Advertised],
    nodes: NodeIndex,
    extras: str,
    problems: list[Problem],
) -> None:
    """Note everything that the backend does not support."""
    if backend == FRR:
        _check_prepending(advertised)
    if backend in (FRR, FRR_K8S):
        _check_shared_instance(peers, nodes=nodes)
        _check_native_only(peers)
    if backend == NATIVE:
        _check_native_peers(peers)
    if backend in (NATIVE, FRR_K8S) and extras:
        message = _NO_EXTRAS[backend]
        code = Code.BACKEND_FEATURE
        Report(f"ConfigMap {BGP_EXTRAS_NAME}", problems).add(
            f"data.{BGP_EXTRAS_KEY}", "", message, code=code, hint=_OTHER
        )


def _check_prepending(advertised: Iterable[Advertised]) -> None:
    for item in advertised:
        if item.advertisement.as_path_prepend > 0:
            value = str(item.advertisement.as_path_prepend)
            message = "asPathPrepend is only supported by the frr-k8s backend"
            code = Code.BACKEND_FEATURE
            item.report.add("spec.asPathPrepend", value, message, code=code, hint=_OTHER)


# --- native --------------------------------------------------------------------------------------


def _check_native_peers(peers: Iterable[CompiledPeer]) -> None:
    """Note what the wire has no room for, and what FRR finds out only when it is configured."""
    for compiled in peers:
        _check_router_id(compiled)
        _check_local_asn(compiled)
        peer, report = compiled.peer, compiled.report
        if peer.password is not None and len(peer.password.secret) > PASSWORD_BYTES_MAX:
            field = "spec.password" if compiled.spec.password else "spec.passwordSecret.name"
            message = (
                f"the password has {len(peer.password.secret)} octets, and a kernel takes at most"
                f" {PASSWORD_BYTES_MAX} for TCP MD5"
            )
            value = "" if compiled.spec.password else peer.password_secret
            hint = "choose a shorter one on both sides"
            report.add(field, value, message, code=Code.PEER_PASSWORD, hint=hint)


def _check_router_id(compiled: CompiledPeer) -> None:
    address = compiled.peer.router_id
    if address is None or (address.family == IPV4 and address.number != 0):
        return
    message = f"a BGP identifier is a number of four octets, and {address} is none or 0"
    compiled.report.add(
        "spec.routerID",
        compiled.spec.router_id,
        message,
        code=Code.PEER_ADDRESS,
        hint="write an IPv4 address other than 0.0.0.0, or leave it out",
    )


def _check_local_asn(compiled: CompiledPeer) -> None:
    peer = compiled.peer
    if not peer.local_asn:
        return
    value = str(peer.local_asn)
    add = compiled.report.add
    if peer.dynamic_asn == "internal" or (peer.peer_asn and peer.peer_asn == peer.my_asn):
        message = "localASN is for peers of another autonomous system, and this one is internal"
        add("spec.localASN", value, message, code=Code.PEER_ASN, hint="take it out")
    elif peer.local_asn == peer.peer_asn:
        message = "localASN is the number of the peer itself"
        add("spec.localASN", value, message, code=Code.PEER_ASN, hint="write another number")


def _check_native_only(peers: Iterable[CompiledPeer]) -> None:
    """Note annotations that mean something to the native backend only."""
    for compiled in peers:
        for field, has in (
            (GTSM_HOPS, compiled.peer.gtsm_hops > 0),
            (TCP_AO, compiled.peer.has_tcp_ao),
        ):
            if has:
                message = f"{field} is only supported by the native backend"
                code = Code.BACKEND_FEATURE
                name = f"metadata.annotations[{field}]"
                compiled.report.add(name, "", message, code=code, hint=_OTHER)


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
