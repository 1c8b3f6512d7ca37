"""What a definition says of a field beyond its type: the vocabulary the structs are annotated with.

`Annotated[int | None, Schema("Port of the router.", minimum=1)]` stands beside the field it is
about, so the structs are the one source of the CRDs (`crd` renders them). The API server enforces
all of it; our own decoders enforce none of it: an object that is already stored, by whatever
version of a definition, has to be readable, and what its values mean is for the config room to
judge, with the field's name. So these facts are not `msgspec.Meta`, whose bounds would refuse the
whole object.
"""

from __future__ import annotations

from typing import Final

import msgspec

ATOMIC: Final = "atomic"
MAP: Final = "map"


class Rule(msgspec.Struct, frozen=True, gc=False):
    """One rule in the Common Expression Language, and what the API server says if it is broken."""

    rule: str
    message: str


class Schema(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    gc=False,
    rename={
        "min_length": "minLength",
        "max_length": "maxLength",
        "min_items": "minItems",
        "list_type": "x-kubernetes-list-type",
        "list_map_keys": "x-kubernetes-list-map-keys",
        "map_type": "x-kubernetes-map-type",
        "rules": "x-kubernetes-validations",
    },
):
    """Facts about one value, named as OpenAPI names them; all but `is_required` are keywords."""

    description: str = ""
    """What `kubectl explain` shows; a nested object without one shows its struct's docstring."""
    is_required: bool = False
    format: str = ""
    default: bool | int | None = None
    enum: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str = ""
    min_items: int | None = None
    list_type: str = ""
    list_map_keys: tuple[str, ...] = ()
    map_type: str = ""
    rules: tuple[Rule, ...] = ()


IMMUTABLE: Final = (Rule("self == oldSelf", "Value is immutable"),)
"""A transition rule: it is looked at only when old and new object both have the field."""

RESERVED: Final = Schema("Reserved; this kind reports nothing here.")
"""The status of a kind that has the subresource and no field in it."""
