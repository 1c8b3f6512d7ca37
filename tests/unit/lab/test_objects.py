"""The objects the lab registers."""

from __future__ import annotations

from lab import objects
from lab.objects import PodPlan
from lab.topology import Plan

NOW = "2026-01-01T00:00:00Z"


def test_a_node_is_ready_in_both_families() -> None:
    """kube-proxy and the controllers find a Ready node with both addresses and pod networks."""
    plan = Plan("a", 2).node("n2")
    status = objects.node_status(plan, NOW, "1.36.3")["status"]
    ready = [c["status"] for c in status["conditions"] if c["type"] == "Ready"]
    assert ready == ["True"]
    internal = [a["address"] for a in status["addresses"] if a["type"] == "InternalIP"]
    assert internal == ["192.168.111.102", "fd00:111::102"]
    assert objects.node(plan)["spec"]["podCIDRs"] == ["10.244.2.0/24", "fd00:244:0:2::/64"]


def test_own_labels_of_a_node_stand_beside_the_usual_ones() -> None:
    """A test's labels do not displace the host name."""
    labels = objects.node(Plan("a", 1).node("n1"), {"zone": "x"})["metadata"]["labels"]
    assert labels["zone"] == "x"
    assert labels["kubernetes.io/hostname"] == "n1"


def test_a_pods_readiness_is_told_in_every_place() -> None:
    """The endpoint-slice controller looks at the condition, people at the container."""
    plan = PodPlan("p", "ns", "n1", "192.168.111.101", ("10.244.1.2", "fd00::2"), {"app": "web"})
    for ready in (True, False):
        status = objects.pod_status(plan, NOW, ready=ready)["status"]
        told = {c["type"]: c["status"] for c in status["conditions"]}
        assert told["Ready"] == str(ready)
        assert status["containerStatuses"][0]["ready"] is ready
    assert [entry["ip"] for entry in status["podIPs"]] == ["10.244.1.2", "fd00::2"]
    assert objects.pod(plan)["spec"]["nodeName"] == "n1"
