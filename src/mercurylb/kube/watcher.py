"""The driver of a reflector: does what it asks, tells it what came, and fills the store.

It reconnects forever, quickly at first and then at least every second or so (see `backoff`),
because an API server that is back must be noticed before an operator does. A connection that stays
silent although bookmarks come about every minute is half-open and is dropped.

A kind that the server does not know is said once, with what to do; where a program can go on
without it (`Resource.is_dispensable`) it counts as one without objects, until it is there.

`relist` has everything listed anew: whoever takes over from another process must not decide with a
copy that is older than the other's last write, and a watch cannot tell how far behind it is.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from mercurylb.errors import ApiError, Denied, KubeError, NotFound, WireError
from mercurylb.kube.backoff import CAP_S, DENIED_CAP_S, Backoff
from mercurylb.kube.reflector import Broken, ListRequest, Output, Reflector, Restarted, Unreadable
from mercurylb.kube.report import SILENCE, Log
from mercurylb.kube.resource import Resource, T
from mercurylb.kube.watch import EVERYTHING, LINE_BYTES_MAX, LineSplitter, Selection

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from mercurylb.kube.client import KubeClient, Stream
    from mercurylb.kube.store import Store

SILENCE_MAX_S = 90.0
"""The server sends a bookmark about every minute; client-go's HTTP/2 ping gives up after 45 s."""
DENIED_TRIES = 60
"""Refusals in a row that may come from a server that is not ready yet."""
MISSING_TRIES = 20
"""After so many a kind that is not known is not coming soon."""


@dataclass(slots=True)
class WatchCounts:
    """What happened so far, for metrics and tests."""

    lines: int = 0
    relists: int = 0
    failures: int = 0
    unreadable: int = 0
    is_kind_missing: bool = False
    """The server does not know the kind."""


