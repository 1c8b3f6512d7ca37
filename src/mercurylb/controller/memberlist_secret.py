"""The secret by which speakers know each other, made at the first start (spec: controller §8)."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.api.meta import ObjectMeta, OwnerReference
from mercurylb.errors import ApiError, Conflict, Denied, NotFound
from mercurylb.kube.kinds import SECRETS
from mercurylb.kube.operation import Verb
from mercurylb.kube.resource import Identified, Resource
from mercurylb.kube.watch import Selection
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from mercurylb.kube.client import KubeClient

KEY: Final = "secretkey"
_KEY_BYTES: Final = 16
_KIND: Final = ("apps/v1", "Deployment")
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment", Identified)


class _Owned(msgspec.Struct, frozen=True):
    """A secret without what is secret."""

    metadata: ObjectMeta = ObjectMeta()


_SECRETS: Final = Resource("", "v1", "secrets", "Secret", _Owned)


async def deployment_reference(
    client: KubeClient, namespace: str, name: str
) -> OwnerReference | None:
    """Return who owns what we make, None where there is no such Deployment or we may not look."""
    try:
        found = (await client.get(DEPLOYMENTS, name, namespace=namespace)).metadata
    except (NotFound, Denied):
        return None
    return OwnerReference(*_KIND, name, found.uid or "")


async def ensure_secret(client: KubeClient, *, namespace: str, name: str, deployment: str) -> None:
    """Make the secret unless it exists; it goes when the Deployment goes.

    Raises KubeError when the API server does not let us. The key of an existing secret is never
    changed. Where that belongs to another Deployment it comes to belong to ours as well: it goes
    with the last of them, so that the speakers of both can be told the same key while a cluster
    moves from one to the other.
    """
    selection = Selection(namespace=namespace, fields=f"metadata.name={name}")
    for found in await client.list(_SECRETS, selection):
        await _own(client, found.metadata, namespace=namespace, deployment=deployment)
        return
    owner = (await client.get(DEPLOYMENTS, deployment, namespace=namespace)).metadata
    key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).rstrip(b"=")
    reference = OwnerReference(*_KIND, deployment, owner.uid or "")
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "ownerReferences": [reference]},
        "data": {KEY: base64.b64encode(key).decode()},
    }
    try:
        await client.create(SECRETS, body, namespace=namespace)
    except Conflict:
        return  # Another replica was faster.
    log.info("controller.secret_created", secret_name=name)


async def _own(client: KubeClient, secret: ObjectMeta, *, namespace: str, deployment: str) -> None:
    """Add our Deployment to the owners of a secret that only other Deployments own.

    A secret that no Deployment owns was made by somebody who looks after it.
    """
    owners = secret.owner_references or ()
    others = [each.name for each in owners if (each.api_version, each.kind) == _KIND]
    ours = await deployment_reference(client, namespace, deployment) if others else None
    if ours is None or any(each.uid == ours.uid for each in owners):
        return
    patch = [{"op": "add", "path": "/metadata/ownerReferences/-", "value": ours}]
    try:
        await client.patch(_SECRETS, secret.name, patch, namespace=namespace, verb=Verb.JSON_PATCH)
    except ApiError as refused:
        # The key can be used all the same. It is tried again at the next start.
        log.warning("controller.secret_not_owned", secret_name=secret.name, error=str(refused))
        return
    log.info("controller.secret_owned", secret_name=secret.name, owners=[*others, deployment])
