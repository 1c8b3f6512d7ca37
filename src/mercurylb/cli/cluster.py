"""Everything that decisions read, fetched from the cluster to which the environment points."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mercurylb.api.service import LOAD_BALANCER
from mercurylb.cli.gathering import component_of
from mercurylb.cli.redaction import redact
from mercurylb.errors import Denied, KubeError, NotFound
from mercurylb.kube import kinds
from mercurylb.kube.client import KubeClient
from mercurylb.kube.credentials import load_credentials
from mercurylb.kube.resource import Identified, Resource
from mercurylb.kube.watch import EVERYTHING, Selection

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]

_DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment", Identified)
_DAEMON_SETS: Final = Resource("apps", "v1", "daemonsets", "DaemonSet", Identified)
_EVENTS: Final = Resource("", "v1", "events", "Event", Identified)
_WANTED: Final[tuple[tuple[Resource[Any], Selection], ...]] = (
    (kinds.SERVICES, EVERYTHING),
    (kinds.NAMESPACES, EVERYTHING),
    (kinds.NODES, EVERYTHING),
    (kinds.ENDPOINT_SLICES, EVERYTHING),
    (kinds.IP_ADDRESS_POOLS, EVERYTHING),
    (kinds.L2_ADVERTISEMENTS, EVERYTHING),
    (kinds.BGP_ADVERTISEMENTS, EVERYTHING),
    (kinds.BGP_PEERS, EVERYTHING),
    (kinds.BFD_PROFILES, EVERYTHING),
    (kinds.COMMUNITIES, EVERYTHING),
    (kinds.SERVICE_L2_STATUSES, EVERYTHING),
    (kinds.SERVICE_BGP_STATUSES, EVERYTHING),
    (kinds.BGP_SESSIONS, EVERYTHING),
    (kinds.CONFIGURATION_STATES, EVERYTHING),
    (_EVENTS, Selection(fields="involvedObject.kind=Service")),
    *(
        (resource, Selection(labels=f"{label} in (controller,speaker)"))
        for resource in (kinds.PODS, _DEPLOYMENTS, _DAEMON_SETS)
        for label in ("app.kubernetes.io/component", "component")
    ),
)
_GROUPS: Final = (kinds.IP_ADDRESS_POOLS.group, kinds.BGP_SESSIONS.group)
_PROGRAMS: Final = (kinds.PODS, _DEPLOYMENTS, _DAEMON_SETS)
_OURS: Final = (kinds.BGP_SESSIONS,)
"""Kinds of ours, which need not be installed; nobody misses them."""
_BASIC_AUTH: Final = "kubernetes.io/basic-auth"
_TELLING_EVENT: Final = "announceFailed"


class Cluster(msgspec.Struct, frozen=True):
    """What was fetched."""

    objects: tuple[Json, ...]
    warnings: tuple[str, ...]
    """What could not be, and why."""


async def fetch(*, namespace: str = "") -> Cluster:
    """Fetch everything from the cluster to which the environment points.

    Raises KubeError when it cannot be asked, or lets nothing be read.
    """
    async with KubeClient(await load_credentials(os.environ)) as client:
        return await fetch_with(client, namespace=namespace)


async def fetch_with(client: KubeClient, *, namespace: str = "") -> Cluster:
    """Fetch everything; what may not be read, or is no kind there, becomes a warning.

    With a namespace, what belongs to an installation is taken from there only.
    """
    wanted = [(kind, _within(kind, selection, namespace)) for kind, selection in _WANTED]
    lists = await asyncio.gather(*(_list(client, *each) for each in wanted))
    told = zip(lists, wanted, strict=True)
    if all(warning for (_, warning), (kind, _) in told if kind not in _OURS):
        raise KubeError(lists[0][1])
    objects = [item for items, _ in lists for item in items]
    homes = {
        item["metadata"].get("namespace", "")
        for item in objects
        if component_of(item) or item["kind"] == kinds.BGP_PEERS.kind
    }
    homes = {namespace} if namespace else homes
    secrets = await asyncio.gather(
        *(_list(client, kinds.SECRETS, Selection(namespace=home)) for home in sorted(homes - {""}))
    )
    referred = {_password_secret(item) for item in objects}
    objects += [
        item
        for items, _ in secrets
        for item in items
        if item.get("type") == _BASIC_AUTH or item["metadata"].get("name") in referred
    ]
    warnings = sorted({warning for _, warning in (*lists, *secrets) if warning})
    return Cluster(tuple(_chosen(objects)), tuple(warnings))


def _within(kind: Resource[Any], selection: Selection, namespace: str) -> Selection:
    """Look into one namespace for the configuration and for the programs, if it is known."""
    is_of_home = kind.group in _GROUPS or kind in _PROGRAMS
    return (
        msgspec.structs.replace(selection, namespace=namespace)
        if namespace and is_of_home
        else selection
    )


async def _list(
    client: KubeClient, resource: Resource[Any], selection: Selection
) -> tuple[list[Json], str]:
    """Give the objects of a kind, or none and why."""
    try:
        listing = await client.list_raw(resource, selection)
    except (Denied, NotFound) as error:
        if resource in _OURS:
            return [], ""
        return [], f"{resource.plural} are missing in this picture: {error}"
    head = {"apiVersion": resource.api_version, "kind": resource.kind}
    return [{**head, **msgspec.json.decode(raw, type=dict)} for raw in listing.items], ""


def _password_secret(item: Json) -> str:
    """Give the name of the secret that a BGPPeer has its password in; empty for anything else."""
    reference = item.get("spec", {}).get("passwordSecret") if item["kind"] == "BGPPeer" else None
    return str((reference or {}).get("name") or "")


def _chosen(objects: Iterable[Json]) -> list[Json]:
    """Leave what matters, each object once, without secrets."""
    found = list({_identity(item): item for item in objects}.values())
    pending, balanced = set(), set()
    for item in found:
        if item["kind"] == "Service" and item.get("spec", {}).get("type") == LOAD_BALANCER:
            balanced.add(_place(item))
            if not item.get("status", {}).get("loadBalancer", {}).get("ingress"):
                pending.add(_place(item))
    return [redact(item) for item in found if _matters(item, pending, balanced)]


def _matters(item: Json, pending: set[tuple[str, str]], balanced: set[tuple[str, str]]) -> bool:
    metadata = item["metadata"]
    match item["kind"]:
        case "Event":
            about = item.get("involvedObject", {})
            named = (about.get("namespace", ""), about.get("name", ""))
            return named in pending or item.get("reason") == _TELLING_EVENT
        case "EndpointSlice":
            name = (metadata.get("labels") or {}).get("kubernetes.io/service-name", "")
            return (metadata.get("namespace", ""), name) in balanced
        case "Pod" | "Deployment" | "DaemonSet":
            return bool(component_of(item))
        case _:
            return True


def _place(item: Json) -> tuple[str, str]:
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata.get("name", "")


def _identity(item: Json) -> tuple[str, tuple[str, str]]:
    return item["kind"], _place(item)
