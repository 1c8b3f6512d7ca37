"""ServiceL2Status objects: which of them exist for what this node announces, and what must change.

One object per announced service, written by the node that announces it (spec: layer2 §11). The
status is a subresource, so an object is created first and filled in when the creation has come
back by the watch. A node that takes a service over removes the objects of other nodes; a node that
lets go removes only its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from mercurylb.api.meta import ObjectMeta, OwnerReference
from mercurylb.api.service_l2_status import (
    GENERATE_NAME,
    NODE_LABEL,
    SERVICE_NAME_LABEL,
    SERVICE_NAMESPACE_LABEL,
    InterfaceInfo,
    ServiceL2Status,
    ServiceL2StatusStatus,
)
from mercurylb.kube.kinds import SERVICE_L2_STATUSES
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.plan.testimony import CONFLICTS_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.api.pod import Pod


class Announced(msgspec.Struct, frozen=True):
    """A service that this node announces now."""

    service: str
    """`namespace/name`."""
    interfaces: tuple[str, ...] | None
    """None: on all interfaces."""
    conflicts: str = ""
    """Value of the annotation about disputed addresses; empty for none."""


class Author(msgspec.Struct, frozen=True):
    """Who writes: this node's speaker."""

    node: str
    namespace: str
    """MetalLB's own namespace, where the objects live."""
    pod: OwnerReference | None


def owner_reference(pod: Pod) -> OwnerReference:
    """Make the reference that has an object collected together with the speaker's pod."""
    return OwnerReference(
        api_version="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid
    )


def diff(
    announced: Iterable[Announced], existing: Iterable[ServiceL2Status], *, author: Author
) -> dict[str, Operation]:
    """Give the operations that make the objects tell the truth, by a key of their own.

    `existing` may hold objects of every node; those that lack a label are left alone.
    """
    by_service: dict[str, list[ServiceL2Status]] = {}
    for item in sorted(existing, key=lambda item: item.metadata.name):
        if item.service_key is not None and item.node is not None:
            by_service.setdefault(item.service_key, []).append(item)
    operations: dict[str, Operation] = {}
    wanted = {entry.service: entry for entry in announced}
    for service, entry in sorted(wanted.items()):
        operations |= _diff_announced(entry, by_service.get(service, []), author)
    for service, items in sorted(by_service.items()):
        if service not in wanted:
            operations |= _deletions(item for item in items if item.node == author.node)
    return operations


def _diff_announced(
    entry: Announced, items: list[ServiceL2Status], author: Author
) -> dict[str, Operation]:
    own = next((item for item in items if item.node == author.node), None)
    operations = _deletions(item for item in items if item is not own)
    if own is None:
        operations[f"create {entry.service}"] = _creation(entry, author)
    elif own.status != (status := _status(entry, author)):
        operations[own.metadata.key] = Operation(
            Verb.MERGE,
            SERVICE_L2_STATUSES,
            own.metadata.name,
            own.metadata.namespace,
            encode({"status": _with_cleared_interfaces(status)}),
            subresource="status",
        )
    if own is not None:
        operations |= _diff_annotation(own, entry)
    return operations


def _diff_annotation(own: ServiceL2Status, entry: Announced) -> dict[str, Operation]:
    """Make the annotation say what there is to say; our annotation is all that is touched."""
    before = (own.metadata.annotations or {}).get(CONFLICTS_ANNOTATION, "")
    if before == entry.conflicts:
        return {}
    metadata = {"annotations": {CONFLICTS_ANNOTATION: entry.conflicts or None}}
    body = encode({"metadata": metadata})
    name, namespace = own.metadata.name, own.metadata.namespace
    operation = Operation(Verb.MERGE, SERVICE_L2_STATUSES, name, namespace, body)
    return {f"{own.metadata.key} annotation": operation}


def _deletions(items: Iterable[ServiceL2Status]) -> dict[str, Operation]:
    return {
        item.metadata.key: Operation(
            Verb.DELETE, SERVICE_L2_STATUSES, item.metadata.name, item.metadata.namespace
        )
        for item in items
    }


def _creation(entry: Announced, author: Author) -> Operation:
    namespace, _, name = entry.service.partition("/")
    labels = {
        NODE_LABEL: author.node,
        SERVICE_NAME_LABEL: name,
        SERVICE_NAMESPACE_LABEL: namespace,
    }
    metadata = ObjectMeta(
        generate_name=GENERATE_NAME,
        namespace=author.namespace,
        labels=labels,
        owner_references=None if author.pod is None else (author.pod,),
    )
    body = {
        "apiVersion": SERVICE_L2_STATUSES.api_version,
        "kind": SERVICE_L2_STATUSES.kind,
        "metadata": metadata,
    }
    return Operation(
        Verb.CREATE, SERVICE_L2_STATUSES, namespace=author.namespace, body=encode(body)
    )


def _status(entry: Announced, author: Author) -> ServiceL2StatusStatus:
    namespace, _, name = entry.service.partition("/")
    interfaces = None
    if entry.interfaces is not None:
        interfaces = tuple(InterfaceInfo(name) for name in sorted(entry.interfaces))
    return ServiceL2StatusStatus(
        node=author.node, service_name=name, service_namespace=namespace, interfaces=interfaces
    )


def _with_cleared_interfaces(status: ServiceL2StatusStatus) -> dict[str, object]:
    """Name the absent list: a merge patch removes an earlier one only by null."""
    fields: dict[str, object] = msgspec.to_builtins(status)
    fields.setdefault("interfaces", None)
    return fields
