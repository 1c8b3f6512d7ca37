"""What the brain wants of BGP, step by step (spec: bgp §3.1, §5, §6, §9)."""

from __future__ import annotations

from typing import Any

import pytest

from mercurylb.api.bfd_profile import BFDProfile
from mercurylb.api.config_map import ConfigMap
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.password_secret import PasswordSecret
from mercurylb.api.service import Service
from mercurylb.bfd.settings import BfdSettings
from mercurylb.bgp.route import RouteGroup
from mercurylb.bgp.settings import Key
from mercurylb.config.resources import FRR, FRR_K8S
from mercurylb.kube.reflector import Deleted
from mercurylb.plan.bgp_decision import BgpReason
from mercurylb.speaker.stores import Identity
from tests.unit.speaker.bgp_scene import BgpCluster
from tests.unit.speaker.test_view import ADDRESS

EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
IP = f"{ADDRESS}/32"


@pytest.fixture
def cluster() -> BgpCluster:
    """Give a cluster with one peer, which is told of the one service."""
    made = BgpCluster()
    made.peer("p1")
    assert made.step()
    assert made.sent == {"p1": [IP]}
    return made


@pytest.mark.rule("bgp-9.table", "bgp-4.before")
def test_a_service_before_the_configuration_is_not_announced() -> None:
    """Without the own node there is no configuration, and nothing is wanted."""
    made = BgpCluster()
    made.peer("p1")
    made.stores.nodes.apply(Deleted("iris1"))
    made.step()
    assert made.view.desired.bgp_routes == ()


@pytest.mark.rule("bgp-9.table", "bgp-5.publish")
def test_a_peer_without_services_has_nothing() -> None:
    """The session is there, and is told of nothing."""
    made = BgpCluster()
    made.delete("services", "web")
    made.peer("p1")
    made.step()
    assert made.sent == {"p1": []}


SCENARIO: list[tuple[str, dict[str, Any], list[str]]] = [
    ("no load balancer", {"type": "ClusterIP"}, []),
    ("endpoint elsewhere", {"endpoints": "iris2"}, [IP]),
    ("local, elsewhere", {"endpoints": "iris2", "externalTrafficPolicy": "Local"}, []),
    ("local, here too", {"endpoints": "iris2 iris1", "externalTrafficPolicy": "Local"}, [IP]),
    ("no endpoints", {"endpoints": ""}, []),
    ("again", {}, [IP]),
]


@pytest.mark.rule("bgp-9.table", "bgp-9.end-to-end")
def test_the_life_of_a_service(cluster: BgpCluster) -> None:
    """Each change of service and endpoints gives the routes that the original's tests expect."""
    for story, spec, expected in SCENARIO:
        cluster.lb("web", ADDRESS, **spec)
        cluster.step()
        assert cluster.sent == {"p1": expected}, story


@pytest.mark.rule("bgp-9.table")
def test_a_shared_address_stays_until_the_last_service_is_gone(cluster: BgpCluster) -> None:
    """The prefix is wanted once."""
    cluster.lb("other", ADDRESS)
    assert not cluster.step()
    assert cluster.sent == {"p1": [IP]}
    cluster.delete("services", "web")
    cluster.step()
    assert cluster.sent == {"p1": [IP]}
    cluster.delete("services", "other")
    assert cluster.step()
    assert cluster.sent == {"p1": []}


@pytest.mark.rule("bgp-6.removed", "bgp-6.unchanged", "bgp-9.table")
def test_peers_come_and_go(cluster: BgpCluster) -> None:
    """The one that stays keeps its settings, so its session and its routes."""
    (first,) = cluster.view.desired.bgp_peers
    cluster.peer("p2", "192.0.2.251")
    assert cluster.step()
    assert cluster.sent == {"p1": [IP], "p2": [IP]}
    assert cluster.view.desired.bgp_peers[0] == first
    cluster.delete("bgp_peers", "p2")
    assert cluster.step()
    assert cluster.sent == {"p1": [IP]}
    assert cluster.view.desired.bgp_peers == (first,)


