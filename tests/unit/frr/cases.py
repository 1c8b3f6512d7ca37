"""What each golden frr.conf is made of: a name, an intent, and a level."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from mercurylb.config.community import parse_community
from mercurylb.config.model import BFDProfile, Password, Peer
from mercurylb.frr.session import Advertisement, Intent, Session
from mercurylb.values.address import parse_address

SECOND = 1_000_000_000
ROUTER = "192.0.2.1"
ROUTER_6 = "2001:db8::1"
MY_ASN, PEER_ASN = 64512, 64600


def peer(target: str = ROUTER, **settings: Any) -> Peer:
    """Make a BGPPeer of 64512 with 64600; addresses may be written as text."""
    fields: dict[str, Any] = {"my_asn": MY_ASN, "peer_asn": PEER_ASN, "name": "router", **settings}
    if fields.get("dynamic_asn"):
        fields["peer_asn"] = 0
    if "interface" not in fields:
        fields["address"] = parse_address(target)
    for field in ("source_address", "router_id"):
        if field in fields:
            fields[field] = parse_address(fields[field])
    if "password" in fields:
        fields["password"] = Password(fields["password"].encode())
    return Peer(**fields)


def timers(hold: float, keepalive: float) -> dict[str, int]:
    """Give both timers, in seconds, as a peer has them."""
    return {
        "hold_time_ns": int(hold * SECOND),
        "keepalive_time_ns": int(keepalive * SECOND),
    }


def ad(prefix: str, *communities: str, pref: int = 0, prepend: int = 0) -> Advertisement:
    """Make an advertisement; communities as a user writes them."""
    values = tuple(parse_community(text) for text in communities)
    return Advertisement(prefix, local_pref=pref, as_path_prepend=prepend, communities=values)


def intent(*sessions: tuple[Any, ...], profiles: Any = (), extras: str = "") -> Intent:
    """Make an intent out of tuples of a peer and its advertisements."""
    made = tuple(Session(item[0], tuple(item[1:])) for item in sessions)
    return Intent(made, tuple(profiles), extras)


class Case(NamedTuple):
    """One golden file."""

    intent: Intent
    level: str = "informational"


EVERYTHING: Final[dict[str, Any]] = {
    "port": 1179,
    "password": "open-sesame",
    "source_address": "192.0.2.10",
    "router_id": "192.0.2.10",
    **timers(3, 1),
}
FULL_PROFILE = BFDProfile(
    name="full",
    receive_interval_ms=60,
    transmit_interval_ms=70,
    detect_multiplier=5,
    echo_interval_ms=90,
    minimum_ttl=60,
    has_echo=True,
    is_passive=True,
)
COMMUNITIES = ("64512:100", "64512:200")
SECOND_ROUTER = "192.0.2.2"

CASES: Final[dict[str, Case]] = {
    "nothing": Case(intent()),
    "debugging": Case(intent(), "debugging"),
    "external_multi_hop": Case(intent((peer(**EVERYTHING, ebgp_multi_hop=True),))),
    "external_one_hop": Case(intent((peer(**EVERYTHING),))),
    "external_one_hop_ipv6": Case(
        intent((peer(ROUTER_6, **{**EVERYTHING, "source_address": "2001:db8::10"}),))
    ),
    "external_multi_hop_ipv6": Case(intent((peer(ROUTER_6, ebgp_multi_hop=True),))),
    "internal": Case(intent((peer(peer_asn=MY_ASN),))),
    "internal_ipv6": Case(intent((peer(ROUTER_6, peer_asn=MY_ASN),))),
    "vrf": Case(intent((peer(vrf="red", **EVERYTHING), ad("198.51.100.1/32", pref=300)))),
    "no_timers": Case(intent((peer(),))),
    "zero_timers": Case(intent((peer(**timers(0, 0)),))),
    "broken_timers": Case(intent((peer(**timers(1, 2)),))),
    "fractions_of_seconds": Case(
        intent((peer(**timers(10.9, 3.6), connect_time_ns=int(2.5 * SECOND)),))
    ),
    "dynamic_internal": Case(intent((peer(dynamic_asn="internal"),))),
    "dynamic_external": Case(intent((peer(dynamic_asn="external"),))),
    "dynamic_internal_ipv6": Case(intent((peer(ROUTER_6, dynamic_asn="internal"),))),
    "dynamic_external_ipv6": Case(intent((peer(ROUTER_6, dynamic_asn="external"),))),
    "graceful_restart": Case(intent((peer(enable_graceful_restart=True),))),
    "local_asn": Case(intent((peer(local_asn=65410),))),
    "unnumbered": Case(
        intent(
            (
                peer(interface="net0", dynamic_asn="external", port=179, router_id="192.0.2.10"),
                ad("198.51.100.1/32"),
                ad("2001:db8:1::1/128"),
            )
        )
    ),
    "dual_family_ipv6": Case(
        intent(
            (
                peer(ROUTER_6, dual_stack_address_family=True),
                ad("198.51.100.1/32"),
                ad("2001:db8:1::1/128"),
            )
        )
    ),
    "dual_family_ipv4": Case(
        intent((peer(dual_stack_address_family=True, disable_mp=True), ad("2001:db8:1::1/128")))
    ),
    "disabled_mp": Case(
        intent((peer(disable_mp=True), ad("198.51.100.1/32"), ad("2001:db8:1::1/128")))
    ),
    "one_advertisement": Case(
        intent((peer(**EVERYTHING), ad("198.51.100.0/24", *COMMUNITIES, pref=300)))
    ),
    "large_communities": Case(
        intent(
            (
                peer(),
                ad("198.51.100.0/24", "64512:100", "large:2:3:4", "large:1:2:3", pref=300),
            )
        )
    ),
    "many_with_one_community": Case(
        intent((peer(), *(ad(f"198.51.100.{last}/32", "64512:100") for last in range(10))))
    ),
    "two_preferences": Case(
        intent((peer(), ad("198.51.100.1/32", pref=200), ad("198.51.100.2/32", pref=1000)))
    ),
    "both_families": Case(
        intent(
            (
                peer(dual_stack_address_family=True),
                ad("198.51.100.1/32", "64512:100", pref=5),
                ad("2001:db8:1::1/128", "64512:100", pref=5),
            )
        )
    ),
    "same_prefix_twice": Case(
        intent((peer(), ad("198.51.100.1/32", "64512:100"), ad("198.51.100.1/32", "64512:200")))
    ),
    "two_neighbors": Case(
        intent(
            (peer(**EVERYTHING), ad("198.51.100.1/32", "64512:100", pref=2)),
            (peer(SECOND_ROUTER, name="other", **EVERYTHING), ad("198.51.100.2/32")),
        )
    ),
    "two_instances": Case(
        intent(
            (peer(router_id="192.0.2.10"),),
            (peer(SECOND_ROUTER, name="other", my_asn=64513, router_id="192.0.2.11"),),
        )
    ),
    "same_address_in_a_vrf": Case(
        intent((peer(), ad("198.51.100.1/32")), (peer(name="other", vrf="red"),))
    ),
    "same_neighbor_twice": Case(
        intent(
            (peer(source_address="192.0.2.10"), ad("198.51.100.1/32")),
            (peer(name="other", source_address="192.0.2.11"), ad("198.51.100.2/32")),
        )
    ),
    "text_order": Case(
        intent(
            (peer("192.0.2.3", name="third", peer_asn=200),),
            (peer("192.0.2.4", name="fourth", peer_asn=1000), ad("198.51.100.9/32")),
            (peer("192.0.2.4", name="fourth", peer_asn=1000), ad("198.51.100.10/32")),
        )
    ),
    "bfd": Case(
        intent(
            (peer(bfd_profile="full"),),
            profiles=[FULL_PROFILE, BFDProfile(name="empty")],
        )
    ),
    "profiles_alone": Case(intent(profiles=[BFDProfile(name="one", echo_interval_ms=10)])),
    "extras": Case(
        intent(
            (peer(),),
            profiles=[BFDProfile(name="one")],
            extras="# hello\nip prefix-list extra seq 5 permit any\n",
        )
    ),
}
