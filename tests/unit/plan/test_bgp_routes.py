"""All services' routes together: once per peer and prefix, and cheap to change (spec: bgp §5)."""

from __future__ import annotations

from typing import Any

import pytest

from mercurylb.bgp.route import RouteGroup
from mercurylb.config.community import parse_community
from mercurylb.plan.bgp_decision import BgpDecision, BgpReason, BgpRoute
from mercurylb.plan.bgp_routes import UNION_MAX, RouteTable


def route(prefix: str, *peers: str, communities: str = "", **more: Any) -> BgpRoute:
    """Make a route to peers; communities are separated by spaces."""
    values = tuple(sorted(parse_community(text) for text in communities.split()))
    return BgpRoute("ad", prefix.partition("/")[0], prefix, peers, communities=values, **more)


def decision(*routes: BgpRoute, is_leaving: bool = False) -> BgpDecision:
    """Make a decision that announces routes, or takes them back gently."""
    reason = BgpReason.NODE_LABELED_EXCLUDE_BALANCERS if is_leaving else None
    return BgpDecision("", reason, routes=routes, is_leaving=is_leaving)


def table(**services: BgpDecision) -> RouteTable:
    """Make a table of what was decided about services."""
    made = RouteTable()
    for name, each in services.items():
        made.put(name, each)
    return made


A, B = "10.0.0.1/32", "10.0.0.2/32"


def test_prefixes_with_equal_attributes_are_one_group() -> None:
    """So that one message may carry them all."""
    made = table(a=decision(route(B, "p", "q")), b=decision(route(A, "p", "q")))
    assert made.groups() == (RouteGroup(("p", "q"), (A, B)),)


def test_a_peer_with_other_attributes_is_in_another_group() -> None:
    """Two advertisements for two peers keep their preferences apart."""
    made = table(a=decision(route(A, "p", local_pref=1), route(A, "q", local_pref=2)))
    assert made.groups() == (
        RouteGroup(("p",), (A,), local_pref=1),
        RouteGroup(("q",), (A,), local_pref=2),
    )


@pytest.mark.rule("bgp-5.union")
def test_a_prefix_made_twice_is_sent_once_with_all_communities() -> None:
    """Standard and large ones are kept apart and ascending."""
    made = table(
        a=decision(route(A, "p", communities="0:2 large:9:1:1")),
        b=decision(route(A, "p", communities="0:1 0:2 large:1:2:3")),
    )
    (group,) = made.groups()
    assert group.communities == (1, 2)
    assert group.large_communities == ((1, 2, 3), (9, 1, 1))


@pytest.mark.rule("bgp-5.preference")
def test_of_several_preferences_the_highest_is_sent() -> None:
    """And the longest prepending, whatever the order in which they came."""
    one = decision(route(A, "p", local_pref=5, as_path_prepend=1))
    other = decision(route(A, "p", local_pref=3, as_path_prepend=4))
    for made in (table(a=one, b=other), table(a=other, b=one)):
        assert made.groups() == (RouteGroup(("p",), (A,), local_pref=5, as_path_prepend=4),)


def test_a_union_of_communities_has_a_bound() -> None:
    """The lowest ones are sent; that many do not come together by accident."""
    services = {
        f"s{number}": decision(route(A, "p", communities=f"{number // 9}:{number}"))
        for number in range(UNION_MAX + 3)
    }
    (group,) = table(**services).groups()
    assert len(group.communities) == UNION_MAX


@pytest.mark.rule("bgp-5.last", "bgp-9.table")
def test_a_route_stays_until_its_last_maker_is_gone() -> None:
    """Services that share an address do not take it from one another."""
    made = table(a=decision(route(A, "p")), b=decision(route(A, "p")))
    made.put("a", None)
    assert made.groups() == (RouteGroup(("p",), (A,)),)
    made.put("b", None)
    assert made.groups() == ()


@pytest.mark.rule("bgp-5.publish")
def test_a_route_without_peers_is_none() -> None:
    """Nobody is told, and nothing is left behind."""
    made = table(a=decision(route(A)))
    assert made.groups() == ()
    assert made.peers_of("a") == ()


@pytest.mark.rule("bgp-7.changed-only", "bgp-7.table")
def test_put_tells_whom_it_concerns() -> None:
    """That is the service, and those that share a prefix whose peers change."""
    made = RouteTable()
    assert made.put("a", decision(route(A, "p"))) == {"a"}
    assert made.put("a", decision(route(A, "p"))) == set()
    assert made.put("b", decision(route(A, "p"))) == {"b"}
    assert made.put("b", decision(route(A, "q"))) == {"a", "b"}
    assert made.put("c", decision(route(B, "p"))) == {"c"}
    assert made.put("b", None) == {"a", "b"}
    assert made.put("gone", None) == set()


@pytest.mark.rule("bgp-7.prefix", "bgp-7.status")
def test_services_that_share_a_prefix_have_the_peers_of_both() -> None:
    """Peers are found by prefix, sorted, and only those that are told of it."""
    made = table(a=decision(route(A, "q")), b=decision(route(A, "p"), route(B, "r")))
    assert made.peers_of("a") == ("p", "q")
    assert made.peers_of("b") == ("p", "q", "r")


@pytest.mark.rule("bgp-4.drain")
def test_leaving_routes_are_told_apart() -> None:
    """They are in a group of their own, and the service counts as told to nobody."""
    made = table(a=decision(route(A, "p")), b=decision(route(B, "p"), is_leaving=True))
    assert made.groups() == (
        RouteGroup(("p",), (A,)),
        RouteGroup(("p",), (B,), is_leaving=True),
    )
    assert (made.peers_of("a"), made.peers_of("b")) == (("p",), ())


def test_who_stays_keeps_the_route() -> None:
    """A leaving maker adds nothing to what another one announces."""
    made = table(
        a=decision(route(A, "p", local_pref=9, communities="0:1"), is_leaving=True),
        b=decision(route(A, "p", local_pref=1)),
    )
    assert made.groups() == (RouteGroup(("p",), (A,), local_pref=1),)
    assert made.peers_of("a") == ()
    made.put("a", decision(route(A, "q"), is_leaving=True))
    assert made.peers_of("b") == ("p",)


def test_thousands_of_changes_at_once_leave_the_order_intact() -> None:
    """Few changes are put into the sorted list, many sort it anew; both give the same."""
    prefixes = [f"10.0.{number >> 8}.{number & 255}/32" for number in range(500)]
    made = RouteTable()
    for number, prefix in enumerate(prefixes):
        made.put(f"s{number}", decision(route(prefix, "p")))
    assert made.groups() == (RouteGroup(("p",), tuple(sorted(prefixes))),)
    for number in range(400):
        made.put(f"s{number}", None)
    assert made.groups() == (RouteGroup(("p",), tuple(sorted(prefixes[400:]))),)
    made.put("s450", None)
    made.put("s451", None)
    made.put("s451", decision(route(prefixes[451], "p")))
    left = sorted({*prefixes[400:]} - {prefixes[450]})
    assert made.groups() == (RouteGroup(("p",), tuple(left)),)
