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
        self._under_way: dict[str, Operation] = {}
        """The latest operation of each key whose outcome is not known."""
        self._created: dict[str, str] = {}
        """The service of each object that was created and which the watch has not brought yet."""
        self._awaited: set[str] = set()
        """Services that have an object in `_created`."""

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
            created_for = self._created.pop(key, None)
            if created_for is not None:
                # Whether it came, or came and went at once.
                self._awaited.discard(created_for)
                touched.add(created_for)
        return touched

    def items_of(self, services: Iterable[str]) -> list[T]:
        """Give the objects of some services."""
        return [item for service in services for item in self._by_service.get(service, {}).values()]

    def submit(self, operations: Mapping[str, Operation]) -> None:
        """Write what is not being written already; another write of the same object follows it."""
        for key, operation in operations.items():
            if self._under_way.get(key) == operation:
                continue
            if operation.verb is Verb.CREATE and self._service_created(key) in self._awaited:
                continue
            self._under_way[key] = operation
            self._writer.submit(key, operation, self._on_outcome)

    def _service_created(self, key: str) -> str:
        return key.removeprefix(self._creates)

    def _on_outcome(self, outcome: Outcome) -> None:
        if self._under_way.get(outcome.key) is outcome.operation:
            del self._under_way[outcome.key]
        if outcome.operation.verb is not Verb.CREATE:
            return
        if outcome.result is Result.DONE:
            made = key_of(msgspec.json.decode(outcome.body, type=Identified).metadata)
            if made not in self._store:
                service = self._service_created(outcome.key)
                self._created[made] = service
                self._awaited.add(service)
        elif outcome.result is not Result.SUPERSEDED:
            log.warning("speaker.status_refused", key=outcome.key, error=outcome.error)
