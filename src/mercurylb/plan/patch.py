"""The one write that makes a service say what was decided, or none if it says so already.

Addresses, annotations and the condition travel in one merge patch of the status subresource. It
names the resource version it was made for, so that nothing written by others meanwhile is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.api.annotation import ALLOCATED_FROM_POOL, DEPRECATED
from mercurylb.plan.condition import (
    Wait,
    allocated_condition,
    conditions_with,
    find_condition,
    waiting_condition,
)
from mercurylb.plan.decision import StatusPatch

if TYPE_CHECKING:
    from mercurylb.allocator.claim import Allocation
    from mercurylb.api.service import Service, ServiceCondition

_POOL_KEYS: Final = (ALLOCATED_FROM_POOL, DEPRECATED[ALLOCATED_FROM_POOL])


def patch_decided(
    service: Service, holding: Allocation | None, *, wait: Wait | None, now: str
) -> StatusPatch | None:
    """Give the write for a service that is to have exactly what it holds."""
    addresses = tuple(map(str, holding.addresses)) if holding else ()
    is_same = _has_ingress(service, addresses)
    annotations = _annotation_changes(service, holding)
    status: dict[str, object] = {}
    if not is_same:
        ingress = [{"ip": address} for address in addresses] or None
        status["loadBalancer"] = {"ingress": ingress}
    before = find_condition(service)
    if wait is not None:
        condition: ServiceCondition | None = waiting_condition(service, wait, now)
    elif holding is None:
        condition = None
    elif is_same and (before is None or (before.status == "True" and not annotations)):
        condition = before
    else:
        message = f"{', '.join(addresses)} from pool {holding.pool}"
        condition = allocated_condition(service, message, now)
    if condition != before:
        status["conditions"] = conditions_with(service, condition)
    return _patch(service, annotations, status)


def patch_undecided(service: Service, *, wait: Wait, now: str) -> StatusPatch | None:
    """Give the write for a service of which nothing but the condition may be touched."""
    condition = waiting_condition(service, wait, now)
    if condition == find_condition(service):
        return None
    return _patch(service, {}, {"conditions": conditions_with(service, condition)})


def _patch(
    service: Service, annotations: dict[str, str | None], status: dict[str, object]
) -> StatusPatch | None:
    if not annotations and not status:
        return None
    metadata: dict[str, object] = {"resourceVersion": service.metadata.resource_version}
    body: dict[str, object] = {"metadata": metadata}
    if annotations:
        metadata["annotations"] = annotations
    if status:
        body["status"] = status
    return StatusPatch(
        service.metadata.namespace,
        service.metadata.name,
        msgspec.json.encode(body),
        is_condition_only=not annotations and "loadBalancer" not in status,
    )


def _has_ingress(service: Service, addresses: tuple[str, ...]) -> bool:
    """Tell whether the entries are ours already; the API server fills in `ipMode: VIP`."""
    return len(service.ingress) == len(addresses) and all(
        entry.ip == address and not entry.hostname and entry.ip_mode in (None, "VIP")
        for entry, address in zip(service.ingress, addresses, strict=True)
    )


def _annotation_changes(service: Service, holding: Allocation | None) -> dict[str, str | None]:
    """Give what to set and, as None, what to remove."""
    present = service.metadata.annotations or {}
    wanted = {ALLOCATED_FROM_POOL: holding.pool} if holding else {}
    return {key: wanted.get(key) for key in _POOL_KEYS if present.get(key) != wanted.get(key)}
