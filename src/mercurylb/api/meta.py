"""Metadata that every object has, and the label selector that many have."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec

from mercurylb.api.schema import ATOMIC, Schema

GROUP: Final = "metallb.io"
"""The API group of all kinds that MetalLB has too."""
OWN_GROUP: Final = "mercurylb.io"
"""Of kinds that MetalLB has not."""


class OwnerReference(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Who is collected before this object is; all four fields are required by the API."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""


class ObjectMeta(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, gc=False):
    """Metadata of one object."""

    name: str = ""
    namespace: str = ""
    """Empty for cluster-wide kinds."""
    generate_name: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    """RFC 3339, so that text order is time order."""
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: tuple[OwnerReference, ...] | None = None

    @property
    def key(self) -> str:
        """Give `namespace/name`, or `name` for a cluster-wide object."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


class NoFields(msgspec.Struct, frozen=True, gc=False):
    """A part of an object in which nothing is defined."""


class LabelSelectorRequirement(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """One requirement on one label."""

    key: Annotated[str, Schema("Name of the label.", is_required=True)] = ""
    operator: Annotated[
        str,
        Schema("How the label is compared: In, NotIn, Exists or DoesNotExist.", is_required=True),
    ] = ""
    values: Annotated[
        tuple[str, ...] | None,
        Schema(
            "Values to compare with; required for In and NotIn, empty for the other operators.",
            list_type=ATOMIC,
        ),
    ] = None


class LabelSelector(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A label selector; an empty one matches everything."""

    match_labels: Annotated[
        dict[str, str] | None,
        Schema("Labels with the values they must have; all of them must match."),
    ] = None
    match_expressions: Annotated[
        tuple[LabelSelectorRequirement, ...] | None,
        Schema("Requirements on labels; all of them must hold.", list_type=ATOMIC),
    ] = None


LabelSelectors: TypeAlias = tuple[Annotated[LabelSelector, Schema(map_type=ATOMIC)], ...]
"""Alternatives: what one of them matches is selected."""
