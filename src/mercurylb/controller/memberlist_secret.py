"""The secret by which speakers know each other, made at the first start (spec: controller §8)."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Final

from mercurylb.api.meta import OwnerReference
from mercurylb.errors import Conflict, Denied, NotFound
from mercurylb.kube.kinds import SECRETS
from mercurylb.kube.resource import Identified, Resource
from mercurylb.kube.watch import Selection
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from mercurylb.kube.client import KubeClient

KEY: Final = "secretkey"
_KEY_BYTES: Final = 16
DEPLOYMENTS: Final = Resource("apps", "v1", "deployments", "Deployment", Identified)


async def deployment_reference(
    client: KubeClient, namespace: str, name: str
) -> OwnerReference | None:
    """Return who owns what we make, None where there is no such Deployment or we may not look."""
    try:
        found = (await client.get(DEPLOYMENTS, name, namespace=namespace)).metadata
    except (NotFound, Denied):
        return None
    return OwnerReference("apps/v1", "Deployment", name, found.uid or "")


async def ensure_secret(client: KubeClient, *, namespace: str, name: str, deployment: str) -> None:
    """Make the secret unless it exists; it goes when the Deployment goes.

    Raises KubeError when the API server does not let us. An existing secret is never changed.
    """
    selection = Selection(namespace=namespace, fields=f"metadata.name={name}")
    if (await client.list_raw(SECRETS, selection)).items:
        return
    owner = (await client.get(DEPLOYMENTS, deployment, namespace=namespace)).metadata
    key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).rstrip(b"=")
    reference = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": deployment,
        "uid": owner.uid,
    }
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
