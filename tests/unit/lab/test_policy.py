"""Network policies as packet filter rules."""

from __future__ import annotations

from typing import Any

import pytest

from lab import policy
from lab.errors import LabError

LABELS = {"app": "a"}


def made(**spec: Any) -> dict[str, Any]:
    """Write a policy for pods with the label app: a."""
    return {"spec": {"podSelector": {"matchLabels": LABELS}, "policyTypes": ["Ingress"], **spec}}


def rules(*policies: dict[str, Any]) -> str:
    """Translate for a pod with one named port on a node with one address."""
    return policy.ruleset(policies, LABELS, {"web": 8080}, ["192.0.2.1"])


def test_a_pod_that_no_policy_selects_is_free() -> None:
    """Without a policy for a direction there is no chain for it."""
    other = made()
    other["spec"]["podSelector"] = {"matchLabels": {"app": "b"}}
    assert "chain" not in rules(other)
    assert "chain egress" not in rules(made())


def test_ports_pass_by_number_and_by_name_and_add_up() -> None:
    """Each policy that selects a pod opens more; a name that the pod lacks opens nothing."""
    text = rules(
        made(ingress=[{"ports": [{"protocol": "TCP", "port": "web"}]}]),
        made(ingress=[{"ports": [{"protocol": "UDP", "port": 53}, {"port": "none"}]}]),
    )
    assert "tcp dport 8080 accept" in text
    assert "udp dport 53 accept" in text
    assert text.count("dport") == 2
    assert "policy drop" in text


def test_the_pod_s_own_node_passes() -> None:
    """A kubelet's probes reach every pod."""
    assert "ip saddr 192.0.2.1 accept" in rules(made(ingress=[]))


@pytest.mark.parametrize("spec", [{"ingress": [{"from": []}]}, {"podSelector": {"other": 1}}])
def test_what_is_not_translated_is_refused(spec: dict[str, Any]) -> None:
    """A rule that would be taken for a wider one is an error."""
    with pytest.raises(LabError, match="not translated"):
        rules(made(**spec))
