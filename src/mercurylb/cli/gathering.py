"""From the objects of a cluster, as the API server gives them, to the snapshot that plans read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from mercurylb.api.configuration_state import CONTROLLER_NAME
from mercurylb.cli.inventory import CONFIGURED, Inventory, Item, Json, key_of
from mercurylb.plan.snapshot import ServiceEvent, Settings, Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEFAULT_NAMESPACE: Final = "metallb-system"
COMPONENT_LABELS: Final = ("app.kubernetes.io/component", "component")
"""Of MetalLB's chart and of its manifests."""
CONTROLLER: Final = "controller"
SPEAKER: Final = "speaker"
MARKER: Final = "mercurylb.io/snapshot"
"""Where a snapshot of ours says how it was made, in the metadata of its list."""

_BACKEND: Final = "METALLB_BGP_TYPE"
_NAMES: Final = ("metallb", "mercurylb")
_FIELDS: Final = {
    "Service": "services",
    "IPAddressPool": "pools",
    "L2Advertisement": "l2_advertisements",
    "BGPAdvertisement": "bgp_advertisements",
    "BGPPeer": "bgp_peers",
    "BFDProfile": "bfd_profiles",
    "Community": "communities",
    "Secret": "secrets",
    "Namespace": "namespaces",
    "Node": "nodes",
    "EndpointSlice": "endpoint_slices",
    "ConfigurationState": "configuration_states",
    "ServiceL2Status": "l2_statuses",
    "ServiceBGPStatus": "bgp_statuses",
    "BGPSession": "bgp_sessions",
}


def gather(
    inventory: Inventory,
    *,
    namespace: str = "",
    lb_class: str | None = None,
    has_pods: bool = False,
) -> Snapshot:
    """Make a snapshot; what is not given is found out from the objects.

    `has_pods` says that pods were looked for, so that missing ones are missing.
    """
    ours = [item for item in (*inventory.items, *inventory.others) if component_of(item.raw)]
    home = namespace or find_home(inventory, ours)
    ours = [item for item in ours if item.key.startswith(f"{home}/")]
    found: dict[str, list[Any]] = {field: [] for field in _FIELDS.values()}
    for item in inventory.items:
        if item.value is not None and item.kind in _FIELDS:
            found[_FIELDS[item.kind]].append(item.value)
    lists: dict[str, Any] = {field: tuple(values) for field, values in found.items()}
    return Snapshot(
        settings=_settings(ours, home=home, lb_class=lb_class),
        controllers=tuple(_pods(ours, CONTROLLER)),
        speakers=tuple(_pods(ours, SPEAKER)),
        are_pods_known=has_pods or bool(ours),
        events=tuple(_events(inventory.others)),
        unreadable=tuple(
            item.problem
            for item in inventory.items
            if item.problem is not None
            and (item.kind == "Service" or item.key.startswith(f"{home}/"))
        ),
        **lists,
    )


def component_of(raw: Json) -> str:
    """Tell whether an object is a controller's or a speaker's; empty if neither."""
    metadata = raw.get("metadata")
    if not isinstance(metadata, dict):
        return ""
    labels = metadata.get("labels")
    if not isinstance(labels, dict) or raw.get("kind") not in ("Pod", "Deployment", "DaemonSet"):
        return ""
    names = (labels.get("app.kubernetes.io/name"), labels.get("app"))
    if not any(name in _NAMES for name in names) and not _mentions(metadata, raw):
        return ""
    found = next((labels[key] for key in COMPONENT_LABELS if key in labels), "")
    return found if found in (CONTROLLER, SPEAKER) else ""


def _mentions(metadata: Json, raw: Json) -> bool:
    """Tell whether an object without our name label runs one of our programs."""
    texts = [str(metadata.get("name")), *(str(c.get("image")) for c in _containers(raw))]
    return any(name in text for name in _NAMES for text in texts)


def find_home(inventory: Inventory, ours: Iterable[Item]) -> str:
    """Find out in which namespace the configuration is read."""
    for item in inventory.items:
        if item.kind == "ConfigurationState" and item.value is not None:
            metadata = item.value.metadata
            if metadata.name == CONTROLLER_NAME:
                return str(metadata.namespace)
    votes = Counter(key_of(item.raw).partition("/")[0] for item in ours)
    if not votes:
        votes = Counter(
            item.value.metadata.namespace
            for item in inventory.items
            if item.kind in CONFIGURED and item.value is not None and item.value.metadata.namespace
        )
    ranked = sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))
    return ranked[0][0] if ranked else DEFAULT_NAMESPACE


def _pods(ours: Iterable[Item], component: str) -> Iterator[Any]:
    for item in ours:
        if item.kind == "Pod" and item.value is not None and component_of(item.raw) == component:
            yield item.value


def _containers(raw: Json) -> Iterator[Json]:
    spec = raw.get("spec")
    if isinstance(spec, dict) and isinstance(spec.get("template"), dict):
        spec = spec["template"].get("spec")
    containers = spec.get("containers") if isinstance(spec, dict) else None
    for container in containers if isinstance(containers, list) else ():
        if isinstance(container, dict):
            yield container


def _settings(ours: Iterable[Item], *, home: str, lb_class: str | None) -> Settings:
    """Read flags and environment of the programs where their pods show them."""
    flags: dict[str, str] = {}
    backend = ""
    for item in ours:
        for container in _containers(item.raw):
            flags |= _flags(container)
            for variable in _listed(container, "env"):
                if isinstance(variable, dict) and variable.get("name") == _BACKEND:
                    backend = str(variable.get("value") or "")
    return Settings(
        namespace=home,
        lb_class=flags.get("lb-class", "") if lb_class is None else lb_class,
        backend=backend or "native",
        ignore_exclude_lb=flags.get("ignore-exclude-lb", "false") not in ("false", "0", "f"),
    )


def _flags(container: Json) -> dict[str, str]:
    found: dict[str, str] = {}
    for argument in (*_listed(container, "command"), *_listed(container, "args")):
        if isinstance(argument, str) and argument.startswith("-"):
            name, separator, value = argument.lstrip("-").partition("=")
            found[name] = value if separator else "true"
    return found


def _listed(container: Json, key: str) -> list[Any]:
    found = container.get(key)
    return found if isinstance(found, list) else []


def _events(items: Iterable[Item]) -> Iterator[ServiceEvent]:
    for item in items:
        raw = item.raw
        about = raw.get("involvedObject") or raw.get("regarding")
        if item.kind != "Event" or not isinstance(about, dict) or about.get("kind") != "Service":
            continue
        when = raw.get("lastTimestamp") or raw.get("eventTime") or raw.get("firstTimestamp")
        yield ServiceEvent(
            service=f"{about.get('namespace')}/{about.get('name')}",
            reason=str(raw.get("reason") or ""),
            message=str(raw.get("message") or raw.get("note") or ""),
            when=str(when or ""),
        )
