"""The lab's router that speaks BGP, as text and values."""

from __future__ import annotations

import pytest

from lab import demo_bgp, router
from lab.router import RouterOptions
from lab.topology import Plan

PLAN = Plan("a", 2)


def lines(**options: object) -> list[str]:
    """Render the router's configuration."""
    made = RouterOptions(**options)  # type: ignore[arg-type]
    return [line.strip() for line in router.configuration(PLAN, made).splitlines()]


def test_every_node_is_a_neighbour() -> None:
    """And the router waits for them to call, in both families, with several paths."""
    found = lines(asn=64501, node_asn=64500)
    assert "router bgp 64501" in found
    assert "neighbor nodes remote-as 64500" in found
    assert "neighbor nodes passive" in found
    for node in PLAN.nodes:
        assert f"neighbor {node.ipv4} peer-group nodes" in found
    assert found.count("neighbor nodes activate") == 2
    assert found.count(f"maximum-paths {router.PATHS_MAX}") == 2


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"password": "x"}, "neighbor nodes password x"),
        ({"has_bfd": True}, "neighbor nodes bfd profile nodes"),
        ({"has_bfd": True, "bfd_ms": 70}, "receive-interval 70"),
        ({"keepalive_s": 1, "hold_s": 3}, "timers bgp 1 3"),
    ],
)
def test_options_are_lines(options: dict[str, object], line: str) -> None:
    """A line is there with its option, and not without."""
    assert line in lines(**options)
    assert line not in lines()


def test_link_local_addresses_name_their_node() -> None:
    """The kernel's address of a node with MAC 02:6d:6c:62:00:65, as RFC 4291 makes it."""
    assert router._link_local(PLAN.nodes[0].mac) == "fe80::6d:6cff:fe62:65"


def test_flows_are_counted_by_the_node_they_are_sent_to() -> None:
    """Only first segments that leave the router for the address count."""
    first, second = PLAN.nodes
    line = {"kind": "tcp", "dir": "out", "dst": "a", "flags": "S", "dst_mac": first.mac}
    seen = [
        line,
        line | {"dst_mac": second.mac},
        line | {"dst_mac": second.mac},
        line | {"dir": "in"},
        line | {"flags": "A"},
        line | {"dst": "b"},
        line | {"kind": "arp"},
    ]
    assert router.spread(seen, PLAN, "a") == {"n1": 1, "n2": 2}


SUMMARY = """
Neighbor        V         AS   MsgRcvd   MsgSent   TblVer  InQ OutQ  Up/Down State/PfxRcd   PfxSnt Desc
192.168.111.101 4      64500        12        14        0    0    0 00:00:09            1        1 N/A
n2(192.168.111.102) 4  64500        12        14        0    0    0 00:00:09            0        1 N/A
192.168.111.103 4      64500         0         0        0    0    0    never         Idle        0 N/A

Total number of neighbors 3
"""  # noqa: E501  (as FRR prints it)


def test_established_sessions_are_counted_in_the_summary() -> None:
    """A state in place of the number of prefixes is no session."""
    assert demo_bgp.sessions(SUMMARY) == 2
    assert demo_bgp.sessions("") == 0


def test_pages_are_counted_by_node() -> None:
    """As `uniq -c` prints them."""
    found = demo_bgp.counted(["     31 on node n1", "      2 on node n3", "curl: (7) failed"])
    assert found == {"n1": 31, "n3": 2}


@pytest.mark.parametrize(
    ("failed", "wanted"), [((), 0.0), ((0.5,), 0.0), ((1.1, 1.25), 0.25), ((0.9, 1.02), 0.02)]
)
def test_an_outage_ends_with_the_last_failed_try(failed: tuple[float, ...], wanted: float) -> None:
    """Tries that failed before the cut are not its fault."""
    tries = [{"t": t, "ok": False} for t in failed] + [{"t": 1.5, "ok": True}]
    assert demo_bgp.outage(tries, 1.0) == pytest.approx(wanted)
