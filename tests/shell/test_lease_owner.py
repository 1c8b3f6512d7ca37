"""A lease goes when what it belongs to goes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from mercurylb.api.meta import ObjectMeta, OwnerReference
from mercurylb.controller.memberlist_secret import deployment_reference
from mercurylb.errors import Denied, NotFound
from mercurylb.kube.lease import Create, ElectionConfig, Lease
from mercurylb.kube.lease_client import LeaseClient
from mercurylb.kube.operation import encode

OWNER = OwnerReference("apps/v1", "Deployment", "metallb-controller", "u1")


class Api:
    """Takes what is created, and answers a question as it is told."""

    def __init__(self, answer: object = None) -> None:
        self.answer = answer
        self.created: list[Any] = []

    async def create(self, resource: object, body: object, *, namespace: str) -> Lease:
        """Remember."""
        del resource, namespace
        self.created.append(body)
        return Lease()

    async def get(self, resource: object, name: str, *, namespace: str) -> object:
        """Answer, or fail."""
        del resource, name, namespace
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("owner", "text"),
    [
        (OWNER, b'"ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment",'),
        (None, b'"ownerReferences":[]'),
    ],
    ids=["owned", "alone"],
)
def test_a_lease_is_made_with_its_owner(owner: OwnerReference | None, text: bytes) -> None:
    """The API server collects it with its Deployment."""
    api: Any = Api()
    config = ElectionConfig("me", owner=owner)
    asyncio.run(LeaseClient(api, config, namespace="lb", name="lease").send(Create()))
    assert text in encode(api.created[0])


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (SimpleNamespace(metadata=ObjectMeta(name="metallb-controller", uid="u1")), OWNER),
        (NotFound(404, "NotFound", "gone"), None),
        (Denied(403, "Forbidden", "no"), None),
    ],
    ids=["there", "missing", "denied"],
)
def test_the_owner_is_the_deployment_if_there_is_one(
    answer: object, found: OwnerReference | None
) -> None:
    """Without it, or without the right to look, nobody owns what is made."""
    api: Any = Api(answer)
    assert asyncio.run(deployment_reference(api, "lb", "metallb-controller")) == found
