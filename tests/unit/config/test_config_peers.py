"""BGPPeers: what a valid one becomes and how it can be wrong (spec: config §6)."""

from __future__ import annotations

from typing import Any

import pytest

from mercurylb.config.compilation import compile_config
from mercurylb.config.model import Password, Peer
from mercurylb.config.resources import FRR_K8S, gather
from mercurylb.values.address import parse_address
from mercurylb.values.duration import SECOND_NS
from mercurylb.values.selector import EVERYTHING
from tests.unit.config.objects import (
    bfd,
    config_of,
    peer,
    problems_of,
    secret,
    selector,
    told,
)

TWO = [selector(a="b"), selector(a="b")]
BAD = [{"matchExpressions": [{"key": "a", "operator": "Is"}]}]


@pytest.mark.rule("config-6.fields", "config-6.port", "config-6.everywhere")
def test_a_peer_is_taken_over_as_written() -> None:
    """Every field reaches the compiled peer; absent ones are off."""
    written = peer(
        localASN=65001,
        sourceAddress="10.2.2.254",
        peerPort=1179,
        connectTime="10s",
        routerID="10.20.30.40",
        vrf="red",
        enableGracefulRestart=True,
        ebgpMultiHop=True,
        disableMP=True,
        dualStackAddressFamily=True,
        password="swordfish",
        holdTime="9s",
    )
    (compiled,) = config_of(written).peers
    assert compiled == Peer(
        name="p",
        my_asn=100,
        peer_asn=200,
        local_asn=65001,
        address=parse_address("10.2.2.2"),
        source_address=parse_address("10.2.2.254"),
        port=1179,
        hold_time_ns=9 * SECOND_NS,
        keepalive_time_ns=3 * SECOND_NS,
        connect_time_ns=10 * SECOND_NS,
        router_id=parse_address("10.20.30.40"),
        vrf="red",
        enable_graceful_restart=True,
        ebgp_multi_hop=True,
        disable_mp=True,
        dual_stack_address_family=True,
        password=Password(b"swordfish"),
    )
    (plain,) = config_of(peer()).peers
    assert plain == Peer("p", 100, 200, address=parse_address("10.2.2.2"))
    assert config_of(peer(peerPort=0)).peers[0].port == 0


@pytest.mark.rule("api-3.1.remote-as", "api-3.1.remote-end")
def test_an_unnumbered_dynamic_peer_is_a_peer() -> None:
    """An interface stands for an address, and a way to find the number for a number."""
    written = peer(peerAddress=None, interface="eth0", peerASN=None, dynamicASN="external")
    (compiled,) = config_of(written).peers
    assert (compiled.address, compiled.interface) == (None, "eth0")
    assert (compiled.peer_asn, compiled.dynamic_asn) == (0, "external")


