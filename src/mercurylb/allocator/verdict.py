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
    NOT_FIRST = "notFirst"
    NOT_REQUESTED = "notRequested"
    REQUEST_REFUSED = "requestRefused"


class PoolVerdict(msgspec.Struct, frozen=True, gc=False):
    """The outcome for one pool, with a half-sentence that explains it."""

    pool: str
    reason: PoolReason
    detail: str = ""

    @property
    def chosen(self) -> bool:
        """Tell whether the service's addresses are from this pool."""
        return self.reason in (PoolReason.CHOSEN, PoolReason.KEPT)

    def __str__(self) -> str:
        """Give `pool <name>: <detail>`."""
        return f"pool {self.pool}: {self.detail or self.reason.value}"
