"""Which members this speaker misses, as an annotation of its ConfigurationState.

Written when it changes, but seldom: when many nodes restart at once, every speaker has much to tell
and the last word is enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.kube.kinds import CONFIGURATION_STATES
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.plan.testimony import ABSENT_ANNOTATION, absent_of, encode_absent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.api.configuration_state import ConfigurationState
    from mercurylb.kube.writer import Writer
    from mercurylb.plan.desired import MemberState

WRITE_INTERVAL_S: Final = 15.0


class MemberReporter:
    """Keeps the annotation true; call it often, it writes little."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._written_at = float("-inf")

    def step(
        self, members: Iterable[MemberState], state: ConfigurationState | None, now: float
    ) -> None:
        """Compare what is missed with what the object says; an object to come is waited for."""
        if state is None or now - self._written_at < WRITE_INTERVAL_S:
            return
        wanted = encode_absent(absent_of(members))
        if (state.metadata.annotations or {}).get(ABSENT_ANNOTATION, "") == wanted:
            return
        self._written_at = now
        metadata = {"annotations": {ABSENT_ANNOTATION: wanted or None}}
        name, namespace = state.metadata.name, state.metadata.namespace
        body = encode({"metadata": metadata})
        operation = Operation(Verb.MERGE, CONFIGURATION_STATES, name, namespace, body)
        self._writer.submit(f"ConfigurationState {name} annotation", operation)
