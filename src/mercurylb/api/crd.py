"""Definitions for the API server (CustomResourceDefinition), made of the structs.

A field's name and type are those of the struct, the rest is its `Schema`. Every field must have
one, so that nothing is left unexplained in `kubectl explain`; only metadata has none, because the
API server knows it. Daemons do not import this: it is for `scripts/crds.py` and for commands.
"""

from __future__ import annotations

import inspect
import typing
from types import NoneType, UnionType
from typing import Annotated, Final, TypeAlias

import msgspec

from mercurylb.api.meta import ObjectMeta
from mercurylb.api.schema import Schema

if typing.TYPE_CHECKING:
    from mercurylb.api.definition import ConversionWebhook, Definition, Version

Node: TypeAlias = dict[str, object]
"""A part of a definition, as JSON has it."""

_TYPES: Final = {str: "string", bool: "boolean", int: "integer"}
_OWN_FIELDS: Final = {
    "apiVersion": "Group and version of this object's schema.",
    "kind": "Kind of this object.",
}
_ABSENT: Final = (NoneType, msgspec.UnsetType)


def crd(definition: Definition) -> Node:
    """Give the CustomResourceDefinition of a kind, complete but for the CA of its webhook."""
    spec: Node = {
        "group": definition.group,
        "names": {
            "kind": definition.kind,
            "listKind": f"{definition.kind}List",
            "plural": definition.plural,
            "singular": definition.singular,
        },
        "scope": "Namespaced",
    }
    if definition.conversion is not None:
        spec["conversion"] = _conversion(definition.conversion)
    spec["versions"] = [_version(version, definition) for version in definition.versions]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{definition.plural}.{definition.group}"},
        "spec": spec,
    }


def _conversion(webhook: ConversionWebhook) -> Node:
    service = {"namespace": webhook.namespace, "name": webhook.service, "path": webhook.path}
    return {
        "strategy": "Webhook",
        "webhook": {
            "conversionReviewVersions": list(webhook.review_versions),
            "clientConfig": {"service": service},
        },
    }


def _version(version: Version, definition: Definition) -> Node:
    node: Node = {"name": version.name, "served": True, "storage": version.is_storage}
    if version.deprecation:
        node |= {"deprecated": True, "deprecationWarning": version.deprecation}
    node["subresources"] = {"status": {}}
    if definition.columns:
        node["additionalPrinterColumns"] = [
            {"name": column.name, "type": column.type, "jsonPath": column.json_path}
            | ({"priority": column.priority} if column.priority else {})
            for column in definition.columns
        ]
    node["schema"] = {"openAPIV3Schema": _root(version.struct)}
    return node


def _root(struct: type[msgspec.Struct]) -> Node:
    """Give the schema of a whole object."""
    node = _schema(struct, Schema())
    own: Node = {
        name: {"description": description, "type": "string"}
        for name, description in _OWN_FIELDS.items()
    }
    properties = typing.cast("Node", node["properties"])
    node["properties"] = own | {"metadata": {"type": "object"}} | properties
    return node


def _schema(annotation: object, facts: Schema) -> Node:
    """Give the schema of a value of some type about which some facts are known."""
    keywords: Node = msgspec.json.decode(msgspec.json.encode(facts))
    keywords.pop("is_required", None)
    node: Node
    if isinstance(annotation, type) and annotation in _TYPES:
        node = {"type": _TYPES[annotation]}
    elif isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        keywords.setdefault("description", _summary(annotation))
        node = _object(annotation)
    elif typing.get_origin(annotation) is tuple:
        node = {"type": "array", "items": _schema(*_split(typing.get_args(annotation)[0]))}
    elif typing.get_origin(annotation) is dict:
        _, values = typing.get_args(annotation)
        node = {"type": "object", "additionalProperties": _schema(*_split(values))}
    else:
        raise TypeError(f"no schema for {annotation}")
    return _in_order(node | keywords)


def _object(struct: type[msgspec.Struct]) -> Node:
    properties: Node = {}
    required = []
    for field in msgspec.structs.fields(struct):
        annotation, facts = _split(field.type)
        if annotation is ObjectMeta:
            continue
        if not facts.description:
            raise TypeError(f"{struct.__name__}.{field.name} is not described")
        properties[field.encode_name] = _schema(annotation, facts)
        if facts.is_required:
            required.append(field.encode_name)
    node: Node = {"type": "object"}
    if properties:
        node["properties"] = dict(sorted(properties.items()))
    if required:
        node["required"] = sorted(required)
    return node


def _split(annotation: object) -> tuple[object, Schema]:
    """Give a type without its annotation and without "or nothing", and the facts about it."""
    facts = Schema()
    if typing.get_origin(annotation) is Annotated:
        annotation, *metadata = typing.get_args(annotation)
        facts = next((item for item in metadata if isinstance(item, Schema)), facts)
    if typing.get_origin(annotation) in {UnionType, typing.Union}:
        (annotation,) = (one for one in typing.get_args(annotation) if one not in _ABSENT)
    return annotation, facts


def _summary(struct: type[msgspec.Struct]) -> str:
    first, _, _ = (inspect.getdoc(struct) or "").partition("\n\n")
    return " ".join(first.split())


_ORDER: Final = ("description", "type", "format", "default", "enum")


def _in_order(node: Node) -> Node:
    """Put what people look for first, and extensions of Kubernetes last."""
    first = [key for key in _ORDER if key in node]
    last = [key for key in node if key.startswith("x-")]
    rest = [key for key in node if key not in _ORDER and not key.startswith("x-")]
    return {key: node[key] for key in (*first, *rest, *last)}
