"""What a kind of object is called on the wire, and which struct it decodes into.

A `Resource` is a value: programs and the api room declare one constant per kind, and every other
part of this room takes it as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import msgspec


class Meta(Protocol):
    """What we need of an object's metadata."""

    @property
    def name(self) -> str:
        """`metadata.name`."""

    @property
    def namespace(self) -> str | None:
        """`metadata.namespace`; empty or None for cluster-wide kinds."""

    @property
    def resource_version(self) -> str | None:
        """`metadata.resourceVersion`."""


class KubeObject(Protocol):
    """Anything with metadata: all that this room knows of an object."""

    @property
    def metadata(self) -> Any:  # noqa: ANN401 (narrow structs differ in what they declare; see Meta)
        """Give the `Meta` of the object."""


T = TypeVar("T", bound=KubeObject)


def key_of(meta: Meta) -> str:
    """Give the store's key: `namespace/name`, or `name` for a cluster-wide object."""
    return f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name


def _field_name(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


class Identity(msgspec.Struct, frozen=True, rename=_field_name):
    """The part of the metadata that says which object it is."""

    name: str = ""
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None


class Identified(msgspec.Struct, frozen=True):
    """Any object, as far as it can be named."""

    metadata: Identity = Identity()


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """One kind of object: its names in the API and the narrow struct it decodes into."""

    group: str
    """Empty for the core group."""
    version: str
    plural: str
    kind: str
    type: type[T]
    namespaced: bool = True
    is_dispensable: bool = False
    """Whether a cluster that does not know this kind is one without such objects to our programs;
    without the others they do nothing at all."""
    decoder: msgspec.json.Decoder[T] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Strings in the narrow structs are checked by the structs' own types, hence strict.
        object.__setattr__(self, "decoder", msgspec.json.Decoder(self.type))

    @property
    def api_version(self) -> str:
        """Give `v1` or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self,
        *,
        namespace: str | None = None,
        name: str | None = None,
        subresource: str | None = None,
    ) -> str:
        """Give the URL path of the collection, of one object, or of its subresource.

        Without a namespace a namespaced kind gives its collection over all namespaces.
        """
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)
