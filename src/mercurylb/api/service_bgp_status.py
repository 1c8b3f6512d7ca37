"""ServiceBGPStatus: to which peers a node tells the addresses of a service."""

from __future__ import annotations

import msgspec

from mercurylb.api.meta import ObjectMeta


class ServiceBGPStatusStatus(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False
):
    """The answer."""

    node: str = ""
    service_name: str = ""
    service_namespace: str = ""
    peers: tuple[str, ...] | None = None
    """Names of BGPPeers, sorted."""


class ServiceBGPStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A ServiceBGPStatus."""

    metadata: ObjectMeta = ObjectMeta()
    status: ServiceBGPStatusStatus | None = None
