"""BFD profiles, and what each BGP backend does not support (spec: config §8, §9)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from mercurylb.config.compilation import Resources, compile_config
from mercurylb.config.model import BFDProfile
from mercurylb.config.resources import FRR, FRR_K8S, NATIVE
from tests.unit.config.objects import (
    bfd,
    bgp,
    community,
    config_of,
    peer,
    problems_of,
    secret,
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
    objects = peer(routerID="::1"), peer("q", routerID="1.1.1.1"), bgp(asPathPrepend=1), SIX
    assert told(*objects, backend=backend) == []
    assert told(*objects, backend=NATIVE) != []


@pytest.mark.rule("config-9.default")
def test_the_backend_is_native_unless_told() -> None:
    """What nobody sets is the backend that needs nothing beside the speaker."""
    assert Resources().backend == NATIVE == "native"


@pytest.mark.rule("config-9.frr-k8s-only", "config-9.joined", "bgp-3.8.frr")
@pytest.mark.parametrize(("backend", "count"), [(NATIVE, 0), (FRR, 1), (FRR_K8S, 0)])
def test_prepending_is_not_for_frr(backend: str, count: int) -> None:
    """It is told beside the other checks of the backend; 0 is not prepending."""
    message = (
        "BGPAdvertisement/ad spec.asPathPrepend:"
        " asPathPrepend is only supported by the frr-k8s backend"
    )
    assert told(bgp(asPathPrepend=2), backend=backend) == [message] * count
    assert told(bgp(asPathPrepend=0), backend=backend) == []


FEATURES = [
    {"bfdProfile": "fast"},
    {"keepaliveTime": "1s", "holdTime": "3s"},
    {"vrf": "red"},
    {"connectTime": "7s"},
    {"enableGracefulRestart": True},
    {"disableMP": True},
    {"dualStackAddressFamily": True},
    {"peerASN": None, "dynamicASN": "internal"},
    {"peerAddress": None, "interface": "eth0"},
    {"localASN": 7},
    {"ebgpMultiHop": True},
    {"peerAddress": "2001:db8::1"},
]


@pytest.mark.rule("config-9.native.peers", "config-9.native.multi-hop", "config-9.native.bfd")
@pytest.mark.parametrize("spec", FEATURES, ids=lambda spec: next(reversed(spec)))
@pytest.mark.rule("api-3.1.local-asn", "api-3.1.disable-mp", "api-3.1.dual-stack")
@pytest.mark.rule("bgp-3.8.native")
def test_native_peers_have_every_feature(spec: dict[str, Any]) -> None:
    """What the original leaves to FRR is taken by the native backend too."""
    assert told(peer(**spec), bfd(), backend=NATIVE) == []
    assert told(peer(**spec), bfd(), backend=FRR) == []


@pytest.mark.rule("config-9.native.ipv6", "config-9.native.communities", "config-9.native.cases")
@pytest.mark.rule("bgp-3.8.native")
def test_native_advertises_everything() -> None:
    """IPv6, large communities and prepended paths are nothing that needs FRR."""
    ad = bgp(communities=["large:1:2:3", "1:2"], asPathPrepend=3)
    assert told(SIX, ad, community(x="large:1:2:3", y="1:2"), backend=NATIVE) == []


INTERNAL = "localASN is for peers of another autonomous system, and this one is internal"
TOO_LONG = "the password has 81 octets, and a kernel takes at most 80 for TCP MD5"
REFUSED = [
    (
        {"routerID": "2001:db8::1"},
        "spec.routerID: a BGP identifier is a number of four octets, and 2001:db8::1 is none or 0",
    ),
    (
        {"routerID": "0.0.0.0"},
        "spec.routerID: a BGP identifier is a number of four octets, and 0.0.0.0 is none or 0",
    ),
    (
        {"peerASN": 100, "localASN": 7},
        "spec.localASN: " + INTERNAL,
    ),
    (
        {"peerASN": None, "dynamicASN": "internal", "localASN": 7},
        "spec.localASN: " + INTERNAL,
    ),
    ({"localASN": 200}, "spec.localASN: localASN is the number of the peer itself"),
    (
        {"password": "x" * 81},
        "spec.password: the password has 81 octets, and a kernel takes at most 80 for TCP MD5",
    ),
    (
        {"passwordSecret": {"name": "s"}},
        "spec.passwordSecret.name: " + TOO_LONG,
    ),
]


@pytest.mark.rule("bgp-3.8.native")
@pytest.mark.parametrize(("spec", "message"), REFUSED)
def test_native_refuses_what_cannot_be_on_the_wire(spec: dict[str, Any], message: str) -> None:
    """The FRR backends are left to find that out themselves."""
    objects = peer(**spec), secret(password="y" * 81)
    assert told(*objects, backend=NATIVE) == [f"BGPPeer/p {message}"]
    assert told(*objects, backend=FRR) == []


@pytest.mark.parametrize("spec", [{"password": "x" * 80}, {"routerID": "1.2.3.4"}])
def test_native_takes_what_just_fits(spec: dict[str, Any]) -> None:
    """The bound itself is no mistake."""
    assert told(peer(**spec), backend=NATIVE) == []


@pytest.mark.rule("bgp-6.extras")
@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        (NATIVE, ["bgp extra info not supported in native mode"]),
        (FRR_K8S, ["extra info not supported in frr-k8s mode"]),
        (FRR, []),
    ],
)
def test_extras_are_for_frr_only(backend: str, expected: list[str]) -> None:
    """Text in FRR's language has no meaning elsewhere."""
    resources = Resources(backend=backend, bgp_extras="log file")
    problems = compile_config(resources)[1]
    assert [problem.message for problem in problems] == expected
    assert all(problem.object == "ConfigMap bgpextras" for problem in problems)


