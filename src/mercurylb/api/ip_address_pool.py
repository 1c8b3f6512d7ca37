"""IPAddressPool: the addresses the controller may give away, and to whom."""

from __future__ import annotations

from typing import Annotated

import msgspec

from mercurylb.api.meta import LabelSelectors, ObjectMeta
from mercurylb.api.schema import Schema


class ServiceAllocation(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Whom the pool is pinned to."""

    priority: Annotated[
        int | None,
        Schema(
            "Pools with a lower number are used first; those without one, or with 0, come last."
        ),
    ] = None
    namespaces: Annotated[
        tuple[str, ...] | None, Schema("Namespaces whose Services may use the pool.")
    ] = None
    namespace_selectors: Annotated[
        LabelSelectors | None,
        Schema("Selects, by their labels, further namespaces whose Services may use the pool."),
    ] = None
    service_selectors: Annotated[
        LabelSelectors | None,
        Schema("Selects by their own labels the Services that may use the pool."),
    ] = None


class IPAddressPoolSpec(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """The wish."""

    addresses: Annotated[
        tuple[str, ...] | None,
        Schema(
            "Address ranges of the pool, each a CIDR prefix or first and last address joined by a "
            "hyphen.",
            is_required=True,
        ),
    ] = None
    auto_assign: Annotated[
        bool | None,
        Schema(
            "Whether addresses may be given to Services that do not ask for this pool.",
            default=True,
        ),
    ] = None
    avoid_buggy_ips: Annotated[
        bool | None,
        Schema(
            "Whether to leave out IPv4 addresses whose last octet is 0 or 255, which some devices "
            "refuse to talk to.",
            default=False,
        ),
    ] = msgspec.field(default=None, name="avoidBuggyIPs")
    service_allocation: Annotated[
        ServiceAllocation | None,
        Schema(
            "Restricts the pool to certain namespaces or Services and ranks it among such pools."
        ),
    ] = None


def _counter(description: str) -> Schema:
    return Schema(description, is_required=True, format="int64")


class IPAddressPoolStatus(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """How full it is; the API requires all four counters."""

    assigned_ipv4: Annotated[int, _counter("Number of IPv4 addresses in use.")] = msgspec.field(
        default=0, name="assignedIPv4"
    )
    assigned_ipv6: Annotated[int, _counter("Number of IPv6 addresses in use.")] = msgspec.field(
        default=0, name="assignedIPv6"
    )
    available_ipv4: Annotated[int, _counter("Number of IPv4 addresses that are still free.")] = (
        msgspec.field(default=0, name="availableIPv4")
    )
    available_ipv6: Annotated[int, _counter("Number of IPv6 addresses that are still free.")] = (
        msgspec.field(default=0, name="availableIPv6")
    )


class IPAddressPool(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """IPAddressPool is a set of addresses that may be given to Services of type LoadBalancer."""

    metadata: ObjectMeta = ObjectMeta()
    spec: Annotated[
        IPAddressPoolSpec | None,
        Schema("What the pool owns and who may use it.", is_required=True),
    ] = None
    status: Annotated[
        IPAddressPoolStatus | None,
        Schema("How much of the pool is in use; written by the controller."),
    ] = None
