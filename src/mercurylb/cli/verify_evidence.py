"""What `mercurylb verify` looks at: fetched once, judged by `verify_cluster` and `verify_programs`.

It writes nothing. The one request that is no reading is a server-side dry run: an IPAddressPool
that the webhooks must refuse.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from mercurylb.api.definition import DEFINITIONS
from mercurylb.cli.gathering import DEFAULT_NAMESPACE, SPEAKER, component_of
from mercurylb.cli.verify_workload import secret_name
from mercurylb.errors import ApiError, Denied, NotFound
from mercurylb.kube import kinds
from mercurylb.kube.operation import Operation, Verb, encode
from mercurylb.kube.resource import Resource
from mercurylb.kube.watch import EVERYTHING, Selection

if TYPE_CHECKING:
    from mercurylb.kube.client import KubeClient

Json = dict[str, Any]

WEBHOOKS_NAME: Final = "metallb-webhook-configuration"
FRR_DEFINITION: Final = "frrconfigurations.frrk8s.metallb.io"
TRIAL_RANGE: Final = "no-range"
"""No address: whoever checks pools refuses it."""
_DEFINITIONS: Final[Resource[Any]] = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    dict,
    namespaced=False,
)
_WEBHOOKS: Final[Resource[Any]] = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    dict,
    namespaced=False,
)
_NAMESPACES: Final[Resource[Any]] = Resource(
    "", "v1", "namespaces", "Namespace", dict, namespaced=False
)
_DEPLOYMENTS: Final[Resource[Any]] = Resource("apps", "v1", "deployments", "Deployment", dict)
_DAEMON_SETS: Final[Resource[Any]] = Resource("apps", "v1", "daemonsets", "DaemonSet", dict)
_SECRETS: Final[Resource[Any]] = Resource("", "v1", "secrets", "Secret", dict)
_CONFIG_MAPS: Final[Resource[Any]] = Resource("", "v1", "configmaps", "ConfigMap", dict)


class Look(msgspec.Struct, frozen=True):
    """One object, or those of one kind, as the API server has them."""

    items: tuple[Json, ...] = ()
    refusal: str = ""
    """Why it may not be read; nothing is known then."""

    @property
    def first(self) -> Json | None:
        """Give the object that was asked for; None if it is not there."""
        return self.items[0] if self.items else None


class Trial(msgspec.Struct, frozen=True):
    """What the API server said to the creation of a wrong pool."""

    status: int = 0
    """Of HTTP; 0 when it was not asked."""
    message: str = ""


class Evidence(msgspec.Struct, frozen=True):
    """Everything that is judged."""

    namespace: str = DEFAULT_NAMESPACE
    definitions: dict[str, Look] = {}
    """By name, as `ipaddresspools.metallb.io`."""
    workloads: Look = Look()
    """Deployments and DaemonSets of a controller or of speakers, in all namespaces."""
    pods: Look = Look()
    """Of controllers and speakers, in the namespace."""
    home: Look = Look()
    """The Namespace."""
    secret: Look = Look()
    secret_name: str = ""
    """Of the membership's key; empty when the speakers name none."""
    webhooks: Look = Look()
    trial: Trial = Trial()
    states: Look = Look()
    l2_statuses: Look = Look()
    sessions: Look = Look()
    kube_proxy: Look = Look()


async def gather_evidence(client: KubeClient, *, namespace: str) -> Evidence:
    """Look at everything; what may not be read is noted. Raises KubeError if nobody answers."""
    deployments, daemon_sets = await asyncio.gather(
        _list(client, _DEPLOYMENTS), _list(client, _DAEMON_SETS)
    )
    workloads = Look(
        tuple(each for each in (*deployments.items, *daemon_sets.items) if component_of(each)),
        deployments.refusal or daemon_sets.refusal,
    )
    home = namespace or client.namespace or _home_of(workloads)
    secret = next((secret_name(each) for each in _speakers(workloads, home)), "")
    here = Selection(namespace=home)
    names = [f"{each.plural}.{each.group}" for each in DEFINITIONS]
    names.append(FRR_DEFINITION)
    definitions = await asyncio.gather(*(_get(client, _DEFINITIONS, name) for name in names))
    looks = await asyncio.gather(
        _list(client, kinds.PODS, here),
        _get(client, _NAMESPACES, home),
        _get(client, _SECRETS, secret, home) if secret else _nothing(),
        _get(client, _WEBHOOKS, WEBHOOKS_NAME),
        _list(client, kinds.CONFIGURATION_STATES, here),
        _list(client, kinds.SERVICE_L2_STATUSES, here),
        _list(client, kinds.BGP_SESSIONS, here),
        _get(client, _CONFIG_MAPS, "kube-proxy", "kube-system"),
    )
    pods, home_object, secret_look, webhooks, states, l2_statuses, sessions, kube_proxy = looks
    return Evidence(
        namespace=home,
        definitions=dict(zip(names, definitions, strict=True)),
        workloads=workloads,
        pods=Look(tuple(each for each in pods.items if component_of(each)), pods.refusal),
        home=home_object,
        secret=secret_look,
        secret_name=secret,
        webhooks=webhooks,
        trial=await _try(client, home),
        states=states,
        l2_statuses=l2_statuses,
        sessions=sessions,
        kube_proxy=kube_proxy,
    )


def _home_of(workloads: Look) -> str:
    """Give the namespace of our speakers; MetalLB's may be in another one."""
    found = [each for each in workloads.items if component_of(each) == SPEAKER]
    found.sort(key=lambda each: "mercurylb" not in str(each.get("spec")))
    return str(found[0]["metadata"]["namespace"]) if found else DEFAULT_NAMESPACE


def _speakers(workloads: Look, namespace: str) -> list[Json]:
    return [
        each
        for each in workloads.items
        if component_of(each) == SPEAKER and each["metadata"].get("namespace") == namespace
    ]


async def _nothing() -> Look:
    return Look()


async def _get(client: KubeClient, resource: Resource[Any], name: str, namespace: str = "") -> Look:
    try:
        return Look((await client.get(resource, name, namespace=namespace),))
    except NotFound:
        return Look()
    except Denied as error:
        return Look(refusal=str(error))


async def _list(
    client: KubeClient, resource: Resource[Any], selection: Selection = EVERYTHING
) -> Look:
    try:
        listing = await client.list_raw(resource, selection)
    except NotFound:
        return Look()
    except Denied as error:
        return Look(refusal=str(error))
    head = {"apiVersion": resource.api_version, "kind": resource.kind}
    return Look(tuple({**head, **msgspec.json.decode(raw, type=dict)} for raw in listing.items))


async def _try(client: KubeClient, namespace: str) -> Trial:
    """Have the API server say what it would do with a pool that is wrong."""
    resource = kinds.IP_ADDRESS_POOLS
    body = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": "mercurylb-verify", "namespace": namespace},
        "spec": {"addresses": [TRIAL_RANGE]},
    }
    operation = Operation(
        Verb.CREATE, resource, namespace=namespace, body=encode(body), is_dry_run=True
    )
    try:
        await client.perform(operation)
    except ApiError as error:
        return Trial(error.status, error.message)
    return Trial(201)
