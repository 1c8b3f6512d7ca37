"""BFD profiles, and what each BGP backend does not support (spec: config §8, §9)."""

from __future__ import annotations

from typing import Any

import pytest

from mercurylb.config.compilation import Resources
from mercurylb.config.model import BFDProfile
from mercurylb.config.resources import FRR, FRR_K8S, NATIVE
from tests.unit.config.objects import (
    bfd,
    bgp,
    community,
    config_of,
    peer,
    problems_of,
    selector,
    told,
)
from tests.unit.plan.cluster import node, on, pool

N1, N2, N3 = node("n1"), node("n2"), node("n3")
SIX = pool("six", "2001:db8::/64", labels={"tier": "x"})
ECHO = bfd("echo", echoMode=True)


@pytest.mark.rule("config-8.fields")
def test_a_profile_is_taken_over_as_written() -> None:
    """Absent numbers are left to the implementation, absent switches are off."""
    written = bfd(
        receiveInterval=10,
        transmitInterval=60000,
        detectMultiplier=2,
        echoInterval=50,
        minimumTtl=254,
        echoMode=True,
        passiveMode=True,
    )
    assert config_of(written, bfd("plain")).bfd_profiles == (
        BFDProfile("fast", 2, 10, 60000, 50, 254, has_echo=True, is_passive=True),
        BFDProfile("plain"),
    )


BOUNDS = [
    pytest.param("detectMultiplier", "detect multiplier", 2, 255, id="multiplier"),
    pytest.param("receiveInterval", "receive interval", 10, 60000, id="receive"),
    pytest.param("transmitInterval", "transmit interval", 10, 60000, id="transmit"),
    pytest.param("minimumTtl", "minimum ttl", 1, 254, id="ttl"),
    pytest.param("echoInterval", "echo interval", 10, 60000, id="echo"),
]


@pytest.mark.rule("config-8.ranges")
@pytest.mark.parametrize(("field", "words", "low", "high"), BOUNDS)
@pytest.mark.rule("api-6.bounds")
def test_numbers_of_a_profile_have_bounds(field: str, words: str, low: int, high: int) -> None:
    """The bounds themselves are taken, the next number is not."""
    assert told(bfd(**{field: low}), bfd("other", **{field: high})) == []
    for value in (low - 1, high + 1):
        (problem,) = told(bfd(**{field: value}))
        assert problem == (
            f"BFDProfile/fast spec.{field}: invalid {words} value: invalid value {value},"
            f" must be in {low}-{high} range"
        )


@pytest.mark.rule("config-8.names")
def test_names_of_profiles() -> None:
    """A profile has a name, and no two have the same."""
    assert told(bfd("")) == ["BFDProfile/ metadata.name: missing bfd profile name"]
    assert told(bfd(), bfd()) == [
        "BFDProfile/fast metadata.name: found duplicate bfd profile name fast"
    ]


ECHOES = [
    pytest.param(SIX, {}, {}, True, id="all peers"),
    pytest.param(SIX, {"peers": ["other", "p"]}, {}, True, id="named peer"),
    pytest.param(SIX, {"peers": ["other"]}, {}, False, id="another or unknown peer"),
    pytest.param(SIX, {"ipAddressPools": ["other"]}, {}, False, id="another pool"),
    pytest.param(pool("six", "10.0.0.0/24"), {}, {}, False, id="IPv4 pool"),
    pytest.param(SIX, {}, {"bfdProfile": "quiet"}, False, id="no echo"),
    pytest.param(SIX, {}, {"peerAddress": "2001:db8:1::1"}, True, id="IPv6 peer, IPv6 pool"),
    pytest.param(
        pool("six", "10.0.0.0/24"), {}, {"peerAddress": "2001:db8:1::1"}, False, id="IPv6 peer"
    ),
    pytest.param(
        SIX, {"nodeSelectors": on("n1")}, {"nodeSelectors": on("n2")}, False, id="no common node"
    ),
    pytest.param(
        SIX, {"nodeSelectors": on("n1", "n2")}, {"nodeSelectors": on("n2")}, True, id="common node"
    ),
]


