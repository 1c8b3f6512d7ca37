"""What a snapshot keeps of an object: what decisions read, and nothing that is secret.

Annotations other than ours are left out (whoever applies with kubectl has a copy of the whole
object in one), as are managed fields, passwords, the values of secrets, and of pods all but where
and with which flags they run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Json = dict[str, Any]

REDACTED: Final = "redacted"
_REDACTED_BASE64: Final = "cmVkYWN0ZWQ="
_ANNOTATION_PREFIXES: Final = ("metallb.io", "metallb.universe.tf", "mercurylb.io")
_METADATA: Final = (
    *("name", "namespace", "uid", "resourceVersion", "generation", "labels"),
    *("creationTimestamp", "deletionTimestamp", "ownerReferences"),
)
_CONTAINER: Final = ("name", "image", "command", "args")
_ENVIRONMENT_PREFIX: Final = "METALLB_"
_FLAGS_MAX: Final = 200


def redact(raw: Json) -> Json:
    """Give the part of an object that a snapshot keeps."""
    kept = {**raw, "metadata": _metadata(raw.get("metadata"))}
    part = _PARTS.get(str(raw.get("kind")))
    return kept if part is None else part(kept)


def _head(raw: Json) -> Json:
    return _only(raw, "apiVersion", "kind", "metadata")


def _only(value: Json, *names: str) -> Json:
    return {name: value[name] for name in names if name in value}


def _part(value: Json, name: str) -> Json:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _listed(value: Json, name: str) -> list[Any]:
    found = value.get(name)
    return found if isinstance(found, list) else []


def _metadata(metadata: object) -> Json:
    if not isinstance(metadata, dict):
        return {}
    kept = _only(metadata, *_METADATA)
    annotations = {
        key: value
        for key, value in _part(metadata, "annotations").items()
        if key.startswith(_ANNOTATION_PREFIXES)
    }
    return {**kept, "annotations": annotations} if annotations else kept


def _secret(raw: Json) -> Json:
    keys = [*_part(raw, "data"), *_part(raw, "stringData")]
    kept = _only(raw, "apiVersion", "kind", "metadata", "type")
    return {**kept, "data": dict.fromkeys(keys, _REDACTED_BASE64)} if keys else kept


def _peer(raw: Json) -> Json:
    spec = _part(raw, "spec")
    return {**raw, "spec": {**spec, "password": REDACTED}} if spec.get("password") else raw


def _pod(raw: Json) -> Json:
    status = _part(raw, "status")
    return {
        **_head(raw),
        "spec": _pod_spec(_part(raw, "spec")),
        "status": _only(status, "phase", "podIP", "podIPs", "hostIP", "conditions"),
    }


def _workload(raw: Json) -> Json:
    spec = _part(raw, "spec")
    template = {"spec": _pod_spec(_part(_part(spec, "template"), "spec"))}
    return {
        **_head(raw),
        "spec": _only(spec, "replicas") | {"template": template},
        "status": _part(raw, "status"),
    }


def _node(raw: Json) -> Json:
    return {**_head(raw), "status": _only(_part(raw, "status"), "conditions", "addresses")}


def _pod_spec(spec: Json) -> Json:
    containers = [
        _only(container, *_CONTAINER) | {"env": _environment(container)}
        for container in _listed(spec, "containers")
        if isinstance(container, dict)
    ]
    return _only(spec, "nodeName") | {"containers": containers}


def _environment(container: Json) -> list[Json]:
    return [
        _only(variable, "name", "value")
        for variable in _listed(container, "env")[:_FLAGS_MAX]
        if isinstance(variable, dict)
        and str(variable.get("name")).startswith(_ENVIRONMENT_PREFIX)
        and "SECRET" not in str(variable.get("name"))
    ]


_PARTS: Final[Mapping[str, Callable[[Json], Json]]] = {
    "Secret": _secret,
    "BGPPeer": _peer,
    "Pod": _pod,
    "Deployment": _workload,
    "DaemonSet": _workload,
    "Node": _node,
    "Namespace": _head,
}
