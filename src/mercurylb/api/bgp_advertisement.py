"""BGPAdvertisement: how the addresses of which pools are told to which peers."""

from __future__ import annotations

import msgspec

from mercurylb.api.meta import LabelSelector, ObjectMeta


class BGPAdvertisementSpec(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False
):
    """The wish."""

    aggregation_length: int | None = None
    """Bits; None means 32."""
    aggregation_length_v6: int | None = msgspec.field(default=None, name="aggregationLengthV6")
    """Bits; None means 128."""
    local_pref: int = 0
    as_path_prepend: int | None = None
    """Times."""
    communities: tuple[str, ...] | None = None
    ip_address_pools: tuple[str, ...] | None = None
    ip_address_pool_selectors: tuple[LabelSelector, ...] | None = None
    node_selectors: tuple[LabelSelector, ...] | None = None
    peers: tuple[str, ...] | None = None
    service_selectors: tuple[LabelSelector, ...] | None = None


class BGPAdvertisement(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A BGPAdvertisement."""

    metadata: ObjectMeta = ObjectMeta()
    spec: BGPAdvertisementSpec | None = None