@pytest.mark.rule("config-8.echo")
@pytest.mark.parametrize(("written", "ad", "spec", "is_refused"), ECHOES)
def test_echo_is_not_for_pools_with_ipv6(
    written: Any, ad: dict[str, Any], spec: dict[str, Any], *, is_refused: bool
) -> None:
    """The family of the pool counts, not that of the peer, where a node has both."""
    target = peer(**{"bfdProfile": "echo", **spec})
    found = told(written, bgp(**ad), target, ECHO, bfd("quiet"), N1, N2)
    message = (
        "BGPPeer/p spec.bfdProfile: pool six has bgpadvertisement ad which references peer p which"
        " has bfd echo enabled, which is not possible"
    )
    assert found == ([message] if is_refused else [])


@pytest.mark.rule("config-9.unknown")
@pytest.mark.parametrize("backend", ["", "cilium", "Native"])
def test_an_unknown_backend_is_not_checked(backend: str) -> None:
    """Whatever is not one of the three names switches the checks off, the empty text too."""
    objects = peer(vrf="red"), peer("q", routerID="1.1.1.1"), bgp(asPathPrepend=1), SIX
    assert told(*objects, bfd(), community(x="large:1:2:3"), backend=backend) == []
    assert told(*objects, bfd(), community(x="large:1:2:3"), backend=NATIVE) != []


@pytest.mark.rule("config-9.default")
def test_the_backend_is_native_unless_told() -> None:
    """What nobody sets is the backend with the fewest features."""
    assert Resources().backend == NATIVE == "native"


@pytest.mark.rule("config-9.frr-k8s-only", "config-9.joined")
@pytest.mark.parametrize(("backend", "count"), [(NATIVE, 1), (FRR, 1), (FRR_K8S, 0)])
def test_prepending_needs_frr_k8s(backend: str, count: int) -> None:
    """It is told beside the other checks of the backend; 0 is not prepending."""
    message = (
        "BGPAdvertisement/ad spec.asPathPrepend:"
        " asPathPrepend is only supported by the frr-k8s backend"
    )
    assert told(bgp(asPathPrepend=2), backend=backend) == [message] * count
    assert told(bgp(asPathPrepend=0), backend=backend) == []


FEATURES = [
    ({"bfdProfile": "fast"}, "bfdProfile", "bfd-profile"),
    ({"keepaliveTime": "1s", "holdTime": "3s"}, "keepaliveTime", "keepalive-time"),
    ({"vrf": "red"}, "vrf", "vrf"),
    ({"connectTime": "0s"}, "connectTime", "connect time"),
    ({"enableGracefulRestart": True}, "enableGracefulRestart", "EnableGracefulRestart flag"),
    ({"disableMP": True}, "disableMP", "disable MP flag"),
    ({"dualStackAddressFamily": True}, "dualStackAddressFamily", "dualstackaddressfamily flag"),
    ({"peerASN": None, "dynamicASN": "internal"}, "dynamicASN", "dynamicASN"),
    ({"interface": "eth0"}, "interface", "interface"),
    ({"localASN": 7}, "localASN", "localASN"),
]


@pytest.mark.rule("config-9.native.peers")
@pytest.mark.parametrize(("spec", "field", "words"), FEATURES, ids=[row[1] for row in FEATURES])
@pytest.mark.rule("api-3.1.local-asn", "api-3.1.disable-mp", "api-3.1.dual-stack")
def test_native_peers_have_fewer_features(spec: dict[str, Any], field: str, words: str) -> None:
    """Each field that the native backend does not know is told; FRR takes it."""
    message = f"BGPPeer/p spec.{field}: peer 10.2.2.2 has {words} set on native bgp mode"
    assert message in told(peer(**spec), backend=NATIVE)
    assert not any("native" in text for text in told(peer(**spec), backend=FRR))


