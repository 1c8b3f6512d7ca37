"""The one way from objects to a `Config`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from mercurylb.api.bfd_profile import BFDProfile
from mercurylb.api.bgp_advertisement import BGPAdvertisement
from mercurylb.api.bgp_peer import BGPPeer
from mercurylb.api.community import Community
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.l2_advertisement import L2Advertisement
from mercurylb.config.backend import check_backend
from mercurylb.config.bfd import check_echo, compile_bfd_profiles
from mercurylb.config.bgp_advertisement import attachments, compile_bgp_advertisements
from mercurylb.config.community import compile_communities
from mercurylb.config.conflict import check_conflicts
from mercurylb.config.layer2 import compile_l2_advertisements
from mercurylb.config.model import Config
from mercurylb.config.peer import Secrets, compile_peers
from mercurylb.config.pool import compile_pools
from mercurylb.config.resources import Resources
from mercurylb.config.scope import NodeIndex

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.config.problem import Problem

__all__ = ["Resources", "compile_config"]

_Named = TypeVar(
    "_Named",
    BFDProfile,
    BGPAdvertisement,
    BGPPeer,
    Community,
    IPAddressPool,
    L2Advertisement,
)


def compile_config(resources: Resources) -> tuple[Config | None, tuple[Problem, ...]]:
    """Compile all objects together; gives a configuration or at least one problem, never both."""
    problems: list[Problem] = []
    nodes = NodeIndex(resources.nodes)
    profiles = compile_bfd_profiles(_by_name(resources.bfd_profiles), problems=problems)
    peers = compile_peers(
        _by_name(resources.bgp_peers),
        secrets=Secrets(
            {secret.metadata.name: secret for secret in resources.secrets},
            resources.passes_secrets,
        ),
        profiles=profiles,
        nodes=nodes,
        problems=problems,
    )
    aliases = compile_communities(_by_name(resources.communities), problems=problems)
    pools = compile_pools(
        _by_name(resources.pools), namespaces=resources.namespaces, problems=problems
    )
    l2_advertisements = compile_l2_advertisements(
        _by_name(resources.l2_advertisements), pools=pools, nodes=nodes, problems=problems
    )
    advertised = compile_bgp_advertisements(
        _by_name(resources.bgp_advertisements),
        pools=pools,
        aliases=aliases,
        nodes=nodes,
        problems=problems,
    )
    check_conflicts(advertised)
    check_echo(advertised, peers=peers, profiles=profiles)
    check_backend(
        resources.backend,
        peers=peers,
        advertised=advertised,
        nodes=nodes,
        extras=resources.bgp_extras,
        problems=problems,
    )
    if problems:
        return None, tuple(problems)
    bgp_advertisements = attachments(advertised)
    return Config(
        pools=tuple(
            msgspec.structs.replace(
                compiled.pool,
                l2_advertisements=l2_advertisements[compiled.pool.name],
                bgp_advertisements=bgp_advertisements.get(compiled.pool.name, ()),
            )
            for compiled in pools
        ),
        peers=tuple({compiled.peer.name: compiled.peer for compiled in peers}.values()),
        bfd_profiles=tuple(profiles.values()),
        bgp_extras=resources.bgp_extras,
    ), ()


def _by_name(objects: Iterable[_Named]) -> list[_Named]:
    return sorted(objects, key=lambda item: (item.metadata.name, item.metadata.namespace))
