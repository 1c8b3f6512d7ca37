"""IPAddressPool: the addresses the controller may give away, and to whom."""

from __future__ import annotations

import msgspec

from mercurylb.api.meta import LabelSelector, ObjectMeta


class ServiceAllocation(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Whom the pool is pinned to."""

    priority: int | None = None
    namespaces: tuple[str, ...] | None = None
    namespace_selectors: tuple[LabelSelector, ...] | None = None
    service_selectors: tuple[LabelSelector, ...] | None = None


class IPAddressPoolSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The wish."""

    addresses: tuple[str, ...] | None = None
    auto_assign: bool | None = None
    """None means true."""
    avoid_buggy_ips: bool | None = msgspec.field(default=None, name="avoidBuggyIPs")
    service_allocation: ServiceAllocation | None = None


class IPAddressPoolStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """How full it is; the API requires all four counters."""

    assigned_ipv4: int = msgspec.field(default=0, name="assignedIPv4")
    assigned_ipv6: int = msgspec.field(default=0, name="assignedIPv6")
    available_ipv4: int = msgspec.field(default=0, name="availableIPv4")
    available_ipv6: int = msgspec.field(default=0, name="availableIPv6")


class IPAddressPool(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """An IPAddressPool."""

    metadata: ObjectMeta = ObjectMeta()
    spec: IPAddressPoolSpec | None = None
    status: IPAddressPoolStatus | None = None
