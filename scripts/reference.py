"""Draw docs/configuration.md, the reference of all objects, from the structs in src/mercurylb/api.

`--check` writes nothing and fails when the committed page is not what it would be.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mercurylb.api import annotation
from mercurylb.api.crd import crd
from mercurylb.api.definition import DEFINITIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mercurylb.api.definition import Definition

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "configuration.md"

WRITTEN_BY_USERS: Final = (
    "IPAddressPool",
    "L2Advertisement",
    "BGPAdvertisement",
    "BGPPeer",
    "BFDProfile",
    "Community",
)
INTRODUCTIONS: Final = {
    "IPAddressPool": "Which addresses may be given to services. [How to use it](usage.md#pools).",
    "L2Advertisement": "Which nodes answer for the addresses of which pools by ARP and NDP. "
    "[How to use it](layer2.md).",
    "BGPAdvertisement": "What is told to which BGP peers, and how. [How to use it](bgp.md).",
    "BGPPeer": "A router to speak BGP with. [How to use it](bgp.md).",
    "BFDProfile": "How quickly the loss of a peer is noticed. [How to use it](bgp.md#bfd).",
    "Community": "Names for BGP communities. [How to use it](bgp.md#communities).",
    "ServiceL2Status": "Which node announces a service by layer 2. Written by that node's speaker.",
    "ServiceBGPStatus": "To which peers a node announces a service. Written by that node's "
    "speaker.",
    "ConfigurationState": "Whether a program accepted the configuration. Written by the "
    "controller and by each speaker.",
    "BGPSession": "How a BGP session stands. Written by the speakers; MetalLB has no such kind.",
}
ANNOTATIONS: Final = {
    annotation.ADDRESS_POOL: "Name of the pool that the addresses have to come from. Pools with "
    "`autoAssign: false` may be named, too.",
    annotation.LOAD_BALANCER_IPS: "The addresses wanted: one, or one of each family separated by "
    "a comma. Not together with `spec.loadBalancerIP`.",
    annotation.ALLOW_SHARED_IP: "A key of your choice: services with the same key may share an "
    "address if their ports differ.",
    annotation.ALLOCATED_FROM_POOL: "Written by the controller: the pool that the addresses came "
    "from.",
}
PEER_ANNOTATIONS: Final = {
    annotation.GTSM_HOPS: "How many hops away the router may be; packets from further away are "
    "ignored (RFC 5082). Native backend only.",
    annotation.TCP_AO: "`true` makes the password a key of TCP-AO (RFC 5925) instead of TCP MD5. "
    "Native backend only.",
}
_BEGIN: Final = """\
# Objects

<!-- Drawn by scripts/reference from the structs in src/mercurylb/api: change those. -->

Every object lives in the namespace that MercuryLB is installed in; the webhook refuses it
elsewhere. A field that is not listed here is refused by the API server, or dropped with a warning.
`mercurylb validate` checks files against the same tables, without a cluster.

In the column *Field*, `[]` stands for each element of a list, and **bold** fields are required.
"""
_SELECTORS: Final = """\
## Label selectors

A label selector is the one that Kubernetes uses everywhere: `matchLabels` names labels with their
values, `matchExpressions` is a list of `{key, operator, values}` with the operators `In`, `NotIn`,
`Exists` and `DoesNotExist`. Everything within one selector has to match. A *list* of selectors
matches where any of them does. An empty selector `{}` matches everything.
"""


def page() -> str:
    """Give the text of the whole page."""
    by_name = {definition.kind: definition for definition in DEFINITIONS}
    rest = [kind for kind in by_name if kind not in WRITTEN_BY_USERS]
    parts = [_BEGIN, "## What you write\n"]
    parts += [_kind(by_name[kind]) for kind in WRITTEN_BY_USERS]
    parts += ["## What MercuryLB writes\n", "Read these; whoever changes them is overruled.\n"]
    parts += [_kind(by_name[kind]) for kind in rest]
    parts += [_annotations(), _SELECTORS]
    return "\n".join(parts)


def _kind(definition: Definition) -> str:
    lines = [f"### {definition.kind}", "", INTRODUCTIONS[definition.kind], ""]
    versions: list[dict[str, Any]] = crd(definition)["spec"]["versions"]  # type: ignore[index]
    for version in sorted(versions, key=lambda one: not one["storage"]):
        name = f"`apiVersion: {definition.group}/{version['name']}`"
        if version.get("deprecated"):
            lines += [f"{name}, deprecated: only these fields.", ""]
        else:
            lines += [f"{name}, `kubectl get {definition.plural}`", ""]
        lines += ["| Field | Type | Default | Meaning |", "|---|---|---|---|"]
        schema = version["schema"]["openAPIV3Schema"]
        parts = [("spec", schema), ("status", schema)]
        for part, root in parts:
            node = root["properties"].get(part)
            if node and node.get("properties"):
                lines += list(_rows(node, part))
        lines.append("")
    return "\n".join(lines)


def _rows(node: Mapping[str, Any], path: str) -> Iterator[str]:
    """Give a row for each field below a path, in the order of the names."""
    required = node.get("required", ())
    for name, field in node.get("properties", {}).items():
        below = f"{path}.{name}"
        shown = f"**`{below}`**" if name in required else f"`{below}`"
        default = f"`{str(field['default']).lower()}`" if "default" in field else ""
        cells = (shown, _type(field), default, _meaning(field))
        yield f"| {' | '.join(cells)} |"
        inner = field.get("items", field)
        if not _is_selector(inner):
            yield from _rows(inner, below + ("[]" if "items" in field else ""))


def _type(field: Mapping[str, Any]) -> str:
    if _is_selector(field):
        return "[label selector](#label-selectors)"
    if field["type"] == "array":
        return f"list of {_type(field['items'])}"
    if "additionalProperties" in field:
        return f"map of {_type(field['additionalProperties'])}"
    return str(field["type"])


def _is_selector(field: Mapping[str, Any]) -> bool:
    return "matchExpressions" in field.get("properties", ())


def _meaning(field: Mapping[str, Any]) -> str:
    said = [field.get("description", "")]
    if "enum" in field:
        said.append("One of " + ", ".join(f"`{one}`" for one in field["enum"]) + ".")
    if "minimum" in field or "maximum" in field:
        low, high = field.get("minimum"), field.get("maximum")
        if high is None:
            said.append(f"At least {low}.")
        elif low is None:
            said.append(f"At most {high}.")
        else:
            said.append(f"{low} to {high}.")
    said += [f"Rule: {rule['message']}." for rule in field.get("x-kubernetes-validations", ())]
    return " ".join(said).replace("|", "\\|").replace("\n", " ")


def _annotations() -> str:
    lines = [
        "## Annotations",
        "",
        "### Of a Service",
        "",
        (
            f"The older prefix `{annotation.DEPRECATED_PREFIX}/` works as well, and an event says "
            "that it is deprecated. Of both, the newer one counts, even where it is empty."
        ),
        "",
        "| Annotation | Meaning |",
        "|---|---|",
        *(f"| `{key}` | {meaning} |" for key, meaning in ANNOTATIONS.items()),
        "",
        "### Of a BGPPeer",
        "",
        "| Annotation | Meaning |",
        "|---|---|",
        *(f"| `{key}` | {meaning} |" for key, meaning in PEER_ANNOTATIONS.items()),
        "",
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Write the page, or say that it is not current."""
    if "--check" in arguments:
        if PAGE.exists() and PAGE.read_text() == page():
            return 0
        print("docs/configuration.md is not what scripts/reference makes of the structs")  # noqa: T201
        return 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
