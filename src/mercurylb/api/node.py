"""Node: labels, addresses, and what says that its network is down or that it is going away."""

from __future__ import annotations

from typing import Final

import msgspec

from mercurylb.api.meta import ObjectMeta

EXCLUDE_LABEL: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
"""Its presence, whatever the value, keeps a node from announcing."""

_NETWORK_UNAVAILABLE: Final = "NetworkUnavailable"
_READY: Final = "Ready"


class NodeCondition(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """One condition."""

    type: str = ""
    status: str = ""


class NodeAddress(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """One address; `type` is InternalIP, ExternalIP, Hostname …"""

    type: str = ""
    address: str = ""


class NodeSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """What an administrator wants of it."""

    unschedulable: bool = False
    """It is cordoned."""


class NodeStatus(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """What the kubelet and the cloud say."""

    conditions: tuple[NodeCondition, ...] | None = None
    addresses: tuple[NodeAddress, ...] | None = None


class Node(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A Node."""

    metadata: ObjectMeta = ObjectMeta()
    spec: NodeSpec | None = None
    status: NodeStatus | None = None

    @property
    def is_network_unavailable(self) -> bool:
        """Tell whether the condition is there and True; a missing or unknown one does not count."""
        return self._condition(_NETWORK_UNAVAILABLE) == "True"

    @property
    def is_going(self) -> bool:
        """Tell whether it may be on its way down: cordoned, or not Ready and said to be so."""
        is_cordoned = self.spec is not None and self.spec.unschedulable
        return is_cordoned or self._condition(_READY) in {"False", "Unknown"}

    def _condition(self, kind: str) -> str:
        """Return the status of a condition, empty without one."""
        conditions = (self.status.conditions if self.status else None) or ()
        return next((each.status for each in conditions if each.type == kind), "")

    @property
    def is_excluded(self) -> bool:
        """Tell whether the exclusion label is there."""
        return EXCLUDE_LABEL in (self.metadata.labels or {})

    @property
    def internal_addresses(self) -> tuple[str, ...]:
        """Give the texts of its internal IPs, in the node's order."""
        addresses = (self.status.addresses if self.status else None) or ()
        return tuple(entry.address for entry in addresses if entry.type == "InternalIP")
