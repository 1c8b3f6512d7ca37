"""The routes of many services: whatever changes, each peer is to have each prefix once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from mercurylb.config.community import Community
from mercurylb.plan.bgp_decision import BgpDecision, BgpReason, BgpRoute
from mercurylb.plan.bgp_routes import RouteTable

if TYPE_CHECKING:
    from mercurylb.bgp.route import RouteGroup

PREFIXES = [f"10.0.0.{number}/32" for number in range(4)]
communities = st.lists(
    st.builds(
        Community,
        st.tuples(st.integers(0, 3), st.just(0), st.just(0)),
        st.booleans(),
    ),
    max_size=3,
    unique=True,
).map(lambda found: tuple(sorted(found)))
routes = st.builds(
    BgpRoute,
    st.just("ad"),
    st.just("10.0.0.0"),
    st.sampled_from(PREFIXES),
    st.sets(st.sampled_from("pqr"), max_size=3).map(lambda found: tuple(sorted(found))),
    st.integers(0, 2),
    st.integers(0, 2),
    communities,
)


@st.composite
def decisions(draw: st.DrawFn) -> BgpDecision | None:
    """Make a decision, or that the service is gone."""
    found = tuple(draw(st.lists(routes, max_size=4)))
    if draw(st.booleans()) and not found:
        return None
    is_leaving = draw(st.integers(0, 3)) == 0
    reason = BgpReason.NODE_LABELED_EXCLUDE_BALANCERS if is_leaving else None
    return BgpDecision("", reason, routes=found, is_leaving=is_leaving)


histories = st.lists(st.tuples(st.sampled_from("abcd"), decisions()), max_size=12)


def flat(groups: tuple[RouteGroup, ...]) -> dict[tuple[str, str], tuple[object, ...]]:
    """Give the attributes of each peer and prefix, which must be there once."""
    found: dict[tuple[str, str], tuple[object, ...]] = {}
    for group in groups:
        assert list(group.prefixes) == sorted(set(group.prefixes))
        assert list(group.peers) == sorted(set(group.peers))
        assert group.prefixes
        assert group.peers
        for peer in group.peers:
            for prefix in group.prefixes:
                assert (peer, prefix) not in found
                found[peer, prefix] = (
                    group.local_pref,
                    group.as_path_prepend,
                    group.communities,
                    group.large_communities,
                    group.is_leaving,
                )
    return found


def naive(wanted: dict[str, BgpDecision]) -> dict[tuple[str, str], tuple[object, ...]]:
    """Say the same in the simplest words."""
    made: dict[tuple[str, str], list[tuple[BgpRoute, bool]]] = {}
    for decision in wanted.values():
        for route in decision.routes:
            for peer in route.peers:
                made.setdefault((peer, route.prefix), []).append((route, decision.is_leaving))
    found = {}
    for key, entries in made.items():
        staying = [route for route, is_leaving in entries if not is_leaving]
        counted = staying or [route for route, _ in entries]
        values = sorted({each for route in counted for each in route.communities})
        found[key] = (
            max(route.local_pref for route in counted),
            max(route.as_path_prepend for route in counted),
            tuple(each.parts[0] for each in values if not each.is_large),
            tuple(each.parts for each in values if each.is_large),
            not staying,
        )
    return found


@given(histories)
def test_the_table_is_what_the_decisions_come_to(
    history: list[tuple[str, BgpDecision | None]],
) -> None:
    """After any history, and with groups asked for at any moment."""
    table, wanted = RouteTable(), {}
    for service, decision in history:
        before = {name: table.peers_of(name) for name in "abcd"}
        revision, groups = table.revision, table.groups()
        touched = table.put(service, decision)
        if decision is None:
            wanted.pop(service, None)
        else:
            wanted[service] = decision
        assert flat(table.groups()) == naive(wanted)
        changed = {name for name in "abcd" if table.peers_of(name) != before[name]}
        assert changed <= touched
        assert (table.revision == revision) is (table.groups() == groups)


@given(histories)
def test_the_history_does_not_matter(history: list[tuple[str, BgpDecision | None]]) -> None:
    """The groups depend on the last decisions only, their order included."""
    table, last = RouteTable(), dict(history)
    for service, decision in history:
        table.put(service, decision)
    fresh = RouteTable()
    for service in sorted(last, reverse=True):
        fresh.put(service, last[service])
    assert table.groups() == fresh.groups()
