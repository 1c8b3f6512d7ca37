"""ServiceBGPStatus objects: which of them exist for what this node announces, and what must change.

One object per service that some peer of this node is told of (spec: bgp §7). Each node looks after
its own objects and touches no others. What was changed by hand is put right, the labels by which
the object is found and the owner reference included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.api.meta import ObjectMeta
from mercurylb.api.service_bgp_status import (
    GENERATE_NAME,
    ServiceBGPStatus,
    ServiceBGPStatusStatus,
)
from mercurylb.api.service_l2_status import (
    NODE_LABEL,
    SERVICE_NAME_LABEL,
    SERVICE_NAMESPACE_LABEL,
)
from mercurylb.kube.kinds import SERVICE_BGP_STATUSES
from mercurylb.kube.operation import Operation, Verb, encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mercurylb.speaker.l2_status import Author

CREATES: Final = "bgp create "
"""What the keys of creations begin with."""


def diff(
    told: Mapping[str, tuple[str, ...]], existing: Iterable[ServiceBGPStatus], *, author: Author
) -> dict[str, Operation]:
    """Give the operations that make the objects tell the truth, by a key of their own.

    `told` are the peers of each service, none of which is without any. Objects that lack a label
    or are of another node are left alone.
    """
    by_service: dict[str, list[ServiceBGPStatus]] = {service: [] for service in told}
    for item in sorted(existing, key=lambda each: each.metadata.name):
        if item.service_key is not None and item.node == author.node:
            by_service.setdefault(item.service_key, []).append(item)
    operations: dict[str, Operation] = {}
    for service, items in sorted(by_service.items()):
        peers = told.get(service, ())
        fitting = [item for item in items if peers and _can_say(item, service, author)]
        own, extras = fitting[:1], [item for item in items if item not in fitting[:1]]
        for item in extras:
            operations[f"bgp {item.metadata.key}"] = _operation(Verb.DELETE, item)
        if peers and not own:
            operations[f"{CREATES}{service}"] = _creation(service, author)
        for item in own:
            operations |= _repairs(item, service, peers, author)
    return operations


def _can_say(item: ServiceBGPStatus, service: str, author: Author) -> bool:
    """Tell whether the fields that never change are right or not written yet."""
    status = item.status or ServiceBGPStatusStatus()
    written = status.node, status.service_namespace, status.service_name
    return written in (("", "", ""), (author.node, *service.split("/", 1)))


def _repairs(
    item: ServiceBGPStatus, service: str, peers: tuple[str, ...], author: Author
) -> dict[str, Operation]:
    operations: dict[str, Operation] = {}
    status = _status(service, peers, author)
    if item.status != status:
        body = encode({"status": status})
        operations[f"bgp {item.metadata.key}"] = _operation(Verb.MERGE, item, body, "status")
    owners = item.metadata.owner_references or ()
    if author.pod is not None and author.pod not in owners:
        body = encode({"metadata": {"ownerReferences": (author.pod,)}})
        operations[f"bgp {item.metadata.key} owner"] = _operation(Verb.MERGE, item, body)
    return operations


def _operation(
    verb: Verb, item: ServiceBGPStatus, body: bytes = b"", subresource: str | None = None
) -> Operation:
    name, namespace = item.metadata.name, item.metadata.namespace
    return Operation(verb, SERVICE_BGP_STATUSES, name, namespace, body, subresource)


def _creation(service: str, author: Author) -> Operation:
    namespace, _, name = service.partition("/")
    metadata = ObjectMeta(
        generate_name=GENERATE_NAME,
        namespace=author.namespace,
        labels={
            NODE_LABEL: author.node,
            SERVICE_NAME_LABEL: name,
            SERVICE_NAMESPACE_LABEL: namespace,
        },
        owner_references=None if author.pod is None else (author.pod,),
    )
    body = {
        "apiVersion": SERVICE_BGP_STATUSES.api_version,
        "kind": SERVICE_BGP_STATUSES.kind,
        "metadata": metadata,
    }
    return Operation(
        Verb.CREATE, SERVICE_BGP_STATUSES, namespace=author.namespace, body=encode(body)
    )


def _status(service: str, peers: tuple[str, ...], author: Author) -> ServiceBGPStatusStatus:
    namespace, _, name = service.partition("/")
    return ServiceBGPStatusStatus(
        node=author.node, service_name=name, service_namespace=namespace, peers=peers
    )
