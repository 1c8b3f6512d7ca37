"""All the stores of a program, filled and sharing one bell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mercurylb.kube.backoff import CAP_S
from mercurylb.kube.store import Store, Wakeup
from mercurylb.kube.watch import EVERYTHING, Selection
from mercurylb.kube.watcher import WatchCounts, Watcher

if TYPE_CHECKING:
    import asyncio
    from random import Random

    from mercurylb.kube.client import KubeClient
    from mercurylb.kube.report import Log
    from mercurylb.kube.resource import Resource, T


class Informers:
    """Keeps one store per kind true to the API server."""

    def __init__(
        self, client: KubeClient, *, random: Random, log: Log, retry_cap_s: float = CAP_S
    ) -> None:
        self.wakeup = Wakeup()
        self._retry_cap_s = retry_cap_s
        self._client = client
        self._random = random
        self._log = log
        self._watchers: list[Watcher[Any]] = []
        self._counts: list[WatchCounts] = []

    @property
    def has_synced(self) -> bool:
        """Tell whether there are stores, and every one has seen a complete list."""
        return bool(self._watchers) and all(watcher.store.has_synced for watcher in self._watchers)

    @property
    def counts(self) -> list[WatchCounts]:
        """What happened so far, watch by watch; grows with `add`."""
        return self._counts

    def add(self, resource: Resource[T], selection: Selection = EVERYTHING) -> Store[T]:
        """Make a store of a kind; it fills once `start` was called."""
        store: Store[T] = Store(self.wakeup)
        self._watchers.append(
            Watcher(
                self._client,
                resource,
                store,
                random=self._random,
                selection=selection,
                log=self._log,
                retry_cap_s=self._retry_cap_s,
            )
        )
        self._counts.append(self._watchers[-1].counts)
        return store

    def start(self, group: asyncio.TaskGroup) -> None:
        """Watch every kind, as tasks of the group."""
        for watcher in self._watchers:
            group.create_task(watcher.run())

    async def wait_synced(self) -> None:
        """Wait until every store has seen a complete list."""
        for watcher in self._watchers:
            await watcher.store.wait_synced()

    async def relist(self) -> None:
        """List everything anew and wait until all of it is in the stores."""
        for watcher in self._watchers:
            watcher.relist()
        for watcher in self._watchers:
            await watcher.is_fresh.wait()
