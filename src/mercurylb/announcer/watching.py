"""Which BFD session watches which peer, and which peers a better link concerns (pure).

Peers on link are watched over one hop, bound to their link; external peers with `is_multi_hop` and
internal ones off link over several. A peer that was on link once stays so: a link that loses its
address must bring the session down, not move it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.announcer.reach import link_towards
from mercurylb.bfd.effect import BfdKey
from mercurylb.layer2.interface import IFF_RUNNING, Link

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mercurylb.bfd.settings import BfdSettings
    from mercurylb.bgp.settings import PeerSettings
    from mercurylb.plan.desired import BgpPeer


def watches(
    peers: Sequence[BgpPeer],
    links: Sequence[Link],
    *,
    routers: Mapping[str, str],
    before: Mapping[str, BfdKey],
) -> tuple[dict[str, BfdKey], dict[BfdKey, BfdSettings]]:
    """Return the session of each peer that wants one, by name, and what each session is told.

    `routers` are the link-local addresses found behind interfaces; `before` is what this said last.
    """
    keys: dict[str, BfdKey] = {}
    wanted: dict[BfdKey, BfdSettings] = {}
    for peer in peers:
        if peer.bfd is None:
            continue
        settings = peer.settings
        if settings.interface:
            router = routers.get(settings.interface)
            key = None if router is None else BfdKey(router, interface=settings.interface)
        else:
            key = _key_of(settings, links, before.get(settings.name))
        if key is not None:
            keys[settings.name] = key
            wanted.setdefault(key, peer.bfd)
    return keys, wanted


def _key_of(settings: PeerSettings, links: Sequence[Link], before: BfdKey | None) -> BfdKey:
    address, source, vrf = settings.address, settings.source_address, settings.vrf
    if not (settings.is_multi_hop and _is_external(settings)):
        link = link_towards(address, links, vrf=vrf)
        if link is not None:
            return BfdKey(address, source, link.name, vrf)
        if before is not None:
            known = before.peer, before.local_address, before.vrf
            if known == (address, source, vrf):
                return before
    return BfdKey(address, source, vrf=vrf, is_multi_hop=True)


def _is_external(settings: PeerSettings) -> bool:
    if settings.dynamic_asn:
        return settings.dynamic_asn == "external"
    return settings.peer_asn != settings.my_asn


def improved(before: Sequence[Link], after: Sequence[Link]) -> list[Link]:
    """Return the links that are new, run again, or have another address."""
    known = {link.name: link for link in before}
    found = []
    for link in after:
        old = known.get(link.name)
        if (
            old is None
            or old.index != link.index
            or set(link.addresses) - set(old.addresses)
            or link.flags & ~old.flags & IFF_RUNNING
        ):
            found.append(link)
    return found


def may_profit(settings: PeerSettings, links: Sequence[Link]) -> bool:
    """Return whether a peer may be reached now by one of these links.

    The links of pods come and go, and do not matter: those have no address, or none but a
    link-local one.
    """
    device = settings.vrf or settings.interface
    return any(
        link.name == device
        if device
        else any(own not in link.link_locals for own, _ in link.addresses)
        for link in links
    )
