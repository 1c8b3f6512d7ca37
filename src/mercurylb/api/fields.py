"""Which fields a kind has, by its struct: paths as operators write them, `spec.interfaces`.

For comparing with what an API server knows of the kind.
"""

from __future__ import annotations

import typing
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from mercurylb.api.meta import ObjectMeta

if TYPE_CHECKING:
    from collections.abc import Iterator

_ABSENT: Final = (NoneType, msgspec.UnsetType)


def field_paths(struct: type[msgspec.Struct]) -> frozenset[str]:
    """Give the path of every field below the metadata; items of lists are marked by `[]`."""
    return frozenset(_paths(struct, ""))


def _paths(struct: type[msgspec.Struct], prefix: str) -> Iterator[str]:
    for field in msgspec.structs.fields(struct):
        kind = _bare(field.type)
        if kind is ObjectMeta:
            continue
        path = f"{prefix}{field.encode_name}"
        yield path
        while typing.get_origin(kind) is tuple:
            kind, path = _bare(typing.get_args(kind)[0]), f"{path}[]"
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            yield from _paths(kind, f"{path}.")


def _bare(annotation: object) -> object:
    """Give a type without what is said about it, and without "or nothing"."""
    while True:
        if typing.get_origin(annotation) is Annotated:
            annotation = typing.get_args(annotation)[0]
        elif typing.get_origin(annotation) in {UnionType, typing.Union}:
            kinds = [one for one in typing.get_args(annotation) if one not in _ABSENT]
            if len(kinds) != 1:
                return annotation
            annotation = kinds[0]
        else:
            return annotation