SELECTED: list[tuple[list[dict[str, Any]] | None, dict[str, str], bool]] = [
    ([{"matchLabels": {"foo": "bar"}}], {}, False),
    ([{"matchLabels": {"foo": "bar"}}], {"foo": "bar"}, True),
    ([{"matchLabels": {"foo": "bar"}}], {"foo": "baz"}, False),
    (
        [{"matchExpressions": [{"key": "foo", "operator": "In", "values": ["bar", "baz"]}]}],
        {"foo": "baz"},
        True,
    ),
    ([{"matchLabels": {"foo": "bar"}}, {"matchLabels": {"a": "b"}}], {"a": "b"}, True),
    ([], {}, True),
    (None, {}, True),
]


@pytest.mark.rule("bgp-3.1.own", "bgp-3.1.labels", "bgp-6.selectors", "bgp-9.table")
@pytest.mark.parametrize(("selectors", "labels", "is_wanted"), SELECTED)
def test_peers_follow_the_labels_of_the_node(
    selectors: Any, labels: dict[str, str], *, is_wanted: bool
) -> None:
    """A peer has a session if any of its selectors matches, as the labels are now."""
    made = BgpCluster()
    made.peer("p1", nodeSelectors=selectors)
    made.step()
    made.node("iris1", **labels)
    made.step()
    assert made.sent == ({"p1": [IP]} if is_wanted else {})
    made.node("iris1", foo="nothing")
    made.step()
    assert made.sent == ({} if selectors else {"p1": [IP]})


@pytest.mark.rule("bgp-3.1.own")
def test_what_is_for_other_nodes_is_not_even_checked(cluster: BgpCluster) -> None:
    """A broken peer elsewhere is not this speaker's problem."""
    elsewhere = [{"matchLabels": {"kubernetes.io/hostname": "iris2"}}]
    cluster.peer("bad", "nonsense", nodeSelectors=elsewhere)
    assert cluster.view.step(()).error == ""


@pytest.mark.rule("bgp-3.1.labels", "bgp-3.1.stale")
def test_labels_choose_peers_under_a_refused_configuration_too(cluster: BgpCluster) -> None:
    """The last good one stays, and a node that is not selected any more is left at once."""
    cluster.peer("p1", nodeSelectors=[{"matchLabels": {"foo": "bar"}}])
    cluster.node("iris1", foo="bar")
    cluster.step()
    assert cluster.sent == {"p1": [IP]}
    cluster.peer("p2", "nonsense")
    assert "invalid BGPPeer address" in cluster.view.step(()).error
    assert cluster.sent == {"p1": [IP]}
    cluster.node("iris1")
    cluster.step()
    assert cluster.sent == {}


@pytest.mark.rule("bgp-9.end-to-end", "bgp-5.attributes")
def test_changes_of_an_advertisement_leave_the_sessions_alone(cluster: BgpCluster) -> None:
    """Attributes and prefixes change, settings of peers do not."""
    before = cluster.view.desired.bgp_peers
    cluster.advertisement("all", localPref=7, communities=["1:2", "large:1:2:3"], asPathPrepend=2)
    assert cluster.step()
    assert cluster.view.desired.bgp_routes == (
        RouteGroup(("p1",), (IP,), 7, 2, (65538,), ((1, 2, 3),)),
    )
    cluster.advertisement("all", aggregationLength=24)
    assert cluster.step()
    assert cluster.sent == {"p1": ["10.20.30.0/24"]}
    assert cluster.view.desired.bgp_peers == before


@pytest.mark.rule("bgp-5.peers", "bgp-9.table")
def test_an_advertisement_for_one_peer(cluster: BgpCluster) -> None:
    """The other one is told of nothing."""
    cluster.peer("p2", "192.0.2.251")
    cluster.advertisement("all", peers=["p2"])
    cluster.step()
    assert cluster.sent == {"p1": [], "p2": [IP]}


