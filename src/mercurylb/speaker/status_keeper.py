"""The status objects of services: which there are, and which writes about them are under way.

The status is a subresource, so that an object is created first and filled in when the creation has
come back by the watch. Between the two nobody must create it once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from mercurylb.kube.operation import Verb
from mercurylb.kube.resource import Identified, key_of
from mercurylb.kube.writer import Outcome, Result, Writer
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mercurylb.api.meta import ObjectMeta
    from mercurylb.kube.operation import Operation
    from mercurylb.kube.store import Store


class ServiceStatus(Protocol):
    """What ServiceL2Status and ServiceBGPStatus have in common."""

    @property
    def metadata(self) -> ObjectMeta:
        """Give its metadata."""

    @property
    def service_key(self) -> str | None:
        """Give `namespace/name` of the service by its labels; None if a label is missing."""


T = TypeVar("T", bound=ServiceStatus)


class StatusKeeper(Generic[T]):
    """Sorts the objects of one kind to their services, and writes them one write at a time."""

    def __init__(self, store: Store[T], writer: Writer, *, creates: str) -> None:
        self._store = store
        self._writer = writer
        self._creates = creates
        """What the keys of creations begin with; the service follows."""
        self._by_service: dict[str, dict[str, T]] = {}
        self._service_of: dict[str, str] = {}
        self._created: dict[str, str] = {}
        """Objects that were created and which the watch has not brought yet, by service."""

    def take_dirty(self) -> set[str]:
        """Sort changed objects to their services; give the services that are touched."""
        touched: set[str] = set()
        for key in self._store.take_dirty():
            previous = self._service_of.pop(key, None)
            if previous is not None:
                touched.add(previous)
                items = self._by_service[previous]
                items.pop(key, None)
                if not items:
                    del self._by_service[previous]
            item = self._store.get(key)
            if item is not None and item.service_key is not None:
                service = self._service_of[key] = item.service_key
                self._by_service.setdefault(service, {})[key] = item
                touched.add(service)
                if self._created.get(service) == key:
                    del self._created[service]
        return touched

    def items_of(self, services: Iterable[str]) -> list[T]:
        """Give the objects of some services."""
        return [item for service in services for item in self._by_service.get(service, {}).values()]

    def submit(self, operations: Mapping[str, Operation]) -> None:
        """Write what is not being written; what is follows when it has come back."""
        for key, operation in operations.items():
            is_creation = operation.verb is Verb.CREATE
            service = key.removeprefix(self._creates)
            if self._writer.is_busy(key) or (is_creation and service in self._created):
                continue
            if is_creation:
                self._writer.submit(key, operation, self._on_created)
            else:
                self._writer.submit(key, operation)

    def _on_created(self, outcome: Outcome) -> None:
        if outcome.result is Result.DONE:
            made = msgspec.json.decode(outcome.body, type=Identified).metadata
            if key_of(made) not in self._store:
                self._created[outcome.key.removeprefix(self._creates)] = key_of(made)
        elif outcome.result is not Result.SUPERSEDED:
            log.warning("speaker.status_refused", key=outcome.key, error=outcome.error)
