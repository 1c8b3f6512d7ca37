"""ConfigurationState: whether this process could accept the configuration (spec: api §8.4).

The object is applied with its labels and owner first, then its status with the one condition that
is ours. A report that says what the last one said is not written again: the original touches
`lastTransitionTime` at every look, we keep it as the API convention has it, the time of the last
change.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mercurylb.api.configuration_state import (
    COMPONENT_LABEL,
    CONFIGURATION_ERROR,
    MESSAGE_MAX,
    NODE_LABEL,
    RECONCILED,
    Condition,
    summarize,
)
from mercurylb.kube.kinds import CONFIGURATION_STATES
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.kube.writer import Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.api.meta import OwnerReference
    from mercurylb.kube.writer import Writer


class ConfigurationReporter:
    """Keeps one ConfigurationState object true."""

    def __init__(  # noqa: PLR0913 (which object, which condition, who owns it)
        self,
        writer: Writer,
        *,
        namespace: str,
        name: str,
        component: str,
        condition_type: str,
        field_manager: str,
        node: str = "",
        owner: OwnerReference | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._namespace = namespace
        self._name = name
        self._condition_type = condition_type
        self._field_manager = field_manager
        self._labels = {COMPONENT_LABEL: component} | ({NODE_LABEL: node} if node else {})
        self._owner = owner
        self._clock = clock
        self._reported: str | None = None

    def report(self, error: str) -> None:
        """Say that the configuration was accepted (an empty text), or why it was not."""
        if error == self._reported:
            return
        self._reported = error
        self._submit()

    def repeat(self) -> None:
        """Write the last report again: somebody deleted or changed the object."""
        if self._reported is not None:
            self._submit()

    def _submit(self) -> None:
        status = self._status(self._reported or "")
        self._writer.submit(
            f"ConfigurationState {self._name}",
            self._apply(self._metadata()),
            lambda outcome: self._submit_status(outcome, status),
        )

    def _submit_status(self, outcome: Outcome, status: dict[str, object]) -> None:
        if outcome.result is Result.DONE:
            operation = self._apply({"status": status}, subresource="status")
            self._writer.submit(f"ConfigurationState {self._name} status", operation)

    def _apply(self, parts: dict[str, object], subresource: str | None = None) -> Operation:
        body = {
            "apiVersion": CONFIGURATION_STATES.api_version,
            "kind": CONFIGURATION_STATES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            **parts,
        }
        return Operation(
            Verb.APPLY,
            CONFIGURATION_STATES,
            self._name,
            self._namespace,
            encode(body),
            subresource,
            self._field_manager,
        )

    def _metadata(self) -> dict[str, object]:
        metadata: dict[str, object] = {
            "name": self._name,
            "namespace": self._namespace,
            "labels": self._labels,
        }
        if self._owner is not None:
            metadata["ownerReferences"] = [self._owner]
        return {"metadata": metadata}

    def _status(self, error: str) -> dict[str, object]:
        message = f"configuration error: {error}"[:MESSAGE_MAX] if error else ""
        condition = Condition(
            type=self._condition_type,
            status="False" if error else "True",
            reason=CONFIGURATION_ERROR if error else RECONCILED,
            message=message,
            last_transition_time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock())),
        )
        result, summary = summarize((condition,))
        return {"result": result, "errorSummary": summary, "conditions": [condition]}
