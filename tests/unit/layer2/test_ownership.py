"""Whose a service is."""

from __future__ import annotations

import pytest

from mercurylb.layer2.ability import Unable, unable_for
from mercurylb.layer2.effect import ChangeFilter, SendFrame
from mercurylb.layer2.ownership import Ownership
from mercurylb.layer2.responder import Responder
from tests.unit.layer2.scene import V4, Service, interface, node

ALL = Unable(is_all=True)
THIS, THAT = unable_for(["default/web"]), unable_for(["default/other"])
BOTH = {"me", "other"}
FAR = ("other", "me")
NEAR = ("me", "other")


@pytest.mark.rule("layer2-10.no-membership")
@pytest.mark.parametrize(
    ("ranking", "live", "is_owner"),
    [
        (NEAR, BOTH, True),
        (FAR, BOTH, False),
        (FAR, {"me"}, True),
        (("other",), {"me"}, False),
        ((), {"me"}, False),
        (("me",), {"other"}, False),
        (("me",), set(), False),
        (("gone", "me"), None, False),
        (("me", "gone"), None, True),
    ],
)
def test_owner_is_the_first_live_node(
    ranking: tuple[str, ...],
    live: set[str] | None,
    is_owner: bool,  # noqa: FBT001 (a parameter of the table)
) -> None:
    """A service belongs to the first live node of its ranking, of all nodes if nobody counts."""
    ownership = Ownership("me")
    ownership.on_interfaces(node(interface(1)), 0.0)
    ownership.on_desired([Service("default/web", (V4,), ranking)])
    ownership.on_live(live, {})
    assert bool(ownership.owned()) == is_owner


@pytest.mark.parametrize(
    ("ranking", "others", "is_running", "is_owner"),
    [
        pytest.param(FAR, {"other": ALL}, True, True, id="the first is unable for all"),
        pytest.param(FAR, {"other": THIS}, True, True, id="the first is unable for this one"),
        pytest.param(FAR, {"other": THAT}, True, False, id="the first is unable for another one"),
        pytest.param(FAR, {"gone": ALL}, True, False, id="somebody else is unable"),
        pytest.param(NEAR, {}, False, False, id="we are unable"),
        pytest.param(NEAR, {"other": ALL}, False, True, id="nobody is able and we are first"),
        pytest.param(FAR, {"other": ALL}, False, False, id="nobody is able and we are second"),
        pytest.param(NEAR, {"me": ALL}, True, True, id="what others say of us does not count"),
    ],
)
def test_owner_is_the_first_live_and_able_node(
    ranking: tuple[str, ...],
    others: dict[str, Unable],
    is_running: bool,  # noqa: FBT001 (a parameter of the table)
    is_owner: bool,  # noqa: FBT001
) -> None:
    """A node that cannot carry a service is passed over while another one can."""
    ownership = Ownership("me")
    ownership.on_interfaces(node(interface(1, is_running=is_running)), 0.0)
    ownership.on_desired([Service("default/web", (V4,), ranking)])
    ownership.on_live(BOTH, others)
    assert bool(ownership.owned()) == is_owner


def test_two_nodes_agree_whatever_each_cannot_carry() -> None:
    """Once they know of each other's inability, exactly one node owns each service."""
    services = [
        Service("default/a", (V4,), NEAR, ("eth0",)),
        Service("default/b", (V4,), NEAR, ("eth1",)),
        Service("default/c", (V4,), FAR, ("eth1", "eth0")),
        Service("default/d", (V4,), FAR, ("eth9",)),
    ]
    me, other = Ownership("me"), Ownership("other")
    me.on_interfaces(node(interface(1), interface(2, is_running=False)), 0.0)
    other.on_interfaces(node(interface(1, is_running=False), interface(2)), 0.0)
    for ownership in (me, other):
        ownership.on_desired(services)
    me.on_live(BOTH, {"other": other.unable})
    other.on_live(BOTH, {"me": me.unable})
    assert sorted(me.owned()) == ["default/a"]
    assert sorted(other.owned()) == ["default/b", "default/c", "default/d"]