@pytest.mark.rule("config-9.native.peers", "config-9.native.multi-hop")
@pytest.mark.parametrize(
    "spec", [{"keepaliveTime": "0s"}, {"ebgpMultiHop": True}, {"localASN": 0}, {"holdTime": "9s"}]
)
def test_native_peers_may_be_plain(spec: dict[str, Any]) -> None:
    """Zero values and eBGP over several hops are no feature of FRR."""
    assert told(peer(**spec), backend=NATIVE) == []


@pytest.mark.rule("config-9.native.bfd", "config-9.native.cases")
def test_native_has_no_bfd() -> None:
    """A profile that nobody uses is too many."""
    assert told(bfd(), backend=NATIVE) == ["BFDProfile/fast : bfd profiles section set"]


NATIVE_IPV6 = [
    pytest.param((), False, id="no advertisement"),
    pytest.param(({"ipAddressPools": ["four"]},), False, id="not selected"),
    pytest.param(({"ipAddressPools": ["six"]},), True, id="by name"),
    pytest.param(({"ipAddressPoolSelectors": [selector(tier="x")]},), True, id="by label"),
    pytest.param(({},), True, id="without selector"),
    pytest.param(({"ipAddressPools": ["four"]}, {}), True, id="one of two has no selector"),
]


@pytest.mark.rule("config-9.native.ipv6", "config-9.native.cases")
@pytest.mark.parametrize(("specs", "is_refused"), NATIVE_IPV6)
def test_native_advertises_ipv4_only(specs: tuple[Any, ...], *, is_refused: bool) -> None:
    """An IPv6 pool that some BGPAdvertisement selects is refused; for layer 2 it may stay."""
    advertisements = [bgp(f"ad{index}", **spec) for index, spec in enumerate(specs)]
    found = told(SIX, pool("four", "10.0.0.0/24"), *advertisements, backend=NATIVE)
    message = (
        'IPAddressPool/six spec.addresses[0]: pool "six" has ipv6 CIDR 2001:db8::/64,'
        " native bgp mode does not support ipv6"
    )
    assert found == ([message] if is_refused else [])


@pytest.mark.rule("config-9.native.communities", "config-9.native.cases")
def test_native_takes_standard_communities() -> None:
    """Large ones are told where they stand; what is none at all is told as such, once."""
    only = "native BGP mode only supports legacy communities"
    objects = bgp(communities=["large:1:2:3", "1:2"]), community(x="large:1:2:3", y="1:2")
    ending = 'has non legacy community "large:1:2:3"'
    assert told(*objects, backend=NATIVE) == [
        f'BGPAdvertisement/ad spec.communities[0]: {only}, BGP advertisement "ad" {ending}',
        f'Community/c spec.communities[0].value: {only}, BGP community CR "c" {ending}',
    ]
    assert told(*objects, backend=FRR) == []
    assert [each.code for each in problems_of(community(x="large:x"), backend=NATIVE)] == [
        "community-value"
    ]


def peers(*specs: dict[str, Any]) -> list[Any]:
    """Make peers of different addresses unless told otherwise."""
    return [
        peer(f"p{index}", **{"peerAddress": f"10.0.0.{index + 1}", **spec})
        for index, spec in enumerate(specs)
    ]


def same(*vrfs: str) -> list[Any]:
    """Make peers of one address in VRFs."""
    return peers(*({"peerAddress": "10.0.0.1", "vrf": vrf} for vrf in vrfs))


def placed(*selectors: Any) -> list[Any]:
    """Make peers of one address on nodes."""
    return peers(*({"peerAddress": "10.0.0.1", "nodeSelectors": each} for each in selectors))


