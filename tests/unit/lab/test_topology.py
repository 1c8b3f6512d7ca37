"""The lab's fixed network as values."""

from __future__ import annotations

import ipaddress

import pytest

from lab import topology
from lab.errors import LabError
from lab.topology import Plan


def test_addresses_are_the_walk_throughs() -> None:
    """The addresses that manifests and documents name are the ones the lab uses."""
    plan = Plan("a", 3)
    found = {host.name: (host.ipv4, host.ipv6) for host in plan.hosts}
    assert found == {
        "router": ("192.168.111.1", "fd00:111::1"),
        "client": ("192.168.111.50", "fd00:111::50"),
        "cp": ("192.168.111.100", "fd00:111::100"),
        "n1": ("192.168.111.101", "fd00:111::101"),
        "n2": ("192.168.111.102", "fd00:111::102"),
        "n3": ("192.168.111.103", "fd00:111::103"),
    }


def test_pod_networks_lie_apart_and_inside_the_cluster_range() -> None:
    """Every node has its own slice of both pod ranges."""
    nodes = Plan("a", topology.NODES_MAX).nodes
    for attribute, whole in (("pod_cidr4", topology.POD_CIDR4), ("pod_cidr6", topology.POD_CIDR6)):
        slices = [ipaddress.ip_network(getattr(node, attribute)) for node in nodes]
        assert len(set(slices)) == len(nodes)
        for part in slices:
            assert part.subnet_of(ipaddress.ip_network(whole))  # type: ignore[arg-type]


def test_gateways_lie_in_the_nodes_own_slice() -> None:
    """A pod reaches its gateway without a route."""
    for node in Plan("a", 20).nodes:
        assert ipaddress.ip_address(node.pod_gateway4) in ipaddress.ip_network(node.pod_cidr4)
        assert ipaddress.ip_address(node.pod_gateway6) in ipaddress.ip_network(node.pod_cidr6)


@pytest.mark.parametrize("name", ["", "a-b", "Ab", "a/b", "x" * 21, "ä"])
def test_a_name_that_could_match_another_labs_prefix_is_refused(name: str) -> None:
    """A dash in a name would make one lab's namespaces look like another's."""
    with pytest.raises(LabError):
        Plan(name, 1)


@pytest.mark.parametrize("count", [-1, topology.NODES_MAX + 1])
def test_a_size_out_of_bounds_is_refused(count: int) -> None:
    """The addresses hold a hundred nodes."""
    with pytest.raises(LabError):
        Plan("a", count)


def test_a_mac_names_its_host() -> None:
    """An observer can say `n2` instead of a MAC; a foreign MAC stays as it is."""
    plan = Plan("a", 3)
    assert plan.host_of_mac(plan.node("n2").mac) == "n2"
    assert plan.host_of_mac("02:00:00:00:00:01") == "02:00:00:00:00:01"


def test_an_unknown_node_is_told_with_the_known_ones() -> None:
    """A typing error in a node's name is answered with the names there are."""
    with pytest.raises(LabError, match="n1, n2"):
        Plan("a", 2).node("n9")
