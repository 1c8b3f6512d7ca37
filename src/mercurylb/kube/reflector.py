"""The machine that keeps a local copy true: list, then watch, and list again when history is lost.

Pure: it is told what arrived and says what follows; `watcher` does the talking. The shape is that
of kube-rs' watcher::

      EMPTY --page, more to come--> PAGING --last page--> LISTED --opened--> WATCHING
        ^  `------------------- last page ----------------^  ^                  |
        |                                                    `-- end, failed ---|
        `--------------------------- expired -----------------------------------'

Promises:

* A relist is one `Restarted` with all objects, given only when the last page is in. So a store
  swaps at once: no reader sees half a list, and objects that vanished while nobody watched are
  seen as gone.
* The resource version always is that of the last list or line understood, bookmarks included;
  after an orderly end the watch goes on from there and nothing is lost or repeated.
* An object that does not fit its struct gives `Unreadable`, naming it; everything else goes on.
* Nothing the server sends raises.

What it does not do: wait, retry by itself, or hold the objects (that is `store`).
"""

from __future__ import annotations

import enum
from typing import Generic, TypeAlias

import msgspec

from mercurylb.errors import ApiError, Denied, Gone, KubeError, WireError
from mercurylb.kube.resource import Identified, Resource, T, key_of
from mercurylb.kube.watch import (
    EVERYTHING,
    PAGE_LIMIT,
    WATCH_TIMEOUT_S,
    Line,
    Selection,
    decode_line,
    decode_page,
    decode_status,
)


class State(enum.Enum):
    """How far the local copy is."""

    EMPTY = "empty"
    PAGING = "paging"
    LISTED = "listed"
    WATCHING = "watching"


class Input(enum.Enum):
    """What can happen to it."""

    PAGE = "page"
    LAST_PAGE = "last page"
    OPENED = "opened"
    END = "end"
    FAILED = "failed"
    EXPIRED = "expired"


_NEXT = {
    (State.EMPTY, Input.PAGE): State.PAGING,
    (State.EMPTY, Input.LAST_PAGE): State.LISTED,
    (State.EMPTY, Input.FAILED): State.EMPTY,
    (State.EMPTY, Input.EXPIRED): State.EMPTY,
    (State.PAGING, Input.PAGE): State.PAGING,
    (State.PAGING, Input.LAST_PAGE): State.LISTED,
    (State.PAGING, Input.FAILED): State.PAGING,
    (State.PAGING, Input.EXPIRED): State.EMPTY,
    (State.LISTED, Input.OPENED): State.WATCHING,
    (State.LISTED, Input.END): State.LISTED,
    (State.LISTED, Input.FAILED): State.LISTED,
    (State.LISTED, Input.EXPIRED): State.EMPTY,
    (State.WATCHING, Input.END): State.LISTED,
    (State.WATCHING, Input.FAILED): State.LISTED,
    (State.WATCHING, Input.EXPIRED): State.EMPTY,
}

_STATUSES_THAT_PASS = frozenset({429, 500, 502, 503})
"""Answers that say nothing about our resource version; after any other a fresh list is safer."""


class Unreadable(msgspec.Struct, frozen=True):
    """An object does not fit the struct we read it into; the last good copy stays."""

    key: str
    """`namespace/name`; empty when not even that can be read."""
    message: str


class Applied(msgspec.Struct, Generic[T], frozen=True):
    """An object is there, new or changed."""

    key: str
    object: T


class Deleted(msgspec.Struct, frozen=True):
    """An object is gone."""

    key: str


class Restarted(msgspec.Struct, Generic[T], frozen=True):
    """A complete list: what is not in it does not exist."""

    objects: dict[str, T]
    unreadable: tuple[Unreadable, ...] = ()


class Broken(msgspec.Struct, frozen=True):
    """The watch cannot go on; `is_expired` when the copy has to be listed again."""

    message: str
    is_expired: bool


Output: TypeAlias = Applied[T] | Deleted | Restarted[T] | Unreadable | Broken


class ListRequest(msgspec.Struct, frozen=True):
    """Ask for a page of the list."""

    params: dict[str, str]


class WatchRequest(msgspec.Struct, frozen=True):
    """Ask for the changes since the version we have."""

    params: dict[str, str]