ETH = [{"peerAddress": None, "interface": name} for name in ("eth0", "eth1", "eth0")]
A, B = {"routerID": "1.1.1.1"}, {"routerID": "2.2.2.2"}
NODES = (N1, N2, N3)
SHARED = [
    pytest.param(peers(A, A, A), NODES, "", id="router IDs a,a,a"),
    pytest.param(peers(A, A, B), NODES, "backend-router-id", id="router IDs a,a,b"),
    pytest.param(peers(A, A, {}), NODES, "backend-router-id", id="router IDs a,a,unset"),
    pytest.param(peers({}, {}, {"myASN": 5}), NODES, "backend-my-asn", id="myASN differs"),
    pytest.param(
        peers({}, {}, {"myASN": 5, "vrf": "red"}), NODES, "", id="myASN differs in another VRF"
    ),
    pytest.param(same("", "red", "green"), NODES, "", id="VRFs none/red/green"),
    pytest.param(same("", "red", "red"), NODES, "backend-duplicate-peer", id="VRFs none/red/red"),
    pytest.param(peers(*ETH[:2]), NODES, "", id="eth0 and eth1"),
    pytest.param(peers(*ETH), NODES, "backend-duplicate-peer", id="eth0 twice"),
    pytest.param(placed(on("n1"), on("n2")), NODES, "", id="disjoint selectors"),
    pytest.param(placed(on("n1"), on("n2")), (), "backend-duplicate-peer", id="no nodes known"),
    pytest.param(placed(on("n1"), []), NODES, "backend-duplicate-peer", id="one has no selector"),
    pytest.param(
        placed(on("n1", "n2"), on("n3", "n2")),
        NODES,
        "backend-duplicate-peer",
        id="n1|n2 and n3|n2",
    ),
    pytest.param(placed(on("n8"), on("n9")), NODES, "", id="on no node"),
]


@pytest.mark.rule("config-9.frr.shared", "config-9.frr.cases")
@pytest.mark.parametrize(("written", "nodes", "code"), SHARED)
@pytest.mark.parametrize("backend", [FRR, FRR_K8S])
def test_peers_of_one_node_share_an_frr(
    written: list[Any], nodes: tuple[Any, ...], code: str, backend: str
) -> None:
    """Peers that meet on a node agree in router ID and, per VRF, in ASN, and differ in target."""
    found = [problem.code for problem in problems_of(*written, *nodes, backend=backend)]
    assert found == ([code] if code else [])
    assert not any(text.startswith("backend") for text in told(*written, *nodes, backend=""))


@pytest.mark.rule("config-9.frr.router-id", "config-9.frr.identifier", "config-9.frr.my-asn")
def test_the_words_of_the_shared_frr() -> None:
    """The later peer is at fault; the hint names the earlier one."""
    first = peer("a", vrf="red", routerID="1.1.1.1")
    (router, twin, asn) = problems_of(first, peer("b", vrf="red", myASN=5))
    assert router.message == (
        "peer  has RouterID different from 1.1.1.1, in FRR mode peers selecting the same node must"
        " all have the same RouterID"
    )
    assert twin.message == (
        "peer 10.2.2.2-red already exists, FRR mode doesn't support duplicate BGPPeers selecting"
        " the same node"
    )
    assert asn.message == (
        "peer 10.2.2.2-red has myAsn different from 10.2.2.2-red, in FRR mode peers selecting the"
        " same node must have the same myAsn within the same VRF"
    )
    assert {each.object for each in (router, twin, asn)} == {"BGPPeer metallb/b"}
    assert {each.hint for each in (router, twin, asn)} == {"the other is BGPPeer metallb/a"}


@pytest.mark.rule("config-9.frr.shared")
def test_every_peer_that_clashes_is_told_once() -> None:
    """On a hundred nodes the same clash is one problem."""
    many = [node(f"n{index}") for index in range(100)]
    found = problems_of(*placed([], [], []), *many)
    assert [problem.object for problem in found] == ["BGPPeer metallb/p1", "BGPPeer metallb/p2"]