class Watcher(Generic[T]):
    """Keeps one store true to the API server."""

    def __init__(  # noqa: PLR0913 (its collaborators)
        self,
        client: KubeClient,
        resource: Resource[T],
        store: Store[T],
        *,
        random: Random,
        selection: Selection = EVERYTHING,
        log: Log = SILENCE,
        silence_max_s: float = SILENCE_MAX_S,
        line_bytes_max: int = LINE_BYTES_MAX,
        retry_cap_s: float = CAP_S,
    ) -> None:
        self.store = store
        self.is_fresh = asyncio.Event()
        """Cleared by `relist`, set when a list that began after it is in the store."""
        self.counts = WatchCounts()
        self._client = client
        self._resource = resource
        self._namespace = selection.namespace
        self._reflector = Reflector(resource, selection)
        self._backoff = Backoff(random)
        self._denied = Backoff(random)
        self._denied_count = 0
        self._retry_cap_s = retry_cap_s
        self._stream: Stream | None = None
        self._wants_list = False
        self._nudge = asyncio.Event()
        self.log = log
        self._silence_max_s = silence_max_s
        self._line_bytes_max = line_bytes_max

    async def run(self) -> None:
        """List and watch until cancelled."""
        while True:
            if self._wants_list:
                self._wants_list = False
                self._nudge.clear()
                self._reflector.restart()
            request = self._reflector.next_request()
            try:
                if isinstance(request, ListRequest):
                    await self._list(request.params)
                else:
                    await self._watch(request.params)
            except (KubeError, WireError) as error:
                if not self._wants_list:
                    self._apply(self._reflector.on_error(error))
                    await self._pause(error)

    def relist(self) -> None:
        """Have everything listed anew, at once."""
        self.is_fresh.clear()
        self._wants_list = True
        self._nudge.set()
        if self._stream is not None:
            self._stream.abort()

    async def _list(self, params: Mapping[str, str]) -> None:
        body = await self._client.list_page(self._resource, self._namespace, params, patience_s=0.0)
        if self._wants_list:
            return  # This list began before it was wanted.
        outputs = self._reflector.on_page(body)
        self._apply(outputs)
        if any(isinstance(output, Broken) for output in outputs):
            await self._pause(None)

    async def _watch(self, params: Mapping[str, str]) -> None:
        path = self._resource.path(namespace=self._namespace)
        splitter = LineSplitter(self._line_bytes_max)
        async with self._client.stream(path, params, silence_max_s=self._silence_max_s) as stream:
            self._reflector.on_opened()
            line_count = self.counts.lines
            self._stream = stream
            try:
                while self._reflector.is_watching and not self._wants_list:
                    chunk = await stream.read()
                    if not chunk:
                        self._reflector.on_end()
                        break
                    self._take_lines(splitter.feed(chunk))
            finally:
                self._stream = None
        if self.counts.lines == line_count:
            # A watch that ends at once without a word would otherwise be reopened in a tight loop.
            await self._pause(None)

    def _take_lines(self, lines: list[bytes]) -> None:
        reflector, store = self._reflector, self.store
        for line in lines:
            self.counts.lines += 1
            for output in reflector.on_line(line):
                if isinstance(output, (Unreadable, Broken)):
                    self._note(output)
                store.apply(output)
            if not reflector.is_watching:
                return
        self._reset_backoff()

    def _reset_backoff(self) -> None:
        self._backoff.reset()
        self._denied.reset()
        self._denied_count = 0
        self.counts.is_kind_missing = False

    def _apply(self, outputs: list[Output[T]]) -> None:
        for output in outputs:
            self._note(output)
            self.store.apply(output)
            if isinstance(output, Restarted):
                self.is_fresh.set()

    def _note(self, output: Output[T]) -> None:
        plural = self._resource.plural
        if isinstance(output, Restarted):
            self.counts.relists += 1
            self._reset_backoff()
            self.log.debug("kube.listed", resource=plural, objects=len(output.objects))
            for bad in output.unreadable:
                self._note(bad)
        elif isinstance(output, Unreadable):
            self.counts.unreadable += 1
            self.log.warning(
                "kube.object_unreadable",
                msg="the object cannot be read, its last good copy is kept",
                object=f"{self._resource.kind} {output.key}".rstrip(),
                reason=output.message,
            )
        elif isinstance(output, Broken):
            self.counts.failures += 1
            self._note_break(output)

    def _note_missing(self) -> None:
        """Say that the kind is not there, and go on without it where that makes sense."""
        self.counts.is_kind_missing = True
        resource = self._resource
        self.log.warning(
            "kube.kind_missing",
            msg="the program goes on without it" if resource.is_dispensable else "it is waited for",
            resource=f"{resource.plural}.{resource.group} {resource.version}",
            todo="apply the definitions of this version: helm upgrade, or config/crd",
        )
        if resource.is_dispensable and not self.store.has_synced:
            self.store.apply(Restarted({}))

    def _note_break(self, broken: Broken) -> None:
        plural = self._resource.plural
        # The first failure of a series is news; the following ones are the same news.
        if self._backoff.failure_count or self._denied.failure_count:
            self.log.debug(
                "kube.watch_retried",
                resource=plural,
                reason=broken.message,
                relist=broken.is_expired,
            )
        else:
            self.log.warning(
                "kube.watch_broken",
                msg="the watch is set up again",
                resource=plural,
                reason=broken.message,
                relist=broken.is_expired,
            )

    async def _pause(self, error: KubeError | WireError | None) -> None:
        if isinstance(error, (Denied, NotFound)):
            # A server that is just starting refuses for a moment what it allows later, so a refusal
            # is like any other failure until there were many in a row.
            self._denied_count += 1
            if isinstance(error, NotFound) and self._denied_count == MISSING_TRIES:
                self._note_missing()
            is_lasting = self._denied_count > DENIED_TRIES
            cap_s = DENIED_CAP_S if is_lasting else self._retry_cap_s
            delay_s = self._denied.next_delay_s(cap_s=cap_s)
        else:
            delay_s = self._backoff.next_delay_s(cap_s=self._retry_cap_s)
        if isinstance(error, ApiError) and error.retry_after_s is not None:
            delay_s += error.retry_after_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._nudge.wait()
