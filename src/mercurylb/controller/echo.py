"""What we wrote ourselves, recognised when the watch brings it back.

A write names the version it changes, so what comes back is what was planned for, plus what was
written. Planning it again would find nothing to do, at the price of another plan; this is a few
comparisons. Whatever differs in anything that a plan looks at is not an echo.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.api.annotation import ALLOCATED_FROM_POOL, DEPRECATED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mercurylb.api.service import Service
    from mercurylb.plan.decision import ServiceDecision

_OURS = frozenset({ALLOCATED_FROM_POOL, DEPRECATED[ALLOCATED_FROM_POOL]})
Wish = tuple[object, dict[str, str], "dict[str, str] | None"]


def wish_of(service: Service) -> Wish:
    """Give everything of a service that others decide and a plan looks at."""
    return service.wish, foreign_annotations(service.metadata.annotations), service.metadata.labels


def foreign_annotations(annotations: Mapping[str, str] | None) -> dict[str, str]:
    """Give the annotations that are not ours to write."""
    return {key: text for key, text in (annotations or {}).items() if key not in _OURS}


def is_echo(service: Service, planned: Service, decision: ServiceDecision) -> bool:
    """Tell whether a service is the one planned for with the decision written into it."""
    annotations = service.metadata.annotations or {}
    ingress = service.ingress
    addresses = decision.addresses
    return (
        annotations.get(ALLOCATED_FROM_POOL, "") == decision.pool
        and DEPRECATED[ALLOCATED_FROM_POOL] not in annotations
        and len(ingress) == len(addresses)
        and all(
            entry.ip == address and not entry.hostname and entry.ip_mode in (None, "VIP")
            for entry, address in zip(ingress, addresses, strict=True)
        )
        and wish_of(service) == wish_of(planned)
        and service.metadata.uid == planned.metadata.uid
    )