def annotated(**texts: str) -> Any:
    """Make a peer with annotations of ours and a password."""
    made = peer(password="swordfish")
    annotations = {f"mercurylb.io/{key.replace('_', '-')}": text for key, text in texts.items()}
    metadata = msgspec.structs.replace(made.metadata, annotations=annotations)
    return msgspec.structs.replace(made, metadata=metadata)


def test_annotations_are_features_of_the_native_backend() -> None:
    """GTSM and TCP-AO are told of by annotations, and FRR is not told."""
    (found,) = config_of(annotated(gtsm_hops="1", tcp_ao="true"), backend=NATIVE).peers
    assert (found.gtsm_hops, found.has_tcp_ao) == (1, True)
    for backend in (FRR, FRR_K8S):
        assert told(annotated(gtsm_hops="1", tcp_ao="true"), backend=backend) == [
            f"BGPPeer/p metadata.annotations[mercurylb.io/{name}]: mercurylb.io/{name} is only"
            " supported by the native backend"
            for name in ("gtsm-hops", "tcp-ao")
        ]


@pytest.mark.parametrize(
    "texts",
    [{"gtsm_hops": text} for text in ("0", "255", "x", "", "9999", "\u0661")]
    + [{"tcp_ao": text} for text in ("", "yes", "True")],
)
def test_annotations_that_mean_nothing_are_refused(texts: dict[str, str]) -> None:
    """A protection that was mistyped is not silently left out."""
    (problem,) = problems_of(annotated(**texts), backend=NATIVE)
    assert problem.code == "value-range"
    assert problem.field.startswith("metadata.annotations[mercurylb.io/")


def test_tcp_ao_needs_a_key() -> None:
    """The password is the key."""
    made = annotated(tcp_ao="true")
    bare = msgspec.structs.replace(made, spec=msgspec.structs.replace(made.spec, password=""))
    (problem,) = problems_of(bare, backend=NATIVE)
    assert problem.message == "mercurylb.io/tcp-ao needs a password, which is its key"


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
