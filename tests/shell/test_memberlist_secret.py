"""The membership's secret is made once, and stays as long as a Deployment that needs it does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from mercurylb.api.meta import ObjectMeta, OwnerReference
from mercurylb.controller.memberlist_secret import ensure_secret
from mercurylb.errors import ApiError, Conflict, Denied, NotFound
from mercurylb.kube.operation import Verb, encode
from mercurylb.kube.resource import Identified, Identity

OURS = OwnerReference("apps/v1", "Deployment", "ours", "u1")
THEIRS = OwnerReference("apps/v1", "Deployment", "theirs", "u2")
NAMESAKE = OwnerReference("apps/v1", "Deployment", "ours", "u0")
STORE = OwnerReference("external-secrets.io/v1", "ExternalSecret", "store", "u3")
DEPLOYMENT = Identified(Identity(name="ours", uid="u1"))


@dataclass
class Api:
    """An API server with one secret, or none."""

    owners: tuple[OwnerReference, ...] | None = None
    has_secret: bool = True
    deployment: object = DEPLOYMENT
    refusal: ApiError | None = None
    created: list[Any] = field(default_factory=list)
    patched: list[Any] = field(default_factory=list)

    async def list(self, resource: object, selection: Any) -> list[Any]:
        """Give the secret."""
        del resource
        assert selection.params() == {"fieldSelector": "metadata.name=memberlist"}
        meta = ObjectMeta(name="memberlist", namespace="lb", owner_references=self.owners)
        return [SimpleNamespace(metadata=meta)] if self.has_secret else []

    async def get(self, resource: object, name: str, *, namespace: str) -> object:
        """Give our Deployment, or fail."""
        del resource
        assert (namespace, name) == ("lb", "ours")
        if isinstance(self.deployment, Exception):
            raise self.deployment
        return self.deployment

    async def create(self, resource: object, body: object, *, namespace: str) -> None:
        """Remember, or refuse."""
        del resource
        assert namespace == "lb"
        if self.refusal:
            raise self.refusal
        self.created.append(json.loads(encode(body)))

    async def patch(
        self, resource: object, name: str, body: object, *, namespace: str, verb: Verb
    ) -> None:
        """Remember, or refuse."""
        del resource
        assert (namespace, name, verb) == ("lb", "memberlist", Verb.JSON_PATCH)
        if self.refusal:
            raise self.refusal
        self.patched.append(json.loads(encode(body)))


def ensure(api: Any) -> None:
    """Do what a controller does at its start."""
    asyncio.run(ensure_secret(api, namespace="lb", name="memberlist", deployment="ours"))


def events(text: str) -> list[str]:
    """Give the names of what was logged."""
    return [json.loads(line)["event"] for line in text.splitlines()]


def test_a_secret_that_is_missing_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    """It belongs to our Deployment."""
    api = Api(has_secret=False)
    ensure(api)
    (made,) = api.created
    (owner,) = made["metadata"]["ownerReferences"]
    expected = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "ours", "uid": "u1"}
    assert owner == expected
    assert made["data"]["secretkey"]
    assert events(capsys.readouterr().out) == ["controller.secret_created"]


def test_another_replica_may_make_it_first() -> None:
    """Whoever comes second has nothing to do."""
    ensure(Api(has_secret=False, refusal=Conflict(409, "AlreadyExists", "exists")))


@pytest.mark.parametrize(
    "owners",
    [
        pytest.param((THEIRS,), id="of another product"),
        pytest.param((NAMESAKE,), id="of a Deployment of our name that was deleted"),
        pytest.param((STORE, THEIRS), id="of another product and of somebody else"),
    ],
)
def test_a_secret_of_another_deployment_becomes_ours_as_well(
    owners: tuple[OwnerReference, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """We are added to the owners, and nothing is taken away: it goes with the last of us."""
    api = Api(owners)
    ensure(api)
    (patch,) = api.patched
    assert patch == [
        {
            "op": "add",
            "path": "/metadata/ownerReferences/-",
            "value": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "ours", "uid": "u1"},
        }
    ]
    assert api.created == []
    assert events(capsys.readouterr().out) == ["controller.secret_owned"]


@pytest.mark.parametrize(
    ("owners", "deployment"),
    [
        pytest.param((OURS,), DEPLOYMENT, id="ours"),
        pytest.param((THEIRS, OURS), DEPLOYMENT, id="ours as well"),
        pytest.param(None, DEPLOYMENT, id="nobody's"),
        pytest.param((STORE,), DEPLOYMENT, id="of no Deployment"),
        pytest.param((THEIRS,), NotFound(404, "NotFound", "gone"), id="we have no Deployment"),
        pytest.param((THEIRS,), Denied(403, "Forbidden", "no"), id="we may not look"),
    ],
)
def test_a_secret_that_exists_is_left_alone(
    owners: tuple[OwnerReference, ...] | None, deployment: object
) -> None:
    """Whose it is has not to be changed, or cannot."""
    api = Api(owners, deployment=deployment)
    ensure(api)
    assert (api.created, api.patched) == ([], [])


@pytest.mark.parametrize(
    "refusal",
    [
        Denied(403, "Forbidden", "no"),
        NotFound(404, "NotFound", "gone"),
        ApiError(422, "Invalid", ""),
    ],
    ids=["denied", "gone", "changed"],
)
def test_a_refusal_is_told_and_does_not_keep_us_from_starting(
    refusal: ApiError, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key can be used all the same."""
    ensure(Api((THEIRS,), refusal=refusal))
    assert events(capsys.readouterr().out) == ["controller.secret_not_owned"]
