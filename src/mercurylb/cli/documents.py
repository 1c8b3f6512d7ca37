"""Text to documents: YAML or JSON of any origin, bounded in every direction, with line numbers.

YAML is read as a stream of events and put together here, with a stack of our own, so that depth
costs no recursion. An alias counts as much as what it stands for, so that a few lines cannot grow
into billions of nodes. Whatever is wrong becomes an `UnreadableDocument` that names the line; no
other exception leaves this room. Meaning is not looked at: a document is a JSON value.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import yaml

from mercurylb.cli.lines import Lines
from mercurylb.cli.scalars import resolve
from mercurylb.errors import ParseError
from mercurylb.values.address import quoted

BYTES_MAX: Final = 32 * 1024 * 1024
"""Of one YAML file; etcd's default takes objects of 1.5 MiB."""
JSON_BYTES_MAX: Final = 512 * 1024 * 1024
"""Of one JSON file: snapshots of large clusters are written as JSON."""
NODES_MAX: Final = 3_000_000
"""Values in one file, each alias counted as what it stands for."""
DEPTH_MAX: Final = 100
"""Kubernetes' own kinds stay below 30."""
KEY_MAX: Final = 4096
"""Characters of a key."""
_LINES_BYTES_MAX: Final = 4 * 1024 * 1024
"""Larger JSON files are read without line numbers, at many times the speed."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE: Final = "<<"


class UnreadableDocument(ParseError):  # noqa: N818 (named for what it is about)
    """A file is not YAML or JSON, or is larger or deeper than any manifest."""

    def __init__(self, source: str, line: int, message: str) -> None:
        super().__init__(f"{source}:{line}: {message}" if line else f"{source}: {message}")
        self.source = source
        self.line = line
        self.message = message


class Document(msgspec.Struct, frozen=True):
    """One document of a file."""

    value: object
    source: str
    line: int
    """Where it begins."""
    lines: Lines
    root: object
    """The value that `lines` knows; equal to `value`."""

    def line_of(self, path: str) -> int:
        """Give the line of a field."""
        return self.lines.find(self.root, path, line=self.line)

    def at(self, key: str, index: int) -> Document:
        """Give an item of a list in it as a document of its own."""
        value, root = self.value, self.root
        if isinstance(root, dict) and isinstance(root.get(key), list):
            root = root[key][index]
        assert isinstance(value, dict)
        line = self.line_of(f"{key}[{index}]")
        return Document(value[key][index], self.source, line, self.lines, root)


def parse_documents(content: bytes, *, source: str) -> list[Document]:
    """Read all documents of a file; empty ones are left out. Raises `UnreadableDocument`."""
    if content.lstrip()[:1] in (b"{", b"["):
        document = _parse_json(content, source=source)
        if document is not None:
            return [document]
    if len(content) > BYTES_MAX:
        raise UnreadableDocument(source, 0, f"larger than {BYTES_MAX >> 20} MiB: no manifest is")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableDocument(source, line, "not UTF-8 text") from None
    return _parse_yaml(text, source=source)


def _parse_json(content: bytes, *, source: str) -> Document | None:
    """Read one JSON value; None if it is none, then it may be YAML in flow style."""
    if len(content) > JSON_BYTES_MAX:
        raise UnreadableDocument(source, 0, f"larger than {JSON_BYTES_MAX >> 20} MiB")
    try:
        value = msgspec.json.decode(content)
    except RecursionError:
        raise UnreadableDocument(source, 0, "nested too deeply") from None
    except (msgspec.DecodeError, UnicodeError):
        return None
    _check_depth(value, source=source)
    if len(content) <= _LINES_BYTES_MAX:
        try:
            return _relined(value, content, source=source)
        except (UnreadableDocument, UnicodeError):
            pass  # Valid JSON that YAML reads otherwise: no lines, then.
    return Document(value, source, 1, Lines(), None)


def _relined(value: object, content: bytes, *, source: str) -> Document:
    found = _parse_yaml(content.decode(), source=source)[0]
    return Document(value, source, found.line, found.lines, found.root)


def _check_depth(value: object, *, source: str) -> None:
    level: list[Any] = [value]
    for _ in range(DEPTH_MAX):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        if not inner:
            return
        level = inner
    raise UnreadableDocument(source, 0, f"nested more than {DEPTH_MAX} levels deep")


def _parse_yaml(text: str, *, source: str) -> list[Document]:
    builder = _Builder(source)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        message = f"not YAML: {error.problem or error.context}"
        raise UnreadableDocument(source, line, message) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UnreadableDocument(source, line, f"not YAML: {error.reason}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise UnreadableDocument(source, 0, f"not YAML: {error}") from None
    return builder.documents


class _Frame:
    """A list or mapping that is being put together."""

    def __init__(self, value: dict[str, Any] | list[Any], anchor: str | None, line: int) -> None:
        self.value = value
        self.anchor = anchor
        self.line = line
        self.key: str | None = None
        self.is_merging = False
        self.size = 1
        self.merged: list[dict[str, Any]] = []


class _Builder:
    """Puts documents together from parser events."""

    def __init__(self, source: str) -> None:
        self.documents: list[Document] = []
        self._source = source
        self._size = 0
        self._start()

    def _start(self) -> None:
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[object, int]] = {}
        self._lines = Lines()

    def feed(self, event: yaml.Event) -> None:
        """Take the next event."""
        line = event.start_mark.line + 1 if event.start_mark else 0
        match event:
            case yaml.DocumentStartEvent():
                self._start()
            case yaml.ScalarEvent():
                self._scalar(event, line)
            case yaml.MappingStartEvent():
                self._open({}, event, line)
            case yaml.SequenceStartEvent():
                self._open([], event, line)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close()
            case yaml.AliasEvent():
                self._alias(event.anchor or "", line)
            case _:
                pass

    def _refuse(self, line: int, message: str) -> UnreadableDocument:
        return UnreadableDocument(self._source, line, message)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self._key(top, event.value, line, is_plain=not event.style)
            return
        try:
            value = resolve(event.value, event.tag, is_plain=not event.style)
        except (ParseError, ValueError) as error:
            raise self._refuse(line, str(error)) from None
        self._put(value, event.anchor, 1, line)

    def _key(self, top: _Frame, key: str, line: int, *, is_plain: bool) -> None:
        if len(key) > KEY_MAX:
            raise self._refuse(line, f"a key of more than {KEY_MAX} characters")
        if key in top.value:
            raise self._refuse(line, f"key {quoted(key)} stands there twice")
        top.key = key
        top.is_merging = is_plain and key == _MERGE
        if not top.is_merging:
            self._lines.note(top.value, key, line)

    def _open(self, value: dict[str, Any] | list[Any], event: yaml.NodeEvent, line: int) -> None:
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            raise self._refuse(line, "a list or mapping cannot be a key")
        if len(self._stack) >= DEPTH_MAX:
            raise self._refuse(line, f"nested more than {DEPTH_MAX} levels deep")
        self._stack.append(_Frame(value, event.anchor, line))

    def _close(self) -> None:
        frame = self._stack.pop()
        for other in frame.merged:
            assert isinstance(frame.value, dict)
            for key, value in other.items():
                frame.value.setdefault(key, value)
        self._put(frame.value, frame.anchor, frame.size, frame.line)

    def _alias(self, anchor: str, line: int) -> None:
        found = self._anchors.get(anchor)
        if found is None:
            message = f"alias {quoted(anchor)} stands for nothing before it, or for itself"
            raise self._refuse(line, message)
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            raise self._refuse(line, "an alias cannot be a key")
        self._put(found[0], None, found[1], line)

    def _put(self, value: object, anchor: str | None, size: int, line: int) -> None:
        if anchor:
            self._anchors[anchor] = (value, size)
        if not self._stack:
            self._size += size
        else:
            top = self._stack[-1]
            top.size += size
            if self._size + top.size > NODES_MAX:
                raise self._refuse(line, f"more than {NODES_MAX} values, aliases counted in full")
            self._add(top, value, line)
            return
        if value is not None:
            self.documents.append(Document(value, self._source, line, self._lines, value))

    def _add(self, top: _Frame, value: object, line: int) -> None:
        if isinstance(top.value, list):
            top.value.append(value)
            self._lines.note(top.value, len(top.value) - 1, line)
            return
        key, top.key = top.key, None
        assert key is not None
        if not top.is_merging:
            top.value[key] = value
            return
        parts: list[Any] = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            raise self._refuse(line, "'<<' merges mappings only")
        top.merged += parts
