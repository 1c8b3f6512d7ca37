"""The condition on a Service that tells in one sentence why it is pending.

Its type is `mercurylb.io/Allocated`. It is False while a service waits, or while something about it
is invalid, and turns True in the write that brings the addresses. A service that has its addresses
already gets none just for the sake of it, so adopting a cluster writes nothing. The sentence leaves
out what comes and goes with other services, such as the holders of a full pool: those are in the
event. Thus a waiting service is written once, not at each change elsewhere.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.allocator.claim import Refusal, RefusalReason
from mercurylb.api.service import ServiceCondition

if TYPE_CHECKING:
    from mercurylb.api.service import Service

ALLOCATED_TYPE: Final = "mercurylb.io/Allocated"

MESSAGE_MAX: Final = 1024
"""What the API takes as the message of an event, in characters; conditions keep to it too."""

EPOCH: Final = "1970-01-01T00:00:00Z"
"""The time for those who only look and write nothing."""


class ConditionReason(StrEnum):
    """Why a service has its addresses, or not."""

    ALLOCATED = "Allocated"
    CONFIGURATION_MISSING = "ConfigurationMissing"
    CLUSTER_IP_MISSING = "ClusterIPMissing"
    NOT_ENOUGH_CLUSTER_IPS = "NotEnoughClusterIPs"
    CLUSTER_IPS_INVALID = "ClusterIPsInvalid"
    REQUEST_INVALID = "RequestInvalid"
    FAMILY_MISMATCH = "FamilyMismatch"
    ADDRESS_NOT_IN_POOL = "RequestedAddressNotInPool"
    ADDRESS_IN_USE = "RequestedAddressInUse"
    POOL_UNKNOWN = "RequestedPoolUnknown"
    POOL_MISMATCH = "RequestedPoolMismatch"
    POOL_NOT_COMPATIBLE = "PoolNotCompatible"
    POOL_EXHAUSTED = "PoolExhausted"
    FAMILY_MISSING = "FamilyMissing"
    NO_POOL_MATCHES = "NoPoolMatches"
    POLICY_NOT_DUAL_STACK = "PolicyNotDualStack"


_REASONS: Final = {
    RefusalReason.NOT_IN_POOL: ConditionReason.ADDRESS_NOT_IN_POOL,
    RefusalReason.ADDRESS_AVOIDED: ConditionReason.ADDRESS_NOT_IN_POOL,
    RefusalReason.POOLS_DIFFER: ConditionReason.ADDRESS_NOT_IN_POOL,
    RefusalReason.POOL_INCOMPATIBLE: ConditionReason.POOL_NOT_COMPATIBLE,
    RefusalReason.TOO_MANY: ConditionReason.REQUEST_INVALID,
    RefusalReason.SAME_FAMILY: ConditionReason.REQUEST_INVALID,
    RefusalReason.SHARING_CONFLICT: ConditionReason.ADDRESS_IN_USE,
    RefusalReason.PORT_CONFLICT: ConditionReason.ADDRESS_IN_USE,
    RefusalReason.WRONG_FAMILY: ConditionReason.FAMILY_MISMATCH,
    RefusalReason.POLICY: ConditionReason.POLICY_NOT_DUAL_STACK,
    RefusalReason.UNKNOWN_POOL: ConditionReason.POOL_UNKNOWN,
    RefusalReason.EXHAUSTED: ConditionReason.POOL_EXHAUSTED,
    RefusalReason.FAMILY_MISSING: ConditionReason.FAMILY_MISSING,
    RefusalReason.NO_POOL_MATCHES: ConditionReason.NO_POOL_MATCHES,
    RefusalReason.INVALID_CLUSTER_IPS: ConditionReason.CLUSTER_IPS_INVALID,
    RefusalReason.INVALID_REQUEST: ConditionReason.REQUEST_INVALID,
    RefusalReason.POOL_MISMATCH: ConditionReason.POOL_MISMATCH,
}


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Why a service has to wait: in one word, and in one sentence that lasts."""

    reason: ConditionReason
    sentence: str


def wait_for(refusal: Refusal) -> Wait:
    """Give the cause of waiting that a refusal is."""
    return Wait(_REASONS[refusal.reason], bounded(refusal.lasting))


def bounded(message: str) -> str:
    """Cut a message to what the API takes."""
    return message if len(message) <= MESSAGE_MAX else f"{message[: MESSAGE_MAX - 1]}…"


def find_condition(service: Service) -> ServiceCondition | None:
    """Give our condition, as it stands on the service."""
    return next((each for each in service.conditions if each.type == ALLOCATED_TYPE), None)


def waiting_condition(service: Service, wait: Wait, now: str) -> ServiceCondition:
    """Give the condition of a service that waits; equal to what it has if nothing changed."""
    return _condition(service, "False", wait.reason, wait.sentence, now)


def allocated_condition(service: Service, message: str, now: str) -> ServiceCondition:
    """Give the condition of a service that has what it is to have."""
    return _condition(service, "True", ConditionReason.ALLOCATED, bounded(message), now)


def _condition(
    service: Service, status: str, reason: ConditionReason, message: str, now: str
) -> ServiceCondition:
    before = find_condition(service)
    is_transition = before is None or before.status != status
    return ServiceCondition(
        type=ALLOCATED_TYPE,
        status=status,
        reason=reason.value,
        message=message,
        last_transition_time=now
        if before is None or is_transition
        else before.last_transition_time,
        observed_generation=service.metadata.generation or msgspec.UNSET,
    )


def conditions_with(
    service: Service, condition: ServiceCondition | None
) -> list[ServiceCondition] | None:
    """Give all conditions with ours in its place, or without it; None for none at all.

    A merge patch replaces lists as a whole, so those of others have to be written back.
    """
    every = list(service.conditions)
    places = [index for index, each in enumerate(every) if each.type == ALLOCATED_TYPE]
    if condition is not None and places:
        every[places[0]] = condition
        places = places[1:]
    elif condition is not None:
        every.append(condition)
    return [each for index, each in enumerate(every) if index not in places] or None
