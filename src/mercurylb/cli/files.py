"""From what stands on the command line to bytes, bounded."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from mercurylb.cli.documents import JSON_BYTES_MAX, UnreadableDocument, parse_documents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mercurylb.cli.documents import Document

STDIN: Final = "-"
SUFFIXES: Final = (".yaml", ".yml", ".json")
FILES_MAX: Final = 20_000
_GZIP: Final = b"\x1f\x8b"


def find_files(arguments: Iterable[str], *, recursive: bool = True) -> Iterator[str]:
    """Give the files that are named, and those in named directories, in order of name.

    In directories only files with a known suffix count, and hidden ones do not. Raises
    `UnreadableDocument`.
    """
    count = 0
    for argument in arguments:
        path = Path(argument)
        if argument == STDIN or not path.is_dir():
            yield argument
            continue
        for found in sorted(path.rglob("*") if recursive else path.iterdir()):
            is_hidden = any(part.startswith(".") for part in found.relative_to(path).parts)
            if found.suffix in SUFFIXES and not is_hidden and found.is_file():
                count += 1
                if count > FILES_MAX:
                    raise UnreadableDocument(argument, 0, f"more than {FILES_MAX} manifests")
                yield str(found)


def read_file(name: str) -> bytes:
    """Read a file or the standard input, and unpack it if it is packed by gzip."""
    try:
        if name == STDIN:
            return _unpacked(sys.stdin.buffer, name)
        with Path(name).open("rb") as file:
            return _unpacked(file, name)
    except FileNotFoundError:
        raise UnreadableDocument(name, 0, "there is no such file") from None
    except (OSError, EOFError) as error:
        raise UnreadableDocument(name, 0, f"cannot be read: {error}") from None


def _unpacked(file: IO[bytes], name: str) -> bytes:
    content = _bounded(file, name)
    if not content.startswith(_GZIP):
        return content
    try:
        import io  # noqa: PLC0415 (only for packed files)
        import zlib  # noqa: PLC0415

        with gzip.GzipFile(fileobj=io.BytesIO(content)) as unpacked:
            return _bounded(unpacked, name)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UnreadableDocument(name, 0, f"not gzip: {error}") from None


def _bounded(file: IO[bytes] | gzip.GzipFile, name: str) -> bytes:
    content = file.read(JSON_BYTES_MAX + 1)
    if len(content) > JSON_BYTES_MAX:
        raise UnreadableDocument(name, 0, f"larger than {JSON_BYTES_MAX >> 20} MiB")
    return content


def read_documents(name: str) -> list[Document]:
    """Read all documents of a file; raises `UnreadableDocument`."""
    return parse_documents(read_file(name), source="<stdin>" if name == STDIN else name)


def write_file(name: str, content: bytes) -> None:
    """Write a file, packed by gzip if its name says so; raises `UnreadableDocument`."""
    packed = gzip.compress(content, mtime=0) if name.endswith(".gz") else content
    try:
        if name == STDIN:
            sys.stdout.buffer.write(packed)
            sys.stdout.buffer.flush()
        else:
            Path(name).write_bytes(packed)
    except OSError as error:
        raise UnreadableDocument(name, 0, f"cannot be written: {error}") from None