MISTAKES = [
    pytest.param(
        {"myASN": None},
        "spec.myASN: missing local ASN",
        id="1",
        marks=pytest.mark.rule("config-6.row1"),
    ),
    pytest.param(
        {"peerASN": None},
        "spec.peerASN: missing peer ASN and dynamicASN",
        id="2",
        marks=pytest.mark.rule("config-6.row2"),
    ),
    pytest.param(
        {"dynamicASN": "internal"},
        "spec.dynamicASN: both peer ASN and dynamicASN specified",
        id="3",
        marks=pytest.mark.rule("config-6.row3"),
    ),
    pytest.param(
        {"peerASN": None, "dynamicASN": "some"},
        "spec.dynamicASN: invalid dynamicASN some",
        id="4",
        marks=pytest.mark.rule("config-6.row4"),
    ),
    pytest.param(
        {"peerASN": 100, "ebgpMultiHop": True},
        "spec.ebgpMultiHop: invalid ebgp-multihop parameter set for an ibgp peer",
        id="5",
        marks=pytest.mark.rule("config-6.row5"),
    ),
    pytest.param(
        {"peerAddress": None},
        "spec.peerAddress: peer has no Address or Interface specified",
        id="6",
        marks=pytest.mark.rule("config-6.row6"),
    ),
    pytest.param(
        {"interface": "eth0"},
        "spec.interface: peer has both Address and Interface specified",
        id="7",
        marks=pytest.mark.rule("config-6.row7"),
    ),
    pytest.param(
        {"holdTime": "2s"},
        'spec.holdTime: invalid BGPPeer timers: invalid hold time "2s": must be 0 or >=3s',
        id="8",
        marks=pytest.mark.rule("config-6.row8"),
    ),
    pytest.param(
        {"peerAddress": "fe80::1%eth0"},
        'spec.peerAddress: invalid BGPPeer address "fe80::1%eth0"',
        id="9",
        marks=pytest.mark.rule("config-6.row9"),
    ),
    pytest.param(
        {"routerID": "300.1.1.1"},
        'spec.routerID: invalid router ID "300.1.1.1"',
        id="10",
        marks=pytest.mark.rule("config-6.row10"),
    ),
    pytest.param(
        {"sourceAddress": "10.0.0.0/24"},
        'spec.sourceAddress: invalid source IP "10.0.0.0/24"',
        id="11",
        marks=pytest.mark.rule("config-6.row11"),
    ),
    pytest.param(
        {"nodeSelectors": TWO},
        'spec.nodeSelectors[1]: duplicate definition of nodeSelectors "a=b"',
        id="12, twice",
        marks=pytest.mark.rule("config-6.row12"),
    ),
    pytest.param(
        {"nodeSelectors": BAD},
        "spec.nodeSelectors[0]: failed to convert peer p node selector:"
        ' "Is" is not a valid label selector operator',
        id="12, invalid",
        marks=pytest.mark.rule("config-6.row12"),
    ),
    pytest.param(
        {"password": "x", "passwordSecret": {"name": "s"}},
        "spec.passwordSecret.name: can not have both password and secret ref set in peer config"
        ' "metallb"/"p"',
        id="13",
        marks=pytest.mark.rule("config-6.row13"),
    ),
    pytest.param(
        {"passwordSecret": {"name": "gone"}},
        'spec.passwordSecret.name: secret ref not found for peer config "metallb"/"p"',
        id="14",
        marks=pytest.mark.rule("config-6.row14"),
    ),
    pytest.param(
        {"passwordSecret": {"name": "opaque"}},
        'spec.passwordSecret.name: secret type mismatch on "metallb"/"opaque", type'
        ' "kubernetes.io/basic-auth" is expected',
        id="15",
        marks=pytest.mark.rule("config-6.row15"),
    ),
    pytest.param(
        {"passwordSecret": {"name": "empty"}},
        'spec.passwordSecret.name: password not specified in the secret "metallb"/"empty"',
        id="16",
        marks=pytest.mark.rule("config-6.row16"),
    ),
    pytest.param(
        {"bfdProfile": "gone"},
        "spec.bfdProfile: peer p referencing non existing bfd profile gone",
        id="17",
        marks=pytest.mark.rule("config-6.row17"),
    ),
    pytest.param(
        {"myASN": 1 << 32},
        "spec.myASN: invalid value 4294967296, must be in 0-4294967295 range",
        id="number out of range",
    ),
    pytest.param(
        {"connectTime": "soon"},
        'spec.connectTime: invalid BGPPeer timers: invalid duration "soon"',
        id="no duration",
    ),
]
SECRETS = (
    secret("s", password="x"),
    secret("opaque", kind="Opaque", password="x"),
    secret("empty", username="x"),
)


@pytest.mark.parametrize(("spec", "message"), MISTAKES)
@pytest.mark.rule(
    "api-3.1.my-asn",
    "api-3.1.remote-as",
    "api-3.1.remote-end",
    "api-3.1.addresses",
    "api-3.1.durations",
    "api-3.1.node-selectors",
    "api-3.1.password",
    "api-3.1.password-secret",
    "api-3.1.bfd-profile",
    "api-3.1.multi-hop",
)
def test_each_mistake_is_told(spec: dict[str, Any], message: str) -> None:
    """One mistake gives one problem, in MetalLB's words, at its field."""
    assert told(peer(**spec), *SECRETS) == [f"BGPPeer/p {message}"]


