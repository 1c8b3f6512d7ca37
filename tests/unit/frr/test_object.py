"""FRRConfiguration: what of a peer and its advertisements stands where."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mercurylb.config.model import BFDProfile, Peer
from mercurylb.errors import ConfigError
from mercurylb.frr.object import configuration_name, frr_configuration, plain, retracted
from tests.unit.frr.cases import CASES, EVERYTHING, FULL_PROFILE, ad, intent, peer, timers

if TYPE_CHECKING:
    from mercurylb.frr.session import Intent


def spec_of(*sessions: Any, passes_secrets: bool = False, **settings: Any) -> dict[str, Any]:
    """Give the spec of an intent as JSON values."""
    return rendered(intent(*sessions, **settings), passes_secrets=passes_secrets)


def rendered(what: Intent, *, passes_secrets: bool = False) -> dict[str, Any]:
    """Give the spec as JSON values."""
    made = frr_configuration(what, node="n1", passes_secrets=passes_secrets)
    found: dict[str, Any] = json.loads(json.dumps(plain(made)))
    return found


def only_neighbor(*sessions: Any, **settings: Any) -> dict[str, Any]:
    """Give the one neighbour of the one instance."""
    (router,) = spec_of(*sessions, **settings)["bgp"]["routers"]
    (found,) = router["neighbors"]
    return dict(found)


PLAIN = {
    "asn": 64600,
    "address": "192.0.2.1",
    "port": 179,
    "passwordSecret": {},
    "toAdvertise": {"allowed": {}, "nextHop": {}},
    "toReceive": {"allowed": {}},
}


@pytest.mark.rule("bgp-frr-B1.object", "bgp-frr-B2.nothing")
def test_a_node_without_sessions_has_an_empty_object() -> None:
    """It selects the node by its host name, and has no text of its own."""
    assert configuration_name("n1") == "metallb-n1"
    selector = {"matchLabels": {"kubernetes.io/hostname": "n1"}}
    assert spec_of() == {"bgp": {}, "raw": {}, "nodeSelector": selector}


@pytest.mark.rule("bgp-frr-B2.omitted", "bgp-frr-B2.no-timers")
def test_what_is_not_given_is_not_said() -> None:
    """The port is always there, and a few parts are there although they are empty."""
    assert only_neighbor((peer(),)) == PLAIN
    assert only_neighbor((peer(port=0),)) == PLAIN | {"port": 0}


@pytest.mark.rule("bgp-frr-B2.neighbor")
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dynamic_asn": "external"}, {"dynamicASN": "external"}),
        ({"interface": "net0"}, {"interface": "net0"}),
        ({"password": "word"}, {"password": "word"}),
        ({"bfd_profile": "full"}, {"bfdProfile": "full"}),
        ({"ebgp_multi_hop": True}, {"ebgpMultiHop": True}),
        ({"dual_stack_address_family": True}, {"dualStackAddressFamily": True}),
        ({"disable_mp": True}, {"disableMP": True}),
        ({"enable_graceful_restart": True}, {"enableGracefulRestart": True}),
        ({"connect_time_ns": 10**10}, {"connectTime": "10s"}),
        (timers(90, 30), {"holdTime": "1m30s", "keepaliveTime": "30s"}),
        (timers(0, 0), {"holdTime": "0s", "keepaliveTime": "0s"}),
        ({"source_address": "192.0.2.10"}, {"sourceaddress": "192.0.2.10"}),
        ({"local_asn": 65410}, {"localASN": 65410}),
    ],
)
def test_each_field_of_a_peer_has_its_place(settings: dict[str, Any], said: dict[str, Any]) -> None:
    """One field more in the peer is one more in the object."""
    expected = dict(PLAIN)
    if "dynamic_asn" in settings:
        del expected["asn"]
    if "interface" in settings:
        del expected["address"]
    assert only_neighbor((peer(**settings),)) == expected | said


SECRET: dict[str, Any] = {"password_secret": "bgp", "password_secret_namespace": "there"}


@pytest.mark.rule("bgp-frr-B2.secret")
@pytest.mark.parametrize(
    ("passes_secrets", "settings", "said"),
    [
        (True, SECRET, {"passwordSecret": {"name": "bgp", "namespace": "there"}}),
        (True, {"password_secret": "bgp"}, {"passwordSecret": {"name": "bgp"}}),
        (
            True,
            {**SECRET, "password": "looked-up"},
            {"passwordSecret": {"name": "bgp", "namespace": "there"}},
        ),
        (False, {**SECRET, "password": "looked-up"}, {"password": "looked-up"}),
        (True, {"password": "word"}, {"password": "word"}),
        (False, {}, {}),
    ],
)
def test_a_secret_is_named_or_its_content_is_said(
    passes_secrets: bool,  # noqa: FBT001 (a column of the table)
    settings: dict[str, Any],
    said: dict[str, Any],
) -> None:
    """Never both: frr-k8s takes one or the other."""
    found = only_neighbor((peer(**settings),), passes_secrets=passes_secrets)
    assert found == PLAIN | said


@pytest.mark.rule("bgp-frr-B2.allowed", "bgp-frr-B2.local-pref", "bgp-frr-B2.community")
@pytest.mark.rule("bgp-frr-B2.prepend", "bgp-frr-B2.twice")
def test_advertisements_stand_under_what_they_have_in_common() -> None:
    """Prefixes are sorted and said once; attributes are sorted by their value."""
    told = only_neighbor(
        (
            peer(),
            ad("198.51.100.9/32", "1:2", pref=300),
            ad("198.51.100.10/32", "1:2", "large:1:2:3", pref=20),
            ad("198.51.100.10/32", "0:1", pref=300, prepend=2),
        )
    )["toAdvertise"]
    both = ["198.51.100.10/32", "198.51.100.9/32"]
    assert told == {
        "allowed": {"prefixes": both},
        "nextHop": {},
        "withLocalPref": [
            {"localPref": 20, "prefixes": both[:1]},
            {"localPref": 300, "prefixes": both},
        ],
        "withCommunity": [
            {"community": "0:1", "prefixes": both[:1]},
            {"community": "1:2", "prefixes": both},
            {"community": "large:1:2:3", "prefixes": both[:1]},
        ],
        "withAsPathPrepend": [{"asPathPrepend": 2, "prefixes": both[:1]}],
    }


@pytest.mark.rule("bgp-frr-B2.family")
@pytest.mark.parametrize(
    ("made", "told"),
    [
        (peer(), ["198.51.100.1/32"]),
        (peer("2001:db8::1"), ["2001:db8:1::1/128"]),
        (peer(dual_stack_address_family=True), ["198.51.100.1/32", "2001:db8:1::1/128"]),
        (peer(interface="net0"), ["198.51.100.1/32", "2001:db8:1::1/128"]),
    ],
)
def test_a_neighbour_is_told_of_its_families(made: Peer, told: list[str]) -> None:
    """And the instance has no more prefixes than its neighbours."""
    (router,) = spec_of((made, ad("2001:db8:1::1/128"), ad("198.51.100.1/32")))["bgp"]["routers"]
    assert router["prefixes"] == told
    assert router["neighbors"][0]["toAdvertise"]["allowed"]["prefixes"] == told


@pytest.mark.rule("bgp-frr-B2.routers")
@pytest.mark.parametrize(
    ("case", "shape"),
    [
        ("two_neighbors", [(64512, "192.0.2.10", None, ["192.0.2.1", "192.0.2.2"])]),
        (
            "two_instances",
            [
                (64512, "192.0.2.10", None, ["192.0.2.1"]),
                (64513, "192.0.2.11", None, ["192.0.2.2"]),
            ],
        ),
        (
            "same_address_in_a_vrf",
            [(64512, None, None, ["192.0.2.1"]), (64512, None, "red", ["192.0.2.1"])],
        ),
        ("text_order", [(64512, None, None, ["192.0.2.4", "192.0.2.3"])]),
    ],
)
def test_peers_are_grouped_into_instances(case: str, shape: list[tuple[Any, ...]]) -> None:
    """By number, router ID and VRF; both levels are sorted by their keys."""
    assert [
        (r["asn"], r.get("id"), r.get("vrf"), [n["address"] for n in r["neighbors"]])
        for r in rendered(CASES[case].intent)["bgp"]["routers"]
    ] == shape


@pytest.mark.rule("bgp-frr-B2.duplicate")
def test_a_session_that_is_wanted_twice_is_one_neighbour() -> None:
    """Its advertisements are united."""
    told = only_neighbor((peer(), ad("198.51.100.1/32")), (peer(), ad("198.51.100.2/32")))
    assert told["toAdvertise"]["allowed"]["prefixes"] == ["198.51.100.1/32", "198.51.100.2/32"]


@pytest.mark.rule("bgp-frr-B2.removed")
def test_an_advertisement_that_is_gone_is_nowhere() -> None:
    """Neither with the neighbour nor with the instance."""
    (router,) = spec_of((peer(),))["bgp"]["routers"]
    assert "prefixes" not in router


@pytest.mark.rule("bgp-frr-B2.profiles")
def test_profiles_are_sorted_and_say_what_they_are_given() -> None:
    """The two modes are always there."""
    empty = BFDProfile(name="empty")
    assert spec_of(profiles=[FULL_PROFILE, empty])["bgp"]["bfdProfiles"] == [
        {"name": "empty", "echoMode": False, "passiveMode": False},
        {
            "name": "full",
            "echoMode": True,
            "passiveMode": True,
            "receiveInterval": 60,
            "transmitInterval": 70,
            "detectMultiplier": 5,
            "echoInterval": 90,
            "minimumTtl": 60,
        },
    ]


@pytest.mark.rule("bgp-frr-B1.extras")
def test_extra_lines_are_refused() -> None:
    """Who needs some writes an FRRConfiguration for them."""
    with pytest.raises(ConfigError, match="extra info not supported in frr-k8s mode"):
        spec_of(extras="agentx")


@pytest.mark.rule("bgp-frr-B3.retracted")
def test_passwords_are_not_shown_to_people() -> None:
    """What is logged has none of them, and everything else."""
    made = frr_configuration(intent((peer(**EVERYTHING),)), node="n1", passes_secrets=False)
    shown = json.dumps(plain(retracted(made)))
    assert "open-sesame" in json.dumps(plain(made))
    assert shown == json.dumps(plain(made)).replace("open-sesame", "<retracted>")
