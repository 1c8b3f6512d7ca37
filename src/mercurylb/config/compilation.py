"""The one way from objects to a `Config`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from mercurylb.api.community import Community
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.l2_advertisement import L2Advertisement
from mercurylb.api.namespace import Namespace
from mercurylb.api.node import Node
from mercurylb.config.community import NATIVE, compile_communities
from mercurylb.config.layer2 import compile_l2_advertisements
from mercurylb.config.model import Config
from mercurylb.config.pool import compile_pools

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.config.problem import Problem

_Named = TypeVar("_Named", Community, IPAddressPool, L2Advertisement)


class Resources(msgspec.Struct, frozen=True):
    """Every object that takes part, in any order; leave out the kinds you do not care about."""

    pools: tuple[IPAddressPool, ...] = ()
    l2_advertisements: tuple[L2Advertisement, ...] = ()
    communities: tuple[Community, ...] = ()
    namespaces: tuple[Namespace, ...] = ()
    nodes: tuple[Node, ...] = ()
    backend: str = NATIVE
    """Value of METALLB_BGP_TYPE: native, frr or frr-k8s; anything else switches its checks off."""


def compile_config(resources: Resources) -> tuple[Config | None, tuple[Problem, ...]]:
    """Compile all objects together; gives a configuration or at least one problem, never both."""
    problems: list[Problem] = []
    compile_communities(
        _by_name(resources.communities), backend=resources.backend, problems=problems
    )
    pools = compile_pools(
        _by_name(resources.pools), namespaces=resources.namespaces, problems=problems
    )
    advertisements = compile_l2_advertisements(
        _by_name(resources.l2_advertisements),
        pools=pools,
        nodes=resources.nodes,
        problems=problems,
    )
    if problems:
        return None, tuple(problems)
    return Config(
        pools=tuple(
            msgspec.structs.replace(pool, l2_advertisements=advertisements[pool.name])
            for _, pool in pools
        )
    ), ()


def _by_name(objects: Iterable[_Named]) -> list[_Named]:
    return sorted(objects, key=lambda item: (item.metadata.name, item.metadata.namespace))
