"""The annotations of a Service: their keys, their deprecated twins, how both are read.

And those of a BGPPeer, which are ours alone: MetalLB has no fields for what they say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ADDRESS_POOL: Final = "metallb.io/address-pool"
LOAD_BALANCER_IPS: Final = "metallb.io/loadBalancerIPs"
ALLOW_SHARED_IP: Final = "metallb.io/allow-shared-ip"
ALLOCATED_FROM_POOL: Final = "metallb.io/ip-allocated-from-pool"

GTSM_HOPS: Final = "mercurylb.io/gtsm-hops"
"""On a BGPPeer: how many hops away the router may be, by the TTL of what it sends (RFC 5082)."""
TCP_AO: Final = "mercurylb.io/tcp-ao"
"""On a BGPPeer: whether the password is a key of TCP-AO (RFC 5925) rather than of TCP MD5."""

DEPRECATED_PREFIX: Final = "metallb.universe.tf"
"""Compared with the beginning of the whole key; no slash is asked for."""

DEPRECATED: Final = {
    key: key.replace("metallb.io", DEPRECATED_PREFIX)
    for key in (ADDRESS_POOL, LOAD_BALANCER_IPS, ALLOW_SHARED_IP, ALLOCATED_FROM_POOL)
}


def read_annotation(annotations: Mapping[str, str] | None, key: str) -> str | None:
    """Give the value under a key or, if that is absent, under its deprecated twin.

    Presence decides, not content: an empty value under the current key hides the deprecated one.
    """
    if not annotations:
        return None
    value = annotations.get(key)
    return annotations.get(DEPRECATED[key]) if value is None else value
