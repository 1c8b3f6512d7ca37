"""What was decided about a service, and the write that follows from it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from mercurylb.allocator.verdict import PoolVerdict
from mercurylb.plan.condition import ConditionReason


class Outcome(StrEnum):
    """What became of a service."""

    NOT_LOADED = "notLoaded"
    """There were never any pools: nothing is touched."""
    NOT_WANTED = "notWanted"
    """It wants no load-balancer IP; what it may have had is cleared."""
    KEPT = "kept"
    """It keeps what it had."""
    ASSIGNED = "assigned"
    """It got addresses, or one more."""
    PENDING = "pending"
    """It has no address, and the reason is told."""
    HELD = "held"
    """Something about it is invalid; it keeps what it had until that is corrected."""


class EventType(StrEnum):
    """Kinds of Kubernetes events."""

    NORMAL = "Normal"
    WARNING = "Warning"


class EventNote(msgspec.Struct, frozen=True, gc=False):
    """An event to be recorded on the service."""

    type: EventType
    reason: str
    message: str


class StatusPatch(msgspec.Struct, frozen=True, gc=False):
    """A JSON merge patch of the status subresource that carries the annotations with it.

    The API server refuses it with 409 if the service changed since it was read.
    """

    namespace: str
    name: str
    body: bytes
    is_condition_only: bool = False
    """It touches nothing that MetalLB 0.16 would write."""


class ServiceDecision(msgspec.Struct, frozen=True, gc=False):
    """Everything there is to say about one service."""

    service: str
    """`namespace/name`."""
    outcome: Outcome
    addresses: tuple[str, ...] = ()
    """The load-balancer IPs it is to have, in order, canonical text."""
    pool: str = ""
    """Where they are from; empty without addresses."""
    events: tuple[EventNote, ...] = ()
    verdicts: tuple[PoolVerdict, ...] = ()
    """Of the pools that were looked at; of all if it got no address, or if `explain` was set."""
    pending_reason: str = ""
    """One sentence why it has no address, or why an invalid wish is not carried out."""
    condition_reason: ConditionReason | None = None
    """What the condition on the service says; None if it is to have none."""
    condition_message: str = ""
    """The sentence of the condition while the service waits; unlike `pending_reason` it does not
    change with what others do."""
    reprocess_all: bool = False
    """It gave something up that others may be waiting for."""
    patch: StatusPatch | None = None
    """The write to be made; None when the object says already what it should."""

    @property
    def converged(self) -> bool:
        """Tell whether nothing is left to be wished for."""
        return self.outcome not in (Outcome.PENDING, Outcome.HELD)


def diff(decision: ServiceDecision) -> StatusPatch | None:
    """Give the one write that makes the service say what was decided."""
    return decision.patch
