"""Node: labels, addresses and the condition that says its network is down."""

from __future__ import annotations

from typing import Final

import msgspec

from mercurylb.api.meta import ObjectMeta

EXCLUDE_LABEL: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
"""Its presence, whatever the value, keeps a node from announcing."""

_NETWORK_UNAVAILABLE: Final = "NetworkUnavailable"


class NodeCondition(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """One condition."""

    type: str = ""
    status: str = ""


class NodeAddress(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """One address; `type` is InternalIP, ExternalIP, Hostname …"""

    type: str = ""
    address: str = ""


class NodeStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """What the kubelet and the cloud say."""

    conditions: tuple[NodeCondition, ...] | None = None
    addresses: tuple[NodeAddress, ...] | None = None


class Node(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A Node."""

    metadata: ObjectMeta = ObjectMeta()
    status: NodeStatus | None = None

    @property
    def is_network_unavailable(self) -> bool:
        """Tell whether the condition is there and True; a missing or unknown one does not count."""
        conditions = (self.status.conditions if self.status else None) or ()
        return any(
            condition.type == _NETWORK_UNAVAILABLE and condition.status == "True"
            for condition in conditions
        )

    @property
    def is_excluded(self) -> bool:
        """Tell whether the exclusion label is there."""
        return EXCLUDE_LABEL in (self.metadata.labels or {})

    @property
    def internal_addresses(self) -> tuple[str, ...]:
        """Give the texts of its internal IPs, in the node's order."""
        addresses = (self.status.addresses if self.status else None) or ()
        return tuple(entry.address for entry in addresses if entry.type == "InternalIP")