@pytest.mark.rule("layer2-10.partition")
def test_each_side_of_a_partition_has_an_owner() -> None:
    """While two nodes do not hear each other both own, and one alone does afterwards."""
    sides = {name: Ownership(name) for name in NEAR}
    for ownership in sides.values():
        ownership.on_desired([Service("default/web", (V4,), NEAR)])

    def owners(*live: set[str]) -> list[str]:
        for ownership, seen in zip(sides.values(), live, strict=True):
            ownership.on_live(seen, {})
        return [name for name, ownership in sides.items() if ownership.owned()]

    assert owners(BOTH, BOTH) == ["me"]
    assert owners({"me"}, {"other"}) == ["me", "other"]
    assert owners(BOTH, BOTH) == ["me"]


@pytest.mark.rule("layer2-10.death", "layer2-8.first")
def test_successor_announces_when_the_owner_dies() -> None:
    """The next one opens its filter, sends a round at once, and goes on for a burst."""
    responder = Responder("me")
    responder.on_interfaces(node(interface(1)), 0.0)
    responder.on_desired([Service("default/web", (V4,), FAR)], 0.0)
    assert responder.on_live(BOTH, 0.0) == []
    effects = responder.on_live({"me"}, 1.0)
    assert [type(effect) for effect in effects] == [ChangeFilter, SendFrame, SendFrame]
    assert responder.next_deadline() == pytest.approx(2.1)


def test_inability_tells_only_of_services_that_could_be_ours() -> None:
    """What other nodes are ranked for needs no room in the note; without carrier it is all."""
    ownership = Ownership("me")
    assert ownership.unable == Unable()
    ownership.on_interfaces(node(interface(1)), 0.0)
    ownership.on_desired(
        [Service("default/web", (V4,), NEAR, ("eth5",)), Service("b", (V4,), ("other",), ("eth5",))]
    )
    assert ownership.unable == THIS
    ownership.on_interfaces(node(interface(1, is_running=False)), 1.0)
    assert ownership.unable == ALL


@pytest.mark.rule("layer2-4.2", "layer2-4.2.exists")
@pytest.mark.parametrize(
    ("names", "skipped"), [(("eth0", "eth7"), ()), (("eth0",), (V4,))], ids=["down", "unknown"]
)
def test_address_without_any_of_its_interfaces_is_skipped(
    names: tuple[str, ...], skipped: tuple[str, ...]
) -> None:
    """Where nobody is able the first one owns, and says which addresses no interface is for."""
    ownership = Ownership("me")
    ownership.on_interfaces(node(interface(1), names=names), 0.0)
    ownership.on_desired([Service("default/web", (V4,), NEAR, ("eth7",))])
    ownership.on_live(BOTH, {"other": ALL})
    ((_, carried),) = ownership.owned().values()
    assert carried.skipped == skipped


@pytest.mark.parametrize(
    ("ranking", "precedes"), [(NEAR, True), (FAR, False), (("me",), True), (("x",), True)]
)
def test_precedence_is_the_ranking_s(
    ranking: tuple[str, ...],
    precedes: bool,  # noqa: FBT001 (a parameter of the table)
) -> None:
    """Who is not in a ranking stands behind everybody."""
    assert Ownership("me").precedes(Service("a", (V4,), ranking), "other") == precedes


def test_lost_carrier_withdraws_at_once_and_comes_back_announcing() -> None:
    """The filter closes without a word; after a steady second the node announces again."""
    responder = Responder("me")
    responder.on_interfaces(node(interface(1)), 0.0)
    responder.on_live(BOTH, 0.0)
    responder.on_desired([Service("default/web", (V4,), NEAR)], 0.0)
    responder.on_deadline(6.0)
    lost = responder.on_interfaces(node(interface(1, is_running=False)), 10.0)
    assert lost == [ChangeFilter(1, (), ())]
    assert (responder.owned, responder.unable) == ((), ALL)
    assert not any(
        isinstance(e, SendFrame) for e in responder.on_interfaces(node(interface(1)), 11.0)
    )
    assert responder.next_deadline() == 12.0
    responder.validate()
    back = responder.on_deadline(12.0)
    assert [type(effect) for effect in back] == [ChangeFilter, SendFrame, SendFrame]
    assert responder.unable == Unable()
    responder.validate()
