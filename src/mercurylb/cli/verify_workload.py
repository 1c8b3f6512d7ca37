"""What Deployments, DaemonSets and pods say of themselves, read from plain objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mercurylb.config.problem import clip

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
_KEY_PATH = "METALLB_ML_SECRET_KEY_PATH"


def key_of(workload: Json) -> str:
    """Give kind, namespace and name."""
    metadata = workload["metadata"]
    return f"{workload['kind']} {metadata.get('namespace')}/{metadata['name']}"


def pod_spec(raw: Json) -> Json:
    """Give the description of the pods."""
    spec: Json = raw.get("spec") or {}
    if raw.get("kind") == "Pod":
        return spec
    found: Json = (spec.get("template") or {}).get("spec") or {}
    return found


def has_flag(raw: Json, flag: str) -> bool:
    """Tell whether a program is started with a switch."""
    return flag_value(raw, flag) not in {"", "false"}


def flag_value(raw: Json, flag: str) -> str:
    """Give the value of a flag; `true` for a switch without one, empty when it is not given."""
    for container in pod_spec(raw).get("containers") or ():
        for word in (*(container.get("command") or ()), *(container.get("args") or ())):
            name, separator, value = str(word).partition("=")
            if name.lstrip("-") == flag and name.startswith("-"):
                return value if separator else "true"
    return ""


def environment(raw: Json) -> dict[str, str]:
    """Give the variables that are written out."""
    return {
        str(each.get("name")): str(each.get("value") or "")
        for container in pod_spec(raw).get("containers") or ()
        for each in container.get("env") or ()
    }


def images(raw: Json) -> list[str]:
    """Give what is run."""
    return [str(each.get("image")) for each in pod_spec(raw).get("containers") or ()]


def secret_name(speakers: Json) -> str:
    """Give the name of the secret with the membership's key; empty if there is none."""
    path = environment(speakers).get(_KEY_PATH, "")
    spec = pod_spec(speakers)
    mounted = {
        str(mount.get("name"))
        for container in spec.get("containers") or ()
        for mount in container.get("volumeMounts") or ()
        if path and mount.get("mountPath") == path
    }
    for volume in spec.get("volumes") or ():
        if volume.get("name") in mounted and isinstance(volume.get("secret"), dict):
            return str(volume["secret"].get("secretName") or "")
    return ""


def is_ready(pod: Json) -> bool:
    """Tell whether a pod is Ready."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def why_not_ready(pod: Json) -> str:
    """Give name, node and the reason in the words of Kubernetes."""
    status = pod.get("status") or {}
    node = (pod.get("spec") or {}).get("nodeName") or "no node"
    words = next(_reasons(status), "") or str(status.get("phase") or "not ready")
    return f"{pod['metadata']['name']} on {node}: {clip(words, 160)}"


def _reasons(status: Json) -> Iterator[str]:
    statuses = (*(status.get("initContainerStatuses") or ()), *_containers(status))
    for each in statuses:
        state = each.get("state") or {}
        waiting = state.get("waiting") or state.get("terminated")
        if waiting and waiting.get("reason") != "Completed":
            last = ((each.get("lastState") or {}).get("terminated")) or {}
            code = f", exit code {last['exitCode']}" if "exitCode" in last else ""
            text = f": {waiting['message']}" if waiting.get("message") else ""
            yield f"{each.get('name')} {waiting.get('reason')}{code}{text}"
    for condition in status.get("conditions") or ():
        if condition.get("status") == "False" and condition.get("message"):
            yield f"{condition.get('reason')}: {condition['message']}"
    for each in statuses:
        if not each.get("ready"):
            yield f"{each.get('name')} runs, but is not ready"


def _containers(status: Json) -> tuple[Json, ...]:
    return tuple(status.get("containerStatuses") or ())
