"""The wire form of lists and watches: requests, page and line envelopes, and the line splitter.

A watch answers with one JSON object per line, `{"type": …, "object": {…}}`, for as long as it
lives. A line is as long as its object (etcd's default allows 1.5 MiB, and JSON may be larger than
what etcd keeps), so lines are split here with a bound of their own, independent of read buffers.

Envelopes are decoded first, with the object left raw: one object that does not fit its struct then
costs that object only, never the page or the stream.
"""

from __future__ import annotations

import msgspec

from mercurylb.errors import WireError

LINE_BYTES_MAX = 16 * 1024 * 1024
PAGE_LIMIT = 500
"""Objects per list page; client-go's pager uses the same."""
WATCH_TIMEOUT_S = 300
"""The server ends a watch after this; client-go asks for five to ten minutes."""


class LineSplitter:
    """Cut a byte stream into lines, whatever the chunks are."""

    def __init__(self, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._line_bytes_max = line_bytes_max
        self._parts: list[bytes] = []
        self._pending_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take bytes and give the non-empty lines they complete, without their newline.

        Raises WireError when a line grows beyond the bound; the splitter is empty again afterwards.
        """
        *lines, rest = chunk.split(b"\n")
        if lines and self._parts:
            lines[0] = b"".join((*self._parts, lines[0]))
            self._parts.clear()
            self._pending_bytes = 0
        if rest:
            self._parts.append(rest)
            self._pending_bytes += len(rest)
        longest = max(self._pending_bytes, *map(len, lines)) if lines else self._pending_bytes
        if longest > self._line_bytes_max:
            self._parts.clear()
            self._pending_bytes = 0
            message = f"line of more than {self._line_bytes_max} bytes"
            raise WireError("watch", message, offset=self._line_bytes_max)
        return [line for line in lines if line]

    @property
    def pending_bytes(self) -> int:
        """Give how much of an unfinished line is held."""
        return self._pending_bytes


class Line(msgspec.Struct, frozen=True):
    """One line of a watch, its object undecoded."""

    type: str
    object: msgspec.Raw


class PageMeta(
    msgspec.Struct, frozen=True, rename={"resource_version": "resourceVersion", "next": "continue"}
):
    """Which moment a list shows, and how to get the rest of it."""

    resource_version: str = ""
    next: str = ""


class Page(msgspec.Struct, frozen=True):
    """One page of a list, its objects undecoded."""

    metadata: PageMeta = PageMeta()
    items: list[msgspec.Raw] | None = None


class Status(msgspec.Struct, frozen=True):
    """The API server's way to say no: `metav1.Status`."""

    message: str = ""
    reason: str = ""
    code: int = 0


_LINES = msgspec.json.Decoder(Line)
_PAGES = msgspec.json.Decoder(Page)
_STATUSES = msgspec.json.Decoder(Status)


def decode_line(line: bytes) -> Line:
    """Decode the envelope of a watch line; raise WireError when it is none."""
    try:
        return _LINES.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError("watch", f"not a watch line: {error}") from error


def decode_page(body: bytes) -> Page:
    """Decode the envelope of a list page; raise WireError when it is none."""
    try:
        return _PAGES.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError("list", f"not a list: {error}") from error


def decode_status(body: bytes | msgspec.Raw) -> Status:
    """Decode a Status as far as possible: an error answer may come from a proxy and be anything."""
    try:
        return _STATUSES.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Status(message=bytes(body)[:200].decode(errors="replace"))


class Selection(msgspec.Struct, frozen=True):
    """Which objects of a kind to look at; empty texts mean no restriction."""

    namespace: str = ""
    labels: str = ""
    """A label selector in the API's text form."""
    fields: str = ""
    """A field selector in the API's text form."""

    def params(self) -> dict[str, str]:
        """Give the query parameters of the selectors."""
        pairs = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {name: text for name, text in pairs.items() if text}


EVERYTHING = Selection()
