"""Documents to objects: what is in a pile of manifests, or in a snapshot.

An object that does not fit its kind is a problem with its field path, never an exception.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mercurylb.api.conversion import convert_bgp_peer
from mercurylb.config.problem import Code, Problem, clip
from mercurylb.errors import ParseError
from mercurylb.kube import kinds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mercurylb.cli.documents import Document
    from mercurylb.kube.resource import Resource

Json = dict[str, Any]

READ: Final[Mapping[tuple[str, str], Resource[Any]]] = {
    (resource.group, resource.kind): resource
    for resource in (
        kinds.SERVICES,
        kinds.NODES,
        kinds.NAMESPACES,
        kinds.PODS,
        kinds.SECRETS,
        kinds.ENDPOINT_SLICES,
        kinds.IP_ADDRESS_POOLS,
        kinds.L2_ADVERTISEMENTS,
        kinds.BGP_PEERS,
        kinds.BGP_ADVERTISEMENTS,
        kinds.BFD_PROFILES,
        kinds.COMMUNITIES,
        kinds.SERVICE_L2_STATUSES,
        kinds.SERVICE_BGP_STATUSES,
        kinds.BGP_SESSIONS,
        kinds.CONFIGURATION_STATES,
    )
}
"""Kinds that decisions read, by group and kind."""

CONFIGURED: Final = frozenset(
    ("IPAddressPool", "L2Advertisement", "BGPPeer", "BGPAdvertisement", "BFDProfile", "Community")
)
"""Kinds that people write."""

_PATH: Final = re.compile(r" - at `(?:key in )?\$\.?([^`]*)`$")
_CLUSTER_WIDE: Final = frozenset(
    resource.kind for resource in READ.values() if not resource.namespaced
)
_OLD_PEER: Final = "metallb.io/v1beta1"


class _Written(msgspec.Struct, rename="camel"):
    """What people may write in a Secret, and the API server does not keep."""

    string_data: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One object as it was written, and what it was read as."""

    document: Document
    raw: Json
    kind: str
    group: str
    value: Any = None
    """The struct; None if the kind is not read, or `problem` says why it cannot be."""
    problem: Problem | None = None
    home: str = ""
    """The namespace it counts as in if it names none."""

    @property
    def key(self) -> str:
        """Give `namespace/name`."""
        key = key_of(self.raw)
        is_bare = not self.home or "/" in key or self.kind in _CLUSTER_WIDE
        return key if is_bare else f"{self.home}/{key}"

    @property
    def title(self) -> str:
        """Give kind and key, as problems name objects."""
        return clip(f"{self.kind} {self.key}")


@dataclass(slots=True)
class Inventory:
    """All objects of some documents."""

    items: list[Item] = field(default_factory=list)
    """Of kinds that decisions read, in their order."""
    others: list[Item] = field(default_factory=list)
    """Of other kinds."""
    problems: list[tuple[Document, Problem]] = field(default_factory=list)
    """Documents that are no objects at all."""

    def of(self, kind: str) -> list[Any]:
        """Give the structs of a kind."""
        return [item.value for item in self.items if item.kind == kind and item.value is not None]


def take_inventory(documents: Iterable[Document], *, namespace: str = "") -> Inventory:
    """Sort documents; objects of namespaced kinds without a namespace count as in `namespace`."""
    inventory = Inventory()
    for document in _flattened(documents):
        raw = document.value
        if not isinstance(raw, dict) or not isinstance(raw.get("kind"), str) or not raw["kind"]:
            message = "not a Kubernetes object: it has no kind"
            problem = Problem("document", "", "", message, code=Code.UNREADABLE.value)
            inventory.problems.append((document, problem))
            continue
        item = read_item(document, raw, namespace=namespace)
        (inventory.items if (item.group, item.kind) in READ else inventory.others).append(item)
    return inventory


def _flattened(documents: Iterable[Document]) -> Iterator[Document]:
    for document in documents:
        raw = document.value
        if isinstance(raw, dict) and isinstance(raw.get("items"), list):
            kind = raw.get("kind")
            if isinstance(kind, str) and kind.endswith("List"):
                for index, each in enumerate(raw["items"]):
                    inner = document.at("items", index)
                    if isinstance(each, dict) and "kind" not in each and kind != "List":
                        # Typed lists need not name the kind of each item.
                        own = {"apiVersion": raw.get("apiVersion"), "kind": kind[:-4]}
                        inner = msgspec.structs.replace(inner, value={**own, **each})
                    yield inner
                continue
        yield document


def read_item(document: Document, raw: Json, *, namespace: str = "") -> Item:
    """Read one object into the struct of its kind."""
    api_version = raw.get("apiVersion")
    group = api_version.rpartition("/")[0] if isinstance(api_version, str) else ""
    item = Item(document, raw, raw["kind"], group, home=namespace)
    resource = READ.get((group, item.kind))
    if resource is None:
        return item
    try:
        current = _without_nulls(raw)
        if item.kind == "BGPPeer" and api_version == _OLD_PEER:
            current = {**convert_bgp_peer(current, to_version="v1beta2")}
        if item.kind == "Secret":
            current = _encoded(current)
        value = msgspec.convert(current, resource.type)
    except msgspec.ValidationError as error:
        path = _PATH.search(str(error))
        where = path[1].replace("[...]", "") if path else ""
        return replace(item, problem=_unreadable(item, where, _PATH.sub("", str(error))))
    except (ParseError, RecursionError) as error:
        return replace(item, problem=_unreadable(item, "", str(error)))
    if resource.namespaced and namespace and not value.metadata.namespace:
        metadata = msgspec.structs.replace(value.metadata, namespace=namespace)
        value = msgspec.structs.replace(value, metadata=metadata)
    return replace(item, value=value)


def _encoded(secret: Json) -> Json:
    """Give a Secret as the API server stores it: texts in base64, in place of data so called."""
    texts = msgspec.convert(secret, _Written).string_data
    if not texts:
        return secret
    stored = {
        key: base64.b64encode(text.encode(errors="surrogatepass")).decode()
        for key, text in texts.items()
    }
    data = secret.get("data", {})
    return {**secret, "data": {**data, **stored} if isinstance(data, dict) else data}


def _without_nulls(value: Json) -> Json:
    """Give an object as the API server stores it: a property that is null is not there."""
    return {key: _kept(each) for key, each in value.items() if each is not None}


def _kept(value: object) -> object:
    if isinstance(value, list):
        return [_kept(each) for each in value]
    return _without_nulls(value) if isinstance(value, dict) else value


def _unreadable(item: Item, field: str, message: str) -> Problem:
    return Problem(item.title, field, "", clip(message, 1024), code=Code.UNREADABLE.value)


def key_of(raw: Json) -> str:
    """Give `namespace/name` of an object, however it is written."""
    metadata = raw.get("metadata")
    if not isinstance(metadata, dict):
        return ""
    name = metadata.get("name") or metadata.get("generateName") or ""
    namespace = metadata.get("namespace")
    return f"{namespace}/{name}" if namespace else str(name)
