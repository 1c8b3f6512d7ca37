"""ConfigurationState: whether one of our processes could accept the configuration."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from mercurylb.api.meta import ObjectMeta
from mercurylb.api.schema import MAP, Schema

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


_REASON: Final = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
_CONDITION_TYPE: Final = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)


class Condition(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The verdict of one part; the API requires all but `observedGeneration`."""

    type: Annotated[
        str,
        Schema("Which part judged.", is_required=True, max_length=316, pattern=_CONDITION_TYPE),
    ] = ""
    status: Annotated[
        str,
        Schema(
            "Whether the configuration was accepted.",
            is_required=True,
            enum=("True", "False", "Unknown"),
        ),
    ] = ""
    reason: Annotated[
        str,
        Schema(
            "The verdict's cause, in one word.",
            is_required=True,
            min_length=1,
            max_length=1024,
            pattern=_REASON,
        ),
    ] = ""
    message: Annotated[
        str,
        Schema("What is wrong; empty when all is well.", is_required=True, max_length=MESSAGE_MAX),
    ] = ""
    last_transition_time: Annotated[
        str,
        Schema("When the verdict last changed.", is_required=True, format="date-time"),
    ] = ""
    observed_generation: Annotated[
        int | msgspec.UnsetType,
        Schema(
            "Generation of the object the verdict is about; not used.", format="int64", minimum=0
        ),
    ] = msgspec.UNSET


class ConfigurationStateStatus(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False
):
    """The verdict: `result` is Valid, Invalid or Unknown."""

    result: Annotated[
        str,
        Schema("The verdict of all parts together.", enum=("Valid", "Invalid", "Unknown")),
    ] = ""
    error_summary: Annotated[
        str, Schema("Messages of all parts that refused the configuration, one per line.")
    ] = ""
    conditions: Annotated[
        tuple[Condition, ...] | None,
        Schema(
            "One entry for each part of the component that judges configuration.",
            list_type=MAP,
            list_map_keys=("type",),
        ),
    ] = None


class ConfigurationState(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """ConfigurationState tells whether a component accepted the configuration it last saw."""

    metadata: ObjectMeta = ObjectMeta()
    status: Annotated[ConfigurationStateStatus | None, Schema("The component's verdict.")] = None


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