@pytest.mark.rule("config-6.row18")
def test_the_same_peer_twice() -> None:
    """Equal in every field and in name, which the API does not let happen."""
    assert told(peer(), peer(), backend="") == ["BGPPeer/p metadata.name: peer p already exists"]
    assert told(peer("a"), peer("b"), backend="") == []
    assert told(peer(), peer(peerPort=180), backend="") == []


@pytest.mark.rule(
    "config-2.all", "config-6.row1", "config-6.row6", "config-6.row8", "config-6.row10"
)
def test_all_mistakes_are_told_at_once() -> None:
    """MetalLB tells the first; an operator wants to correct them all."""
    wrong = peer(myASN=None, peerAddress=None, holdTime="1s", routerID="x", bfdProfile="gone")
    codes = [problem.code for problem in problems_of(wrong)]
    assert codes == [
        "peer-asn",
        "peer-address",
        "peer-timers",
        "peer-address",
        "bfd-profile-missing",
    ]


@pytest.mark.rule("config-10.transient", "config-6.row14", "config-6.row17")
@pytest.mark.rule("api-3.1.bfd-profile")
def test_what_heals_by_creating_something_is_marked() -> None:
    """Missing profiles and secrets are transient; nothing else of a peer is."""
    wrong = peer(bfdProfile="gone", passwordSecret={"name": "gone"}, routerID="x")
    found = {problem.code: problem.is_transient for problem in problems_of(wrong)}
    assert found == {"bfd-profile-missing": True, "secret-missing": True, "peer-address": False}


@pytest.mark.rule("config-6.row5")
@pytest.mark.rule("api-3.1.multi-hop")
def test_multi_hop_is_for_other_systems() -> None:
    """An iBGP peer by number is refused, one that says internal is not."""
    assert told(peer(peerASN=None, dynamicASN="internal", ebgpMultiHop=True)) == []
    assert told(peer(ebgpMultiHop=True)) == []


@pytest.mark.rule("config-6.row9")
@pytest.mark.parametrize("text", ["1.2.3.4", "2001:db8::1", "fe80::1", "::ffff:1.2.3.4"])
def test_any_plain_address_is_a_peer(text: str) -> None:
    """Both families are taken, link-local ones too."""
    assert told(peer(peerAddress=text)) == []


@pytest.mark.rule("config-6.secret")
@pytest.mark.rule("api-3.1.password-secret")
def test_a_secret_gives_the_password() -> None:
    """The value is decoded, and the reference is kept beside it."""
    (compiled,) = config_of(
        peer(passwordSecret={"name": "s", "namespace": "elsewhere"}), secret("s", password="pass")
    ).peers
    assert (compiled.password, compiled.password_secret) == (Password(b"pass"), "s")


@pytest.mark.rule("config-6.passthrough")
@pytest.mark.parametrize("name", ["gone", "opaque", "empty", "s"])
def test_secrets_may_be_left_to_somebody_else(name: str) -> None:
    """With the flag the reference is all that is kept, whatever the secret is like."""
    written = peer(passwordSecret={"name": name})
    resources = gather((written, *SECRETS), backend=FRR_K8S, passes_secrets=True)
    config, problems = compile_config(resources)
    assert problems == ()
    assert config is not None
    assert (config.peers[0].password, config.peers[0].password_secret) == (None, name)


@pytest.mark.rule("config-10.passwords")
def test_passwords_are_not_printed() -> None:
    """Neither the configuration nor a problem shows one."""
    config = config_of(
        peer("a", password="swordfish"),
        peer("b", peerAddress="10.2.2.3", passwordSecret={"name": "s"}),
        secret("s", password="swordfish"),
    )
    both = problems_of(peer(password="swordfish", passwordSecret={"name": "s"}, routerID="x"))
    resources = gather((peer(password="swordfish"), secret(password="swordfish")))
    for shown in (repr(config), str(config.peers), repr(both), str(both), repr(resources)):
        assert "swordfish" not in shown
        assert "c3dvcmRmaXNo" not in shown


