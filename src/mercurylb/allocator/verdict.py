"""Why a pool was chosen, or was not."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class PoolReason(StrEnum):
    """What settled the matter for one pool."""

    CHOSEN = "chosen"
    KEPT = "kept"
    NOT_AUTO_ASSIGNED = "notAutoAssigned"
    NAMESPACE_NOT_ADMITTED = "namespaceNotAdmitted"
    LABELS_NOT_ADMITTED = "labelsNotAdmitted"
    PINNED_TO_NOBODY = "pinnedToNobody"
    EXHAUSTED = "exhausted"
    FAMILY_MISSING = "familyMissing"
    ALL_AVOIDED = "allAvoided"
    """All it has of a family ends in .0 or .255, and it avoids those."""
    POLICY_NOT_DUAL_STACK = "policyNotDualStack"
    """The service is dual-stack, its policy is not: no pool can help."""
    NOT_FIRST = "notFirst"
    NOT_REQUESTED = "notRequested"
    ADDRESS_AVOIDED = "addressAvoided"
    """It has the address asked for, but avoids it."""
    ADDRESS_IN_USE = "addressInUse"
    """It has the address asked for, and somebody is on it with whom it cannot be shared."""
    ADDRESS_ELSEWHERE = "addressElsewhere"
    """It has only one of the two addresses asked for, or is not the pool asked for as well."""
    REQUEST_REFUSED = "requestRefused"


class PoolVerdict(msgspec.Struct, frozen=True, gc=False):
    """The outcome for one pool, with a half-sentence that explains it."""

    pool: str
    reason: PoolReason
    detail: str = ""
    """True as long as the pool and the service stay as they are."""
    holders: str = ""
    """Who has what the service cannot have; comes and goes with others."""

    @property
    def chosen(self) -> bool:
        """Tell whether the service's addresses are from this pool."""
        return self.reason in (PoolReason.CHOSEN, PoolReason.KEPT)

    @property
    def brief(self) -> str:
        """Give `pool <name>: <detail>` without the holders."""
        return f"pool {self.pool}: {self.detail or self.reason.value}"

    def __str__(self) -> str:
        """Give `pool <name>: <detail> (<holders>)`."""
        return f"{self.brief} ({self.holders})" if self.holders else self.brief
