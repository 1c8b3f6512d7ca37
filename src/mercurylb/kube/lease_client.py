"""One Lease at the API server: what an election asks for, as requests.

Each write names the version it is based on, except for the announcement of a stand-by, which
changes nothing that anybody else writes. Who asks when, and what an answer means, is `lease`'s.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from mercurylb.errors import Conflict, WireError
from mercurylb.kube.lease import (
    LEASES,
    RELEASED_DURATION_S,
    STAND_BY_ANNOTATION,
    Acquire,
    Announce,
    Create,
    ElectionConfig,
    Lease,
    Read,
    Request,
)
from mercurylb.kube.operation import Operation, Verb, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.kube.client import KubeClient


class LeaseClient:
    """Reads and writes one lease in the name of one candidate."""

    def __init__(
        self,
        client: KubeClient,
        config: ElectionConfig,
        *,
        namespace: str,
        name: str,
        wall_clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._client = client
        self._config = config
        self._namespace = namespace
        self._name = name
        self._wall_clock = wall_clock

    async def send(self, request: Request) -> Lease:
        """Ask what an election wants to know or have written; give the lease as it is by then."""
        if isinstance(request, Read):
            return await self._read()
        if isinstance(request, Announce):
            text = f"{self._config.identity} {self._now_text()}"
            return await self._patch({"metadata": {"annotations": {STAND_BY_ANNOTATION: text}}})
        if isinstance(request, Create):
            body = {
                "apiVersion": LEASES.api_version,
                "kind": LEASES.kind,
                "metadata": {
                    "name": self._name,
                    "namespace": self._namespace,
                    "ownerReferences": [owner] if (owner := self._config.owner) else [],
                },
                "spec": self._acquisition(0),
            }
            return await self._client.create(LEASES, body, namespace=self._namespace)
        metadata: dict[str, object] = {"resourceVersion": request.resource_version}
        if isinstance(request, Acquire):
            # Who waits makes himself known again to the new holder.
            metadata["annotations"] = {STAND_BY_ANNOTATION: None}
            spec = self._acquisition(request.transitions)
        else:
            spec = {"renewTime": self._now_text()}
        return await self._patch({"metadata": metadata, "spec": spec})

    async def give_back(self, version: str) -> bool:
        """Give the lease to whoever wants it; tell whether it was still ours."""
        spec = {
            "holderIdentity": "",
            "leaseDurationSeconds": RELEASED_DURATION_S,
            "renewTime": self._now_text(),
        }
        try:
            await self._patch({"metadata": {"resourceVersion": version}, "spec": spec})
        except Conflict:
            # Somebody made himself known; if the lease is still ours, it is given back as well.
            lease = await self._read()
            if lease.holder != self._config.identity:
                return False
            version = lease.metadata.resource_version
            await self._patch({"metadata": {"resourceVersion": version}, "spec": spec})
        return True

    async def withdraw(self, version: str) -> None:
        """Take the announcement back: nobody waits any more, so the holder may rest."""
        annotations = {STAND_BY_ANNOTATION: None}
        await self._patch({"metadata": {"resourceVersion": version, "annotations": annotations}})

    async def _read(self) -> Lease:
        return await self._client.get(LEASES, self._name, namespace=self._namespace)

    async def _patch(self, body: dict[str, object]) -> Lease:
        operation = Operation(Verb.MERGE, LEASES, self._name, self._namespace, encode(body))
        answer = await self._client.perform(operation, patience_s=0.0)
        return _decoded(answer)

    def _acquisition(self, transitions: int) -> dict[str, object]:
        now = self._now_text()
        return {
            "holderIdentity": self._config.identity,
            "leaseDurationSeconds": int(self._config.duration_s),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    def _now_text(self) -> str:
        return self._wall_clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _decoded(answer: bytes) -> Lease:
    try:
        return LEASES.decoder.decode(answer)
    except (ValueError, RecursionError) as error:
        raise WireError(LEASES.kind, str(error)) from error