def test_a_secret_that_is_not_base64_is_a_problem() -> None:
    """What the API server never stores does not raise either."""
    odd = secret("s", password="x")
    assert odd.data is not None
    odd.data["password"] = "%%%"
    (problem,) = problems_of(peer(passwordSecret={"name": "s"}), odd)
    assert (problem.code, problem.message) == (
        "secret-password",
        'password in the secret "metallb"/"s" is not base64',
    )


@pytest.mark.rule("config-6.row17")
@pytest.mark.rule("api-3.1.bfd-profile")
def test_a_known_profile_is_kept() -> None:
    """The name of the profile reaches the peer."""
    config = config_of(peer(bfdProfile="fast"), bfd("fast"))
    assert config.peers[0].bfd_profile == "fast"


@pytest.mark.rule("config-6.everywhere")
def test_node_selectors_are_compiled() -> None:
    """None means everywhere; an empty one matches every node."""
    assert config_of(peer(nodeSelectors=[{}])).peers[0].node_selectors == (EVERYTHING,)
    assert config_of(peer(nodeSelectors=[])).peers[0].node_selectors == ()


S = SECOND_NS
TIMERS = [
    pytest.param(None, None, (None, None), id="neither"),
    pytest.param("180s", None, (180 * S, 60 * S), id="hold 180s"),
    pytest.param("500ms", None, (S // 2, 166_666_666), id="hold 500ms"),
    pytest.param(None, "60s", (180 * S, 60 * S), id="keepalive 60s"),
    pytest.param(None, "0s", (0, 0), id="keepalive 0 only"),
    pytest.param("0s", "0s", (0, 0), id="both 0"),
    pytest.param("0", None, (0, 0), id="hold 0"),
    pytest.param("90s", "30s", (90 * S, 30 * S), id="both"),
    pytest.param("3s", "3s", (3 * S, 3 * S), id="equal"),
    pytest.param(None, "300ms", (900_000_000, 300_000_000), id="keepalive 300ms"),
]


@pytest.mark.rule("config-6.1.derive", "config-6.1.bounds", "config-6.1.cases")
@pytest.mark.parametrize(("hold", "keepalive", "expected"), TIMERS)
@pytest.mark.rule("api-3.1.durations")
def test_timers(hold: str | None, keepalive: str | None, expected: tuple[int, int]) -> None:
    """The time that is missing follows from the other one."""
    (compiled,) = config_of(peer(holdTime=hold, keepaliveTime=keepalive)).peers
    assert (compiled.hold_time_ns, compiled.keepalive_time_ns) == expected


WRONG_TIMERS = [
    pytest.param("30s", "90s", 'invalid keepaliveTime "1m30s", must be lower than', id="30s/90s"),
    pytest.param("1s", None, 'invalid hold time "1s": must be 0 or >=3s', id="hold 1s"),
    pytest.param("2.5s", None, 'invalid hold time "2.5s": must be 0 or >=3s', id="hold 2.5s"),
    pytest.param("0s", "1s", 'invalid keepaliveTime "1s", must be lower than', id="0s/1s"),
    pytest.param(None, "500ms", 'invalid hold time "1.5s": must be 0', id="keepalive 500ms"),
    pytest.param("-5s", None, 'invalid hold time "-5s": must be 0 or >=3s', id="negative"),
    pytest.param("-500ms", None, 'invalid keepaliveTime "-166.666666ms"', id="just negative"),
    pytest.param(None, "2000000h", "must be lower than holdTime", id="beyond all durations"),
]


@pytest.mark.rule("config-6.1.bounds", "config-6.1.cases")
@pytest.mark.parametrize(("hold", "keepalive", "message"), WRONG_TIMERS)
@pytest.mark.rule("api-3.1.durations")
def test_wrong_timers(hold: str | None, keepalive: str | None, message: str) -> None:
    """RFC 4271 §4.2: a hold time of 0 or at least 3 s; the keepalive time is not above it."""
    (problem,) = problems_of(peer(holdTime=hold, keepaliveTime=keepalive))
    assert message in problem.message
    assert problem.code == "peer-timers"