class Reflector(Generic[T]):
    """The machine for one kind of object and one selection."""

    def __init__(
        self,
        resource: Resource[T],
        selection: Selection = EVERYTHING,
        *,
        page_limit: int = PAGE_LIMIT,
        watch_timeout_s: int = WATCH_TIMEOUT_S,
    ) -> None:
        self.state = State.EMPTY
        self.resource_version = ""
        self._resource = resource
        self._selection = selection
        self._page_limit = page_limit
        self._watch_timeout_s = watch_timeout_s
        self._continue = ""
        self._objects: dict[str, T] = {}
        self._unreadable: list[Unreadable] = []

    @property
    def is_watching(self) -> bool:
        """Tell whether lines are expected."""
        return self.state is State.WATCHING

    def next_request(self) -> ListRequest | WatchRequest:
        """Give what to ask the server now."""
        params = self._selection.params()
        if self.state in {State.EMPTY, State.PAGING}:
            params["limit"] = str(self._page_limit)
            if self._continue:
                params["continue"] = self._continue
            return ListRequest(params)
        params["watch"] = "true"
        params["allowWatchBookmarks"] = "true"
        params["resourceVersion"] = self.resource_version
        params["timeoutSeconds"] = str(self._watch_timeout_s)
        return WatchRequest(params)

    def on_page(self, body: bytes) -> list[Output[T]]:
        """Take a page of the list that `next_request` asked for."""
        try:
            page = decode_page(body)
        except WireError as error:
            return self._break(str(error), is_expired=True)
        for raw in page.items or ():
            self._take_item(raw)
        self._continue = page.metadata.next
        if self._continue:
            self._step(Input.PAGE)
            return []
        if not page.metadata.resource_version:
            return self._break("list: no resource version in the last page", is_expired=True)
        self.resource_version = page.metadata.resource_version
        restarted = Restarted(self._objects, tuple(self._unreadable))
        self._forget_pages()
        self._step(Input.LAST_PAGE)
        return [restarted]

    def on_opened(self) -> None:
        """Take that the watch is answered and lines will follow."""
        self._step(Input.OPENED)

    def on_line(self, data: bytes) -> list[Output[T]]:
        """Take one line of the watch."""
        try:
            line = decode_line(data)
        except WireError as error:
            return self._break(str(error), is_expired=True)
        if line.type in {"ADDED", "MODIFIED"}:
            return [self._applied(line.object)]
        if line.type == "ERROR":
            return self._on_error_line(line)
        return self._on_rare_line(line)

    def restart(self) -> None:
        """Forget how far the copy is: the next request is for a complete list."""
        self._forget_pages()
        self.resource_version = ""
        self._step(Input.EXPIRED)

    def on_end(self) -> None:
        """Take that the server ended the watch in good order."""
        self._step(Input.END)

    def on_error(self, error: KubeError | WireError) -> list[Output[T]]:
        """Take that a request failed, or that the stream broke."""
        return self._break(str(error), is_expired=self._is_version_lost(error))

    def _is_version_lost(self, error: KubeError | WireError) -> bool:
        if isinstance(error, (Gone, WireError)):
            return True
        if isinstance(error, Denied) or not isinstance(error, ApiError):
            return False
        return error.status not in _STATUSES_THAT_PASS

    def _on_error_line(self, line: Line) -> list[Output[T]]:
        status = decode_status(line.object)
        text = f"watch: {status.code} {status.reason}: {status.message}"
        is_expired = status.reason in {"Expired", "Gone"} or status.code not in _STATUSES_THAT_PASS
        return self._break(text, is_expired=is_expired)

    def _on_rare_line(self, line: Line) -> list[Output[T]]:
        try:
            meta = _IDENTIFIED.decode(line.object).metadata
        except _NOT_DECODED as error:
            return [Unreadable("", f"{line.type}: {error}")]
        if line.type not in {"DELETED", "BOOKMARK"}:
            return [Unreadable(key_of(meta), f"unknown kind of change {line.type!r}")]
        self.resource_version = meta.resource_version or self.resource_version
        return [Deleted(key_of(meta))] if line.type == "DELETED" else []

    def _take_item(self, raw: msgspec.Raw) -> None:
        output = self._applied(raw)
        if isinstance(output, Applied):
            self._objects[output.key] = output.object
        else:
            self._unreadable.append(output)

    def _applied(self, raw: msgspec.Raw) -> Applied[T] | Unreadable:
        try:
            item = self._resource.decoder.decode(raw)
            meta = item.metadata
            key = f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name
        except _NOT_DECODED as error:
            return self._unreadable_from(raw, str(error))
        self.resource_version = meta.resource_version or self.resource_version
        return Applied(key, item)

    def _unreadable_from(self, raw: msgspec.Raw, message: str) -> Unreadable:
        try:
            meta = _IDENTIFIED.decode(raw).metadata
        except _NOT_DECODED:
            return Unreadable("", message)
        self.resource_version = meta.resource_version or self.resource_version
        return Unreadable(key_of(meta), message)

    def _break(self, message: str, *, is_expired: bool) -> list[Output[T]]:
        if is_expired:
            self._forget_pages()
            self.resource_version = ""
        self._step(Input.EXPIRED if is_expired else Input.FAILED)
        return [Broken(message, is_expired)]

    def _forget_pages(self) -> None:
        self._objects = {}
        self._unreadable = []
        self._continue = ""

    def _step(self, event: Input) -> None:
        # An input that the table does not know comes late (a line after the end): no change.
        self.state = _NEXT.get((self.state, event), self.state)


_IDENTIFIED = msgspec.json.Decoder(Identified)
_NOT_DECODED = (msgspec.MsgspecError, ValueError, RecursionError)
