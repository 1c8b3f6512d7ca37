"""What is asked of the API server for a snapshot, and where."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import msgspec

from mercurylb.cli.cluster import fetch_with
from mercurylb.errors import Denied
from mercurylb.kube.client import KubeClient, Listing

if TYPE_CHECKING:
    from mercurylb.kube.resource import Resource
    from mercurylb.kube.watch import Selection

OURS = {"app.kubernetes.io/name": "metallb", "app.kubernetes.io/component": "speaker"}


class Server:
    """An API server with two installations, and what was read of it."""

    def __init__(self, *, may_read_all: bool = True) -> None:
        self.asked: dict[str, set[str]] = {}
        self._may_read_all = may_read_all

    async def list_raw(self, resource: Resource[Any], selection: Selection) -> Listing:
        """Give an object of each kind in both namespaces, or in the one that is asked for."""
        self.asked.setdefault(resource.plural, set()).add(selection.namespace)
        if not self._may_read_all and resource.plural == "secrets" and selection.namespace != "one":
            raise Denied(403, "Forbidden", "not yours")
        homes = {selection.namespace} if selection.namespace else {"one", "two"}
        metadata = {"name": "x", "labels": OURS}
        items = [{"metadata": {**metadata, "namespace": home}} for home in sorted(homes)]
        kind = {"type": "kubernetes.io/basic-auth"} if resource.plural == "secrets" else {}
        return Listing(tuple(msgspec.Raw(msgspec.json.encode({**it, **kind})) for it in items), "1")


def homes(server: Server, namespace: str) -> dict[str, set[str]]:
    """Fetch everything, and give the namespaces of what came, by kind."""
    cluster = asyncio.run(fetch_with(cast("KubeClient", server), namespace=namespace))
    assert not cluster.warnings
    found: dict[str, set[str]] = {}
    for item in cluster.objects:
        found.setdefault(item["kind"], set()).add(item["metadata"]["namespace"])
    return found


def test_everything_is_read_unless_told_otherwise() -> None:
    """Configuration, programs and their secrets come from wherever they are."""
    found = homes(Server(), "")
    for kind in ("Service", "IPAddressPool", "BGPSession", "Pod", "DaemonSet", "Secret"):
        assert found[kind] == {"one", "two"}, kind


def test_a_namespace_bounds_what_is_read() -> None:
    """Of an installation only that one is asked for; services are everywhere all the same."""
    server = Server(may_read_all=False)
    found = homes(server, "one")
    for kind in ("IPAddressPool", "BGPSession", "Pod", "Deployment", "DaemonSet", "Secret"):
        assert found[kind] == {"one"}, kind
    assert found["Service"] == {"one", "two"}
    assert (server.asked["secrets"], server.asked["services"]) == ({"one"}, {""})
