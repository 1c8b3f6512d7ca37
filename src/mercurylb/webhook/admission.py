"""May this object be created, changed or deleted? Reads what exists, and asks `config.admission`.

What exists is read live from the API server, not from a watch: of two objects created one right
after the other, the second must be judged beside the first. A read that takes too long is a clear
refusal before the API server gives up on us.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mercurylb.config.admission import Change, Configured, Operation, admit, reads
from mercurylb.config.problem import summarize
from mercurylb.config.resources import gather
from mercurylb.errors import KubeError, WireError
from mercurylb.kube.kinds import (
    BFD_PROFILES,
    BGP_ADVERTISEMENTS,
    BGP_PEERS,
    COMMUNITIES,
    IP_ADDRESS_POOLS,
    L2_ADVERTISEMENTS,
    NAMESPACES,
    NODES,
)
from mercurylb.kube.watch import PAGE_LIMIT, decode_page
from mercurylb.telemetry import logs as log
from mercurylb.webhook.review import (
    AdmissionAnswer,
    AdmissionRequest,
    decode_admission,
    encode_admission,
    is_absent,
)

if TYPE_CHECKING:
    from mercurylb.kube.client import KubeClient
    from mercurylb.kube.resource import Resource

KINDS: Final[dict[str, Resource[Any]]] = {
    "/validate-metallb-io-v1beta2-bgppeer": BGP_PEERS,
    "/validate-metallb-io-v1beta1-ipaddresspool": IP_ADDRESS_POOLS,
    "/validate-metallb-io-v1beta1-bgpadvertisement": BGP_ADVERTISEMENTS,
    "/validate-metallb-io-v1beta1-l2advertisement": L2_ADVERTISEMENTS,
    "/validate-metallb-io-v1beta1-community": COMMUNITIES,
    "/validate-metallb-io-v1beta1-bfdprofile": BFD_PROFILES,
}
"""What is asked about at which path."""

_READABLE: Final[dict[str, Resource[Any]]] = {
    resource.kind: resource for resource in (*KINDS.values(), NODES, NAMESPACES)
}
_OPERATIONS: Final = {operation.value: operation for operation in Operation}
READS_AT_ONCE_MAX: Final = 8


class AdmissionDesk:
    """Answers AdmissionReviews about our kinds."""

    def __init__(self, client: KubeClient, *, namespace: str, backend: str) -> None:
        self._client = client
        self._namespace = namespace
        self._backend = backend
        self._reading = asyncio.Semaphore(READS_AT_ONCE_MAX)

    async def answer(self, resource: Resource[Any], body: bytes, patience_s: float) -> bytes:
        """Answer a review; raise WireError when the body is none."""
        request = decode_admission(body)
        answer = await self._decide(resource, request, patience_s)
        if not answer.is_allowed:
            log.info(
                "webhook.denied",
                object=f"{resource.kind} {request.namespace}/{request.name}",
                operation=request.operation,
                reason=answer.message,
            )
        return encode_admission(request.uid, answer)

    async def _decide(
        self, resource: Resource[Any], request: AdmissionRequest, patience_s: float
    ) -> AdmissionAnswer:
        if request.kind.kind != resource.kind:
            return AdmissionAnswer(400, f"asked about a {request.kind.kind or 'nothing'} here")
        operation = _OPERATIONS.get(request.operation)
        if operation is None:
            return AdmissionAnswer(400, f"operation {request.operation!r} is not asked about here")
        try:
            change = _change(resource, operation, request)
        except WireError as error:
            return AdmissionAnswer(400, str(error))
        try:
            async with asyncio.timeout(patience_s):
                objects = await self._existing(reads(resource.kind, operation))
        except (TimeoutError, KubeError, WireError) as error:
            why = str(error) or f"no answer within {patience_s:.0f} s"
            return AdmissionAnswer(
                503, f"the objects that exist could not be read, try again: {why}"
            )
        verdict = admit(
            change, existing=gather(objects, backend=self._backend), namespace=self._namespace
        )
        code = 200 if verdict.is_allowed else 403
        return AdmissionAnswer(code, summarize(verdict.problems), verdict.warnings)

    async def _existing(self, kinds: tuple[str, ...]) -> list[object]:
        async with self._reading:
            lists = await asyncio.gather(*(self._list(_READABLE[kind]) for kind in kinds))
        return [item for found in lists for item in found]

    async def _list(self, resource: Resource[Any]) -> list[object]:
        """Read all objects of a kind, keeping only the narrow structs of each page."""
        namespace = self._namespace if resource.namespaced else ""
        params = {"limit": str(PAGE_LIMIT)}
        found: list[object] = []
        while True:
            page = decode_page(
                await self._client.list_page(resource, namespace, params, patience_s=0.0)
            )
            for raw in page.items or ():
                try:
                    found.append(resource.decoder.decode(raw))
                except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                    # Its store says which one it is; nobody else is held up by it.
                    log.debug("webhook.object_unreadable", kind=resource.kind, error=error)
            if not page.metadata.next:
                return found
            params["continue"] = page.metadata.next


def _change(resource: Resource[Any], operation: Operation, request: AdmissionRequest) -> Change:
    """Decode what changes; raise WireError when an object is missing or cannot be read."""
    new = _decoded(resource, request.object, "object")
    old = _decoded(resource, request.old_object, "oldObject")
    if operation is Operation.DELETE and old is None:
        raise WireError(resource.kind, "request.oldObject is missing")
    if operation is not Operation.DELETE and new is None:
        raise WireError(resource.kind, "request.object is missing")
    if operation is Operation.DELETE:
        return Change(operation, old=old)
    return Change(operation, new, old if operation is Operation.UPDATE else None)


def _decoded(resource: Resource[Any], raw: msgspec.Raw, field: str) -> Configured | None:
    if is_absent(raw):
        return None
    try:
        item: Configured = resource.decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise WireError(resource.kind, f"request.{field} cannot be read: {error}") from error
    return item