@pytest.mark.rule("bgp-4.drain", "bgp-4.5", "bgp-9.table")
def test_an_excluded_node_takes_its_routes_back_gently(cluster: BgpCluster) -> None:
    """They stay as leaving ones as long as the label does, and come back with it gone."""
    cluster.node("iris1", **{EXCLUDE: ""})
    assert cluster.step()
    assert cluster.view.desired.bgp_routes == (RouteGroup(("p1",), (IP,), is_leaving=True),)
    reason = cluster.view.bgp_decisions["default/web"].reason
    assert reason is BgpReason.NODE_LABELED_EXCLUDE_BALANCERS
    cluster.node("iris1")
    assert cluster.step()
    assert cluster.sent == {"p1": [IP]}


@pytest.mark.rule("bgp-4.5", "bgp-9.table")
def test_exclusion_may_be_ignored() -> None:
    """With the flag the label means nothing."""
    made = BgpCluster(Identity(node="iris1", ignore_exclude_lb=True))
    made.peer("p1")
    made.node("iris1", **{EXCLUDE: ""})
    made.step()
    assert made.sent == {"p1": [IP]}


@pytest.mark.rule("bgp-6.in-use")
def test_a_pool_taken_from_under_a_route_waits(cluster: BgpCluster) -> None:
    """The configuration comes into force once the controller has moved the address."""
    cluster.put(cluster.stores.pools, IPAddressPool, "pool", {"addresses": ["10.99.0.0/24"]})
    step = cluster.view.step(("default/web",))
    assert step.is_in_use
    assert cluster.sent == {"p1": [IP]}
    cluster.lb("web", "10.99.0.1")
    assert cluster.view.step(("default/web",)).is_loaded
    assert cluster.sent == {"p1": ["10.99.0.1/32"]}


@pytest.mark.rule("bgp-6.reprocess")
def test_another_configuration_looks_at_every_service(cluster: BgpCluster) -> None:
    """So does a node whose labels change."""
    cluster.lb("other", "10.20.30.2")
    cluster.step()
    cluster.advertisement("all", localPref=1)
    assert cluster.view.step(()).planned == {"default/web", "default/other"}
    cluster.node("iris2", **{EXCLUDE: ""})
    assert cluster.view.step(()).planned == {"default/web", "default/other"}


@pytest.mark.rule("bgp-6.password", "bgp-3.1.stale")
def test_passwords_rotate_and_missing_secrets_keep_the_last_good_state(
    cluster: BgpCluster,
) -> None:
    """One peer whose secret is missing holds the new configuration back, not what is there."""

    def secret(text: str) -> None:
        cluster.put(
            cluster.stores.secrets,
            PasswordSecret,
            "key",
            {},
            type="kubernetes.io/basic-auth",
            data={"password": text},
        )

    cluster.peer("p2", "192.0.2.251", passwordSecret={"name": "key"})
    assert "BGPPeer default/p2: spec.passwordSecret.name" in cluster.view.step(()).error
    assert cluster.sent == {"p1": [IP]}
    secret("c3dvcmRmaXNo")
    assert cluster.view.step(()).is_loaded
    assert cluster.sent == {"p1": [IP], "p2": [IP]}
    first, second = cluster.view.desired.bgp_peers
    assert second.settings.password == Key(b"swordfish")
    secret("ZmlzaA==")
    cluster.step()
    assert cluster.view.desired.bgp_peers[0] == first
    assert cluster.view.desired.bgp_peers[1].settings.password == Key(b"fish")
    cluster.delete("secrets", "key")
    assert "secret ref not found" in cluster.view.step(()).error
    assert cluster.view.desired.bgp_peers[1].settings.password == Key(b"fish")


