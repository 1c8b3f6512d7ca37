"""The light lab itself: a real cluster that tests may trust."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from lab import isolation, netns, topology
from lab.errors import CommandError, LeakError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.light import LightLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]

PODS = {"w1", "w2", "w3"}
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  ipFamilyPolicy: RequireDualStack
  ipFamilies: [IPv4, IPv6]
  selector: {app: web}
  ports:
  - {name: http, port: 80, targetPort: 8080, nodePort: 30080}
  - {name: echo, port: 81, protocol: UDP, targetPort: 8080, nodePort: 30081}
"""


@pytest.fixture(scope="module")
def web(bare_lab: LightLab) -> Iterator[LightLab]:
    """Run two web pods on n1 and one on n2 behind a dual-stack service."""
    bare_lab.web("w1", "n1")
    bare_lab.web("w2", "n2")
    bare_lab.web("w3", "n1")
    bare_lab.apply(SERVICE)
    bare_lab.wait_for(lambda: _pods_behind(bare_lab, "http://[fd00:111::103]:30080/"), timeout_s=20)
    yield bare_lab
    bare_lab.kubectl("delete", "service", "web")
    for pod in PODS:
        bare_lab.pods.remove(pod)


def _pods_behind(lab: LightLab, url: str, tries: int = 12) -> set[str]:
    return {lab.client.http_get(url).json()["pod"] for _ in range(tries)}


def test_nodes_are_ready(bare_lab: LightLab) -> None:
    """A user of kubectl sees every node Ready with its address."""
    lines = bare_lab.kubectl("get", "nodes", "--no-headers", "-o", "wide").splitlines()
    told = [(words[0], words[1], words[5]) for words in map(str.split, lines)]
    assert told == [(f"n{i}", "Ready", f"192.168.111.{100 + i}") for i in (1, 2, 3)]


@pytest.mark.parametrize("address", ["192.168.111.103", "[fd00:111::103]"])
def test_node_ports_reach_every_pod_from_the_lan(web: LightLab, address: str) -> None:
    """kube-proxy spreads over pods on other nodes, in both families."""
    pods = web.wait_for(lambda: _pods_behind(web, f"http://{address}:30080/", 30))
    assert pods == PODS


@pytest.mark.parametrize("address", ["192.168.111.103", "fd00:111::103"])
def test_udp_passes_too(web: LightLab, address: str) -> None:
    """The echo service answers with the datagram's first word and a pod's name."""
    answer = web.wait_for(lambda: web.client.udp_ask(address, 30081, b"17 x"))
    assert answer in {f"17 {pod}".encode() for pod in PODS}


def test_a_pod_reaches_itself_and_its_neighbour_through_the_service(web: LightLab) -> None:
    """What returns within a node's bridge passes kube-proxy's rules, in both families."""
    ips = web.kubectl_json("get", "service", "web")["spec"]["clusterIPs"]
    for ip in ips:
        url = f"http://[{ip}]/" if ":" in ip else f"http://{ip}/"
        pods = {web.host("pod-w1").http_get(url).json()["pod"] for _ in range(30)}
        assert pods == PODS


def test_cluster_addresses_do_not_reach_the_lan(web: LightLab) -> None:
    """A ClusterIP is for the inside only: the LAN's client has no way to it."""
    ip = web.kubectl_json("get", "service", "web")["spec"]["clusterIP"]
    with pytest.raises(OSError, match=r"unreachable|timed out|No route"):
        web.client.http_get(f"http://{ip}/", timeout_s=1)


def test_a_pod_that_is_not_ready_leaves_the_service(web: LightLab) -> None:
    """Readiness that the lab reports moves real endpoints."""
    url = "http://192.168.111.103:30080/"
    web.pods.set_ready("w2", ready=False)
    try:
        web.wait_for(lambda: _pods_behind(web, url) == PODS - {"w2"}, what="w2 is gone")
    finally:
        web.pods.set_ready("w2", ready=True)
    web.wait_for(lambda: _pods_behind(web, url, 30) == PODS, what="w2 is back")


def test_the_routers_rule_points_to_the_walk_throughs_address(web: LightLab) -> None:
    """From outside, port 80 of the router is port 80 of 192.168.111.11, whoever has it."""
    node = web.nodes["n3"]
    node.run(["ip", "address", "add", f"{topology.FORWARDED_TO}/32", "dev", "eth0"])
    try:
        ingress = '{"status":{"loadBalancer":{"ingress":[{"ip":"192.168.111.11"}]}}}'
        patch = ("--subresource=status", "--type=merge", "-p", ingress)
        web.kubectl("patch", "service", "web", *patch)
        url = f"http://{topology.WAN_ROUTER}/"
        answer = web.wait_for(lambda: web.outside.http_get(url).json())
        assert answer["pod"] in PODS
    finally:
        node.run(["ip", "address", "del", f"{topology.FORWARDED_TO}/32", "dev", "eth0"])


def test_no_packet_leaves(bare_lab: LightLab) -> None:
    """No host reaches an address outside the lab, and the check agrees."""
    isolation.check(bare_lab.site.plan)
    for host in [*bare_lab.nodes.values(), bare_lab.client, bare_lab.outside]:
        ping = host.run(["ping", "-c1", "-W1", "198.51.100.1"], check=False)
        assert ping.returncode != 0


def test_a_way_out_is_found(bare_lab: LightLab) -> None:
    """A cable between the machine and the lab makes the check fail."""
    plan = bare_lab.site.plan
    there = ["peer", "name", "leak0", "netns", plan.namespace("client")]
    ip = netns.tool("ip")
    subprocess.run([ip, "link", "add", "mlbleak", "type", "veth", *there], check=True)
    try:
        with pytest.raises(LeakError, match="mlbleak ends in"):
            isolation.check(plan)
    finally:
        subprocess.run([ip, "link", "del", "mlbleak"], check=True)


def test_a_failed_command_tells_why(bare_lab: LightLab) -> None:
    """The message of kubectl reaches the test."""
    with pytest.raises(CommandError, match="NotFound"):
        bare_lab.kubectl("get", "pod", "nobody")
