"""L2Advertisement: which nodes may answer for the addresses of which pools, and where."""

from __future__ import annotations

import msgspec

from mercurylb.api.meta import LabelSelector, ObjectMeta


class PreferredNodeSelector(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A preference for nodes with certain labels."""

    weight: int = 0
    preference: LabelSelector | None = None


class L2AdvertisementSpec(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False
):
    """The wish."""

    ip_address_pools: tuple[str, ...] | None = None
    ip_address_pool_selectors: tuple[LabelSelector, ...] | None = None
    node_selectors: tuple[LabelSelector, ...] | None = None
    interfaces: tuple[str, ...] | None = None
    service_selectors: tuple[LabelSelector, ...] | None = None
    preferred_node_selectors: tuple[PreferredNodeSelector, ...] | None = None


class L2Advertisement(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """An L2Advertisement."""

    metadata: ObjectMeta = ObjectMeta()
    spec: L2AdvertisementSpec | None = None