@pytest.mark.rule("bgp-6.profiles")
def test_a_profile_that_changes_or_goes_reaches_the_peers(cluster: BgpCluster) -> None:
    """Its settings are the peer's; the last profile that goes takes its BFD with it."""
    cluster.put(cluster.stores.bfd_profiles, BFDProfile, "fast", {"receiveInterval": 50})
    cluster.peer("p1", bfdProfile="fast")
    cluster.step()
    assert cluster.view.desired.bgp_peers[0].bfd == BfdSettings(receive_interval_ms=50)
    cluster.put(cluster.stores.bfd_profiles, BFDProfile, "fast", {"receiveInterval": 60})
    assert cluster.step()
    assert cluster.view.desired.bgp_peers[0].bfd == BfdSettings(receive_interval_ms=60)
    cluster.peer("p1")
    cluster.delete("bfd_profiles", "fast")
    assert cluster.step()
    assert cluster.view.desired.bgp_peers[0].bfd is None
    assert cluster.view.wanted_bgp.profiles == ()


@pytest.mark.rule("bgp-1.outside")
@pytest.mark.parametrize("backend", [FRR, FRR_K8S])
def test_a_backend_outside_has_the_decisions_and_the_announcer_has_not(backend: str) -> None:
    """What is wanted is the same; who carries it out is another one."""
    made = BgpCluster(Identity(node="iris1", backend=backend))
    made.peer("p1")
    step = made.view.step(())
    assert step.has_bgp_changed
    assert (made.view.desired.bgp_peers, made.view.desired.bgp_routes) == ((), ())
    wanted = made.view.wanted_bgp
    assert [peer.name for peer in wanted.peers] == ["p1"]
    assert wanted.routes == (RouteGroup(("p1",), (IP,)),)
    made.lb("other", "10.20.30.2")
    revision = made.view.desired.revision
    step = made.view.step(())
    assert (step.has_bgp_changed, step.has_changed) == (True, False)
    assert made.view.desired.revision == revision
    assert not made.view.step(()).has_bgp_changed


@pytest.mark.rule("bgp-1.outside")
def test_a_backend_is_told_of_profiles_and_extras() -> None:
    """They matter to nobody else, and are a change like any other."""
    made = BgpCluster(Identity(node="iris1", backend=FRR))
    assert made.view.step(()).has_bgp_changed
    made.put(made.stores.bfd_profiles, BFDProfile, "fast", {})
    assert made.view.step(()).has_bgp_changed
    made.put(made.stores.config_maps, ConfigMap, "bgpextras", {}, data={"extras": "log file"})
    assert made.view.step(()).has_bgp_changed
    wanted = made.view.wanted_bgp
    assert ([each.name for each in wanted.profiles], wanted.extras) == (["fast"], "log file")


@pytest.mark.rule("bgp-4.protocols")
def test_a_conflict_is_told_once_and_stops_nothing_else(cluster: BgpCluster) -> None:
    """The refusal is part of the step in which it begins; another service is announced."""
    cluster.lb("other", "10.20.30.2")
    selectors = [{"matchLabels": {"app": "web"}}]
    cluster.advertisement("a", localPref=1, serviceSelectors=selectors)
    cluster.step()
    cluster.put(
        cluster.stores.services,
        Service,
        "web",
        {"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"]},
        labels={"app": "web"},
        status={"loadBalancer": {"ingress": [{"ip": ADDRESS}]}},
    )
    step = cluster.view.step(())
    assert [(each.service, each.reason) for each in step.refusals] == [
        ("default/web", BgpReason.CONFLICTING_ADVERTISEMENTS)
    ]
    assert cluster.sent == {"p1": ["10.20.30.2/32"]}
    cluster.node("iris2", more="labels")
    assert cluster.view.step(()).refusals == ()


def test_a_quiet_step_changes_nothing(cluster: BgpCluster) -> None:
    """Looking again sends nothing to the announcer."""
    cluster.node("iris1", heartbeat=1)
    step = cluster.view.step(())
    assert (step.has_changed, step.has_bgp_changed, step.published) == (False, False, frozenset())
