"""frr.conf: each case against a file that shows every line of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from mercurylb.config.model import BFDProfile
from mercurylb.errors import ConfigError
from mercurylb.frr.configuration import frr_conf, frr_level
from mercurylb.frr.session import COMMUNITIES_MAX, Intent
from tests.unit.frr.cases import CASES, ad, intent, peer

GOLDEN = Path(__file__).with_name("golden")


def rendered(what: Intent) -> list[str]:
    """Render at the usual level; give the lines without indentation."""
    text = frr_conf(what, level="informational", hostname="node-1")
    return [line.strip() for line in text.splitlines()]


@pytest.mark.rule("bgp-frr-A2.order", "bgp-frr-A3.order", "bgp-frr-A3.families")
@pytest.mark.rule(
    "bgp-frr-A3.networks", "bgp-frr-A4.inbound", "bgp-frr-A4.names", "bgp-frr-A4.last"
)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("nothing", marks=pytest.mark.rule("bgp-frr-A7.closed")),
        pytest.param("debugging", marks=pytest.mark.rule("bgp-frr-A2.debugging")),
        pytest.param("external_multi_hop", marks=pytest.mark.rule("bgp-frr-A7.multi-hop")),
        pytest.param("external_one_hop", marks=pytest.mark.rule("bgp-frr-A7.one-hop")),
        pytest.param("external_one_hop_ipv6", marks=pytest.mark.rule("bgp-frr-A7.one-hop-ipv6")),
        "external_multi_hop_ipv6",
        "internal",
        pytest.param("internal_ipv6", marks=pytest.mark.rule("bgp-frr-A7.internal-ipv6")),
        pytest.param("vrf", marks=pytest.mark.rule("bgp-frr-A7.vrf")),
        pytest.param("no_timers", marks=pytest.mark.rule("bgp-frr-A7.no-timers")),
        pytest.param("zero_timers", marks=pytest.mark.rule("bgp-frr-A7.zero-timers")),
        pytest.param("broken_timers", marks=pytest.mark.rule("bgp-frr-A7.broken-timers")),
        pytest.param("fractions_of_seconds", marks=pytest.mark.rule("bgp-frr-A3.seconds")),
        pytest.param("dynamic_internal", marks=pytest.mark.rule("bgp-frr-A7.dynamic")),
        pytest.param("dynamic_external", marks=pytest.mark.rule("bgp-frr-A7.dynamic")),
        pytest.param("dynamic_internal_ipv6", marks=pytest.mark.rule("bgp-frr-A3.k")),
        pytest.param("dynamic_external_ipv6", marks=pytest.mark.rule("bgp-frr-A3.k")),
        pytest.param("graceful_restart", marks=pytest.mark.rule("bgp-frr-A7.graceful-restart")),
        pytest.param("local_asn", marks=pytest.mark.rule("bgp-frr-A7.local-asn")),
        pytest.param("unnumbered", marks=pytest.mark.rule("bgp-frr-A7.unnumbered")),
        pytest.param("dual_family_ipv6", marks=pytest.mark.rule("bgp-frr-A7.dual-family")),
        "dual_family_ipv4",
        pytest.param("disabled_mp", marks=pytest.mark.rule("bgp-frr-A1.disable-mp")),
        pytest.param("one_advertisement", marks=pytest.mark.rule("bgp-frr-A7.advertisement")),
        pytest.param("large_communities", marks=pytest.mark.rule("bgp-frr-A7.large")),
        pytest.param("many_with_one_community", marks=pytest.mark.rule("bgp-frr-A7.many")),
        pytest.param("two_preferences", marks=pytest.mark.rule("bgp-frr-A4.name-order")),
        "both_families",
        pytest.param("same_prefix_twice", marks=pytest.mark.rule("bgp-frr-A7.twice")),
        pytest.param("two_neighbors", marks=pytest.mark.rule("bgp-frr-A7.two-peers")),
        pytest.param("two_instances", marks=pytest.mark.rule("bgp-frr-A7.two-instances")),
        pytest.param("same_address_in_a_vrf", marks=pytest.mark.rule("bgp-frr-A7.same-address")),
        pytest.param("same_neighbor_twice", marks=pytest.mark.rule("bgp-frr-A1.merged")),
        pytest.param("text_order", marks=pytest.mark.rule("bgp-frr-A1.text-order")),
        pytest.param("bfd", marks=pytest.mark.rule("bgp-frr-A6.order", "bgp-frr-A7.profiles")),
        pytest.param("profiles_alone", marks=pytest.mark.rule("bgp-frr-A6.unreferenced")),
        pytest.param("extras", marks=pytest.mark.rule("bgp-frr-A7.extras")),
    ],
)
def test_golden(name: str) -> None:
    """The file has these lines, in this order."""
    case = CASES[name]
    text = frr_conf(case.intent, level=case.level, hostname="node-1")
    assert text == (GOLDEN / f"{name}.conf").read_text()


def test_there_is_a_golden_file_for_each_case() -> None:
    """No case and no file is left over."""
    assert {path.stem for path in GOLDEN.iterdir()} == CASES.keys()
    marked = test_golden.pytestmark[0].args[1]
    assert {getattr(item, "values", (item,))[0] for item in marked} == CASES.keys()


@pytest.mark.rule("bgp-frr-A1.deterministic")
def test_the_order_of_what_is_wanted_does_not_matter() -> None:
    """The same sessions, advertisements and profiles in any order give the same text."""
    dice = random.Random(7)
    profiles = [BFDProfile(name=name) for name in "abc"]
    sessions = [
        (peer(f"192.0.2.{n}", name=f"p{n}", vrf=vrf), *(ad(f"198.51.100.{i}/32") for i in range(4)))
        for n in range(3)
        for vrf in ("", "red")
    ]
    texts = set()
    for _ in range(20):
        dice.shuffle(sessions)
        dice.shuffle(profiles)
        mixed = [(item[0], *dice.sample(item[1:], len(item) - 1)) for item in sessions]
        what = intent(*mixed, profiles=profiles)
        texts.add(frr_conf(what, level="informational", hostname="node-1"))
    assert len(texts) == 1


@pytest.mark.rule("bgp-frr-A1.merged")
def test_of_two_sessions_with_one_neighbour_the_first_by_key_counts() -> None:
    """Whichever comes first in what is wanted."""
    case = CASES["same_neighbor_twice"].intent
    mixed = Intent(case.sessions[::-1])
    assert mixed != case
    assert rendered(mixed) == rendered(case)


@pytest.mark.rule("bgp-frr-A2.levels")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("all", "debugging"),
        ("debug", "debugging"),
        ("info", "informational"),
        ("warn", "warnings"),
        ("error", "error"),
        ("none", "emergencies"),
        ("loud", "informational"),
        ("", "informational"),
    ],
)
def test_levels_have_the_names_that_frr_gives_them(ours: str, theirs: str) -> None:
    """What is not known counts as the usual level."""
    assert frr_level(ours) == theirs


@pytest.mark.rule("bgp-frr-A2.debugging")
@pytest.mark.parametrize("level", ["informational", "debug", "Debugging", "emergencies"])
def test_only_one_level_switches_debugging_on(level: str) -> None:
    """Any other word only stands in the first line."""
    lines = frr_conf(intent(), level=level, hostname="node-1").splitlines()
    assert lines[0] == f"log stdout {level}"
    assert not any(line.startswith("debug") for line in lines)


@pytest.mark.rule("bgp-frr-A7.removed")
def test_an_advertisement_that_is_gone_leaves_nothing_behind() -> None:
    """Without one the neighbour may be told nothing at all."""
    lines = rendered(intent((peer(),)))
    assert "ip prefix-list 192.0.2.1-allowed-ipv4 seq 1 deny any" in lines
    assert "ipv6 prefix-list 192.0.2.1-allowed-ipv6 seq 1 deny any" in lines
    assert not any(line.startswith("network") for line in lines)


@pytest.mark.rule("bgp-frr-A7.profiles-gone")
def test_profiles_that_are_gone_leave_no_block_behind() -> None:
    """The last profile takes the whole block along."""
    assert "bfd" in rendered(intent(profiles=[BFDProfile(name="one")]))
    assert "bfd" not in rendered(intent())


@pytest.mark.rule("bgp-frr-A1.family", "bgp-frr-A5.selected")
def test_prefixes_of_a_family_that_no_neighbour_has_are_nowhere() -> None:
    """They are neither in the neighbour's lists nor in the instance's networks."""
    text = "\n".join(rendered(intent((peer(), ad("2001:db8:1::1/128", "1:2", pref=7)))))
    assert "2001:db8:1::1" not in text
    assert "localpref" not in text
    assert "community" not in text


@pytest.mark.rule("bgp-frr-A4.zero")
def test_a_preference_of_zero_is_none() -> None:
    """No list is made for it."""
    assert not any(
        "localpref" in line for line in rendered(intent((peer(), ad("198.51.100.1/32"))))
    )


@pytest.mark.rule("bgp-frr-A4.no-prepending")
def test_prepending_has_no_line() -> None:
    """The configuration refuses it for this backend."""
    with_it = intent((peer(), ad("198.51.100.1/32", prepend=3)))
    assert rendered(with_it) == rendered(intent((peer(), ad("198.51.100.1/32"))))


@pytest.mark.rule("bgp-frr-A3.k")
@pytest.mark.parametrize(
    ("settings", "is_there"),
    [
        ({}, True),
        ({"ebgp_multi_hop": True}, False),
        ({"peer_asn": 64512}, False),
        ({"dynamic_asn": "external"}, True),
        ({"dynamic_asn": "internal"}, False),
        ({"dual_stack_address_family": True}, False),
    ],
)
def test_the_connected_check_is_off_for_ipv6_neighbours_one_hop_away(
    settings: dict[str, object],
    is_there: bool,  # noqa: FBT001 (a column of the table)
) -> None:
    """Only external ones, and only those with IPv6 alone."""
    line = "neighbor 2001:db8::1 disable-connected-check"
    assert (line in rendered(intent((peer("2001:db8::1", **settings),)))) is is_there
    assert not any("disable" in line for line in rendered(intent((peer(**settings),))))


@pytest.mark.rule("bgp-frr-A3.conditions")
def test_a_setting_that_is_not_given_has_no_line() -> None:
    """Port 0, no timers, no password, no source: the neighbour has its number and nothing else."""
    lines = rendered(intent((peer(port=0),)))
    assert [line for line in lines if line.startswith("neighbor")] == [
        "neighbor 192.0.2.1 remote-as 64600",
        "neighbor 192.0.2.1 activate",
        "neighbor 192.0.2.1 route-map 192.0.2.1-in in",
        "neighbor 192.0.2.1 route-map 192.0.2.1-out out",
    ]


@pytest.mark.rule("bgp-frr-A3.conditions")
@pytest.mark.parametrize("timer", ["hold_time_ns", "keepalive_time_ns"])
def test_one_timer_alone_is_not_said(timer: str) -> None:
    """FRR takes both or none."""
    assert not any("timers" in line for line in rendered(intent((peer(**{timer: 10**10}),))))


@pytest.mark.rule("bgp-frr-A4.numbers")
def test_numbers_go_on_where_two_neighbours_have_one_name() -> None:
    """A name that comes twice in a file is one route map and one list for FRR."""
    twins = intent(
        (peer(router_id="192.0.2.8"), ad("198.51.100.1/32", "1:2")),
        (peer(name="twin", router_id="192.0.2.9"), ad("198.51.100.2/32", "1:2")),
    )
    lines = rendered(twins)
    entries = [line for line in lines if line.startswith("route-map 192.0.2.1-out")]
    assert entries == [f"route-map 192.0.2.1-out permit {n}" for n in range(1, 7)]
    name = "192.0.2.1-1:2-ip-community-prefixes"
    assert [line for line in lines if line.startswith(f"ip prefix-list {name}")] == [
        f"ip prefix-list {name} seq 1 permit 198.51.100.1/32",
        f"ip prefix-list {name} seq 2 permit 198.51.100.2/32",
    ]


@pytest.mark.rule("bgp-frr-A6.values")
def test_a_number_of_zero_is_a_number() -> None:
    """Only what is not given is left out of a profile."""
    lines = rendered(intent(profiles=[BFDProfile(name="one", minimum_ttl=0)]))
    assert "minimum-ttl 0" in lines


def test_what_cannot_be_written_is_an_error() -> None:
    """Nothing is written over it in silence."""
    crowd = [f"1:{n}" for n in range(COMMUNITIES_MAX + 1)]
    for what in (intent((peer(vrf="a b"),)), intent((peer(), ad("198.51.100.1/32", *crowd)))):
        with pytest.raises(ConfigError):
            rendered(what)
