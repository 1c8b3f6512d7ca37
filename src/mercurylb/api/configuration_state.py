"""ConfigurationState: whether one of our processes could accept the configuration."""

from __future__ import annotations

from typing import Final

import msgspec

from mercurylb.api.meta import ObjectMeta

COMPONENT_LABEL: Final = "metallb.io/component-type"
NODE_LABEL: Final = "metallb.io/node-name"

CONTROLLER_NAME: Final = "controller"
SPEAKER_NAME_PREFIX: Final = "speaker-"

POOL_CONDITION: Final = "poolReconcilerValid"
CONFIG_CONDITION: Final = "configReconcilerValid"

RECONCILED: Final = "Reconciled"
CONFIGURATION_ERROR: Final = "ConfigurationError"
UNKNOWN_ERROR: Final = "UnknownError"

MESSAGE_MAX: Final = 32768
"""The schema's bound on a condition's message, in characters."""


class Condition(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One condition; the API requires all but `observedGeneration`, which we do not set."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""


class ConfigurationStateStatus(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False
):
    """The verdict: `result` is Valid, Invalid or Unknown."""

    result: str = ""
    error_summary: str = ""
    conditions: tuple[Condition, ...] | None = None


class ConfigurationState(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """A ConfigurationState."""

    metadata: ObjectMeta = ObjectMeta()
    status: ConfigurationStateStatus | None = None


def summarize(conditions: tuple[Condition, ...]) -> tuple[str, str]:
    """Give `result` and `errorSummary` for a set of conditions."""
    if not conditions:
        return "Unknown", ""
    messages = [
        condition.message
        for condition in conditions
        if condition.status == "False" and condition.reason == CONFIGURATION_ERROR
    ]
    return ("Invalid", "\n".join(messages)) if messages else ("Valid", "")
