"""Short ways to write the objects that the plans are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mercurylb.allocator.book import Book
from mercurylb.api.endpoint_slice import EndpointSlice
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.l2_advertisement import L2Advertisement
from mercurylb.api.namespace import Namespace
from mercurylb.api.node import Node
from mercurylb.api.service import Service
from mercurylb.config.compilation import Resources, compile_config

if TYPE_CHECKING:
    from mercurylb.config.model import Config
    from mercurylb.plan.decision import StatusPatch

TEAM = {"team": "metallb"}


def pool(
    name: str, *addresses: str, labels: dict[str, str] | None = None, **spec: Any
) -> IPAddressPool:
    """Make a pool; further fields of its spec by their JSON names."""
    metadata = {"name": name, "namespace": "metallb", "labels": labels}
    return msgspec.convert(
        {"metadata": metadata, "spec": {"addresses": addresses, **spec}}, IPAddressPool
    )


def advertisement(name: str, **spec: Any) -> L2Advertisement:
    """Make an L2Advertisement."""
    return msgspec.convert(
        {"metadata": {"name": name, "namespace": "metallb"}, "spec": spec}, L2Advertisement
    )


def namespace(name: str, **labels: str) -> Namespace:
    """Make a namespace."""
    return msgspec.convert({"metadata": {"name": name, "labels": labels}}, Namespace)


def node(name: str, *, network: str | None = None, **labels: str) -> Node:
    """Make a node; `network` is the status of its NetworkUnavailable condition."""
    conditions = [{"type": "NetworkUnavailable", "status": network}] if network else None
    return msgspec.convert(
        {
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
            "status": {"conditions": conditions},
        },
        Node,
    )


def on(*names: str) -> list[dict[str, Any]]:
    """Make node selectors for nodes by name."""
    return [{"matchLabels": {"kubernetes.io/hostname": name}} for name in names]


def service(  # noqa: PLR0913 (what a service can be)
    name: str = "web",
    *,
    namespace: str = "default",
    cluster: str = "10.0.0.1",
    has: str = "",
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    ports: str = "TCP/80",
    created: str = "2026-01-01T00:00:00Z",
    **spec: Any,
) -> Service:
    """Make a load balancer; `cluster` and `has` are lists of addresses separated by spaces."""
    return msgspec.convert(
        {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "resourceVersion": "7",
                "creationTimestamp": created,
                "annotations": annotations,
                "labels": labels,
            },
            "spec": {
                "type": "LoadBalancer",
                "clusterIP": (cluster.split() or [""])[0],
                "clusterIPs": cluster.split(),
                "ports": [
                    {"protocol": port.split("/")[0], "port": int(port.split("/")[1])}
                    for port in ports.split()
                ],
                **spec,
            },
            "status": {
                "loadBalancer": {
                    "ingress": [
                        {"ip": text} if text[0].isdigit() or ":" in text else {"hostname": text}
                        for text in has.split()
                    ]
                }
            },
        },
        Service,
    )


def endpoints(*states: tuple[str, dict[str, bool | None]]) -> tuple[EndpointSlice, ...]:
    """Make one slice with an endpoint per (node, conditions)."""
    return (
        msgspec.convert(
            {
                "metadata": {"name": "web-x", "namespace": "default"},
                "endpoints": [
                    {"addresses": ["10.1.0.1"], "conditions": conditions, "nodeName": name}
                    for name, conditions in states
                ],
            },
            EndpointSlice,
        ),
    )


def config_of(
    *pools: IPAddressPool,
    advertisements: tuple[L2Advertisement, ...] = (),
    nodes: tuple[Node, ...] = (),
    namespaces: tuple[Namespace, ...] = (),
) -> Config:
    """Compile objects that are known to be valid."""
    config, problems = compile_config(
        Resources(pools=pools, l2_advertisements=advertisements, nodes=nodes, namespaces=namespaces)
    )
    assert config is not None, problems
    return config


def book_of(*pools: IPAddressPool, namespaces: tuple[Namespace, ...] = ()) -> Book:
    """Make an empty book with pools."""
    book = Book()
    book.set_pools(config_of(*pools, namespaces=namespaces).pools)
    return book


def apply(before: Service, patch: StatusPatch | None) -> Service:
    """Do to a service what the API server does with a patch: merge, and fill in ipMode."""
    if patch is None:
        return before
    body = msgspec.json.decode(patch.body)
    assert body["metadata"].pop("resourceVersion") == before.metadata.resource_version
    raw = _merged(msgspec.to_builtins(before), body)
    for entry in raw.get("status", {}).get("loadBalancer", {}).get("ingress") or ():
        entry.setdefault("ipMode", "VIP")
    return msgspec.convert(raw, Service)


def _merged(target: Any, patch: Any) -> Any:
    """Merge as RFC 7396 says."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged
