"""ConfigurationState: whether this process could accept the configuration (spec: api §8.4).

Level triggered, like everything that writes here: what the object is to say follows from the last
report, what it says from the last observation or answer, and only a difference is written. So an
object that was deleted or changed by hand is put right, and one that is right costs nothing, not
even at a start.

Ours are the labels, an owner reference, one condition, and the summary of all conditions, whoever
wrote them. `lastTransitionTime` is what the API convention says, the time of the last change of
the condition's status; the original touches it at every look.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.api.configuration_state import (
    COMPONENT_LABEL,
    CONFIGURATION_ERROR,
    MESSAGE_MAX,
    NODE_LABEL,
    RECONCILED,
    Condition,
    ConfigurationState,
    ConfigurationStateStatus,
    summarize,
)
from mercurylb.kube.kinds import CONFIGURATION_STATES
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.kube.writer import Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.api.meta import OwnerReference
    from mercurylb.kube.writer import Writer

REFUSED_RETRY_S: Final = 5.0
"""A write that the API server refuses is tried again."""


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
        later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        self._writer = writer
        self._namespace = namespace
        self._name = name
        self._condition_type = condition_type
        self._field_manager = field_manager
        self._labels = {COMPONENT_LABEL: component} | ({NODE_LABEL: node} if node else {})
        self._owner = owner
        self._clock = clock
        self._later = later
        """Has something called after so many seconds; the loop's own unless given."""
        self._reported: str | None = None
        self._observed: ConfigurationState | None = None
        self._is_writing = False
        self._is_closed = False

    def report(self, error: str) -> None:
        """Say that the configuration was accepted (an empty text), or why it was not."""
        self._reported = error
        self._put_right()

    def observe(self, state: ConfigurationState | None) -> None:
        """Take what the object is, None if there is none, and put right what is ours."""
        if state is None or not _is_older(state, self._observed):
            self._observed = state
        self._put_right()

    def repeat(self) -> None:
        """Write everything again."""
        self.observe(None)

    def close(self) -> None:
        """Write nothing any more: another process tells from now on."""
        self._is_closed = True

    def _put_right(self) -> None:
        if self._is_closed or self._is_writing:
            return  # The answer of the write under way will have it looked at again.
        parts = self._missing_metadata()
        if parts is not None:
            self._submit(parts)
            return
        parts = self._missing_status()
        if parts is not None:
            self._submit(parts, subresource="status")

    def _missing_metadata(self) -> dict[str, object] | None:
        if self._observed is not None:
            metadata = self._observed.metadata
            owners = {owner.uid for owner in metadata.owner_references or ()}
            if self._labels.items() <= (metadata.labels or {}).items() and (
                self._owner is None or self._owner.uid in owners
            ):
                return None
        wanted: dict[str, object] = {
            "name": self._name,
            "namespace": self._namespace,
            "labels": self._labels,
        }
        if self._owner is not None:
            wanted["ownerReferences"] = [self._owner]
        return {"metadata": wanted}

    def _missing_status(self) -> dict[str, object] | None:
        observed = self._observed.status if self._observed else None
        observed = observed or ConfigurationStateStatus()
        conditions = {condition.type: condition for condition in observed.conditions or ()}
        before = conditions.get(self._condition_type)
        own = self._condition(before)
        if own is not None:
            conditions[own.type] = own
        result, summary = summarize(tuple(conditions.values()))
        if own == before and (result, summary) == (observed.result, observed.error_summary):
            return None
        status: dict[str, object] = {"result": result, "errorSummary": summary}
        if own is not None:
            status["conditions"] = [own]
        return {"status": status}

    def _condition(self, before: Condition | None) -> Condition | None:
        """Give our condition as it is to be; nothing reported yet leaves it as it is."""
        if self._reported is None:
            return before
        error = self._reported
        wanted = Condition(
            type=self._condition_type,
            status="False" if error else "True",
            reason=CONFIGURATION_ERROR if error else RECONCILED,
            message=f"configuration error: {error}"[:MESSAGE_MAX] if error else "",
        )
        if before is not None and before.status == wanted.status and before.last_transition_time:
            since = before.last_transition_time
        else:
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))
        generation = before.observed_generation if before else msgspec.UNSET  # Somebody else's.
        return msgspec.structs.replace(
            wanted, last_transition_time=since, observed_generation=generation
        )

    def _submit(self, parts: dict[str, object], subresource: str | None = None) -> None:
        body = {
            "apiVersion": CONFIGURATION_STATES.api_version,
            "kind": CONFIGURATION_STATES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            **parts,
        }
        operation = Operation(
            Verb.APPLY,
            CONFIGURATION_STATES,
            self._name,
            self._namespace,
            encode(body),
            subresource,
            self._field_manager,
        )
        self._is_writing = True
        self._writer.submit(f"ConfigurationState {self._name}", operation, self._on_written)

    def _on_written(self, outcome: Outcome) -> None:
        self._is_writing = False
        if outcome.result is Result.DONE:
            try:
                written = CONFIGURATION_STATES.decoder.decode(outcome.body)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                return  # The watch shows what came of it.
            if outcome.operation.subresource is None or not _is_older(written, self._observed):
                self.observe(written)
        elif outcome.result is Result.VANISHED:
            self.observe(None)
        elif outcome.result in (Result.CONFLICT, Result.REFUSED, Result.GIVEN_UP):
            later = self._later or asyncio.get_running_loop().call_later
            later(REFUSED_RETRY_S, self._put_right)


def _is_older(state: ConfigurationState, known: ConfigurationState | None) -> bool:
    """Tell whether this is the past: a watch may lag behind the answers of our writes."""
    if known is None or known.metadata.uid != state.metadata.uid:
        return False
    ours, theirs = known.metadata.resource_version, state.metadata.resource_version
    return ours.isdecimal() and theirs.isdecimal() and int(theirs) < int(ours)
