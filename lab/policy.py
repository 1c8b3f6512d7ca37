"""NetworkPolicies as packet filter rules of a pod: what a policy controller would enforce.

Kubernetes leaves enforcement to others. This is the part of it that our chart's policies use, as
nftables rules in a pod's own network namespace: which policies select the pod, directions, ports by
number and by name. A peer selector is refused, as the chart has none. The pod's own node passes, as
the kubelet's probes have to; what belongs to an accepted connection passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TABLE: Final = "policies"
DIRECTIONS: Final = {"Ingress": ("ingress", "input"), "Egress": ("egress", "output")}


def selects(policy: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether a policy is about a pod with these labels."""
    selector = policy["spec"]["podSelector"]
    if unknown := set(selector) - {"matchLabels"}:
        raise LabError(f"a pod selector with {', '.join(unknown)} is not translated")
    wanted = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items())


def ruleset(
    policies: Iterable[Mapping[str, Any]],
    labels: Mapping[str, str],
    ports: Mapping[str, int],
    node: Sequence[str],
) -> str:
    """Return the rules of a pod: its labels, its named ports, the addresses of its node."""
    own = [policy for policy in policies if selects(policy, labels)]
    chains = [
        _chain(
            kind, [policy for policy in own if kind in policy["spec"]["policyTypes"]], ports, node
        )
        for kind in DIRECTIONS
    ]
    body = "\n".join(chain for chain in chains if chain)
    return f"table inet {TABLE} {{\n{body}\n}}\n"


def _chain(
    kind: str,
    policies: Sequence[Mapping[str, Any]],
    ports: Mapping[str, int],
    node: Sequence[str],
) -> str:
    if not policies:
        return ""  # Who is not selected for a direction is free in it.
    field, hook = DIRECTIONS[kind]
    side = "saddr" if kind == "Ingress" else "daddr"
    lines = ["ct state established,related accept", 'meta iifname "lo" accept']
    lines += ['meta oifname "lo" accept'] if kind == "Egress" else []
    lines += [f"{'ip6' if ':' in it else 'ip'} {side} {it} accept" for it in node]
    # A pod finds its neighbours whatever a policy says.
    lines.append("meta l4proto ipv6-icmp accept")
    for policy in policies:
        for rule in policy["spec"].get(field, []):
            lines += _accepted(rule, ports, field)
    inner = "\n".join(f"    {line}" for line in lines if "iifname" not in line or kind == "Ingress")
    return (
        f"  chain {field} {{\n    type filter hook {hook} priority 0; policy drop;\n{inner}\n  }}"
    )


def _accepted(rule: Mapping[str, Any], ports: Mapping[str, int], field: str) -> list[str]:
    if unknown := set(rule) - {"ports"}:
        raise LabError(f"{field} with {', '.join(unknown)} is not translated")
    if not rule.get("ports"):
        return ["accept"]
    lines = []
    for port in rule["ports"]:
        number = port["port"] if isinstance(port["port"], int) else ports.get(port["port"])
        if number is not None:  # A name that the pod does not have is no port of it.
            lines.append(f"{port.get('protocol', 'TCP').lower()} dport {number} accept")
    return lines
