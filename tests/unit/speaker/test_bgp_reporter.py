"""What is announced by BGP is told once: events, objects, series, log lines (spec: bgp §7, §8)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.service import Service
from mercurylb.kube.operation import Verb
from mercurylb.kube.reflector import Applied, Deleted
from mercurylb.telemetry import logs as log
from tests.unit.speaker.bgp_scene import OWNER, Scene
from tests.unit.speaker.test_view import ADDRESS

if TYPE_CHECKING:
    from mercurylb.api.service_bgp_status import ServiceBGPStatus

ANNOUNCING = 'Normal nodeAssigned web: announcing from node "iris1" with protocol "bgp"'
EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"


@pytest.fixture
def scene() -> Scene:
    """Give a node with two peers and the one service."""
    made = Scene()
    made.cluster.peer("p1")
    made.cluster.peer("p2", "192.0.2.251")
    return made


def settle(scene: Scene) -> None:
    """Let the objects of the one service be there."""
    scene.step()
    scene.arrive("bgp-web", "web", ["p1", "p2"])
    scene.step()
    scene.written()
    scene.events.clear()


@pytest.mark.rule("bgp-8.event")
def test_the_event_comes_with_each_transition(scene: Scene) -> None:
    """Not with a repeated look, and not with a withdrawal; again with other addresses."""
    scene.step()
    assert scene.events == [ANNOUNCING]
    scene.cluster.lb("web", ADDRESS, endpoints="iris1 iris2")
    scene.step()
    assert scene.events == [ANNOUNCING]
    scene.cluster.lb("web", "10.20.30.9")
    scene.step()
    assert scene.events == [ANNOUNCING] * 2
    scene.cluster.lb("web", "10.20.30.9", endpoints="")
    scene.step()
    assert scene.events == [ANNOUNCING] * 2
    scene.cluster.lb("web", "10.20.30.9")
    scene.step()
    assert scene.events == [ANNOUNCING] * 3


def test_addresses_in_another_order_are_the_same_ones(scene: Scene) -> None:
    """Nothing is withdrawn or announced anew."""
    scene.cluster.lb("web", ADDRESS, "10.20.30.9")
    scene.step()
    scene.cluster.lb("web", "10.20.30.9", ADDRESS)
    scene.step()
    assert scene.events == [ANNOUNCING]


@pytest.mark.rule("bgp-8.announced")
def test_there_is_a_series_per_address(scene: Scene) -> None:
    """It goes with the announcement."""
    scene.cluster.lb("web", ADDRESS, "10.20.30.9")
    scene.step()
    labels = 'service="default/web",protocol="bgp",node="iris1",ip='
    assert scene.metric("metallb_speaker_announced") == [
        f'metallb_speaker_announced{{{labels}"10.20.30.1"}} 1',
        f'metallb_speaker_announced{{{labels}"10.20.30.9"}} 1',
    ]
    scene.cluster.delete("services", "web")
    scene.step()
    assert scene.metric("metallb_speaker_announced") == []


@pytest.mark.rule("bgp-8.log", "bgp-4.changed")
def test_the_log_tells_the_reason(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """Of each withdrawal; and which peers come and go."""
    log.configure(log.Level.INFO)
    scene.step()
    scene.cluster.lb("web", "10.20.30.9")
    scene.step()
    scene.cluster.lb("web", "10.20.30.9", endpoints="")
    scene.step()
    scene.cluster.lb("web", "10.20.30.9")
    scene.step()
    scene.cluster.delete("bgp_peers", "p2")
    scene.cluster.delete("services", "web")
    scene.step()
    told: list[Any] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [
        (each["event"], each.get("peer") or each["ips"], each.get("reason", "")) for each in told
    ] == [
        ("speaker.peer_added", "p1", ""),
        ("speaker.peer_added", "p2", ""),
        ("speaker.service_announced", [ADDRESS], ""),
        ("speaker.service_withdrawn", [ADDRESS], "loadBalancerIPChanged"),
        ("speaker.service_announced", ["10.20.30.9"], ""),
        ("speaker.service_withdrawn", ["10.20.30.9"], "noEndpoints"),
        ("speaker.service_announced", ["10.20.30.9"], ""),
        ("speaker.peer_removed", "p2", ""),
        ("speaker.service_withdrawn", ["10.20.30.9"], "serviceDeleted"),
    ]


@pytest.mark.rule("bgp-8.log")
def test_a_node_that_may_announce_nothing_is_told_once(
    scene: Scene, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not once for each service."""
    log.configure(log.Level.WARN)
    scene.cluster.lb("other", "10.20.30.2")
    scene.cluster.node("iris1", **{EXCLUDE: ""})
    scene.step()
    scene.cluster.lb("third", "10.20.30.3")
    scene.step()
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert told["event"] == "speaker.node_announces_nothing"
    assert told["reason"] == "nodeLabeledExcludeBalancers"


# --- ServiceBGPStatus ----------------------------------------------------------------------------


@pytest.mark.rule("bgp-7.object", "bgp-7.two-steps", "bgp-7.status", "bgp-7.session-state")
def test_an_object_is_created_and_then_filled_in(scene: Scene) -> None:
    """In the speaker's namespace, with labels and owner; the status follows the echo."""
    scene.step()
    ((_, creation),) = scene.writes
    assert (creation.verb, creation.namespace) == (Verb.CREATE, "metallb")
    assert msgspec.json.decode(creation.body) == {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "ServiceBGPStatus",
        "metadata": {
            "generateName": "bgp-",
            "namespace": "metallb",
            "labels": {
                "metallb.io/node": "iris1",
                "metallb.io/service-name": "web",
                "metallb.io/service-namespace": "default",
            },
            "ownerReferences": [msgspec.to_builtins(OWNER)],
        },
    }
    scene.written()
    scene.arrive("bgp-a", "web")
    scene.step()
    ((_, patch),) = scene.writes
    assert (patch.name, patch.subresource) == ("bgp-a", "status")
    assert msgspec.json.decode(patch.body) == {
        "status": {
            "node": "iris1",
            "serviceName": "web",
            "serviceNamespace": "default",
            "peers": ["p1", "p2"],
        }
    }
    scene.written()
    scene.arrive("bgp-a", "web", ["p1", "p2"])
    scene.step()
    assert scene.written() == []


def test_what_is_created_is_not_created_twice(scene: Scene) -> None:
    """Between the answer and its echo there is an object that nobody sees."""
    scene.step()
    assert scene.written() == [("CREATE", "default/web")]
    scene.cluster.advertisement("all", peers=["p1"])
    scene.step()
    assert scene.written() == []
    scene.arrive("bgp-web", "web")
    scene.step()
    assert scene.written() == [("bgp-web", ["p1"])]


@pytest.mark.rule("bgp-7.table", "bgp-7.changed-only", "bgp-7.empty", "bgp-7.prefix")
def test_the_table_of_two_services_and_two_peers(scene: Scene) -> None:
    """Each step writes what changes and nothing else."""
    settle(scene)
    scene.cluster.lb("s2", "10.20.30.2")
    scene.step()
    assert scene.written() == [("CREATE", "default/s2")]
    scene.arrive("bgp-s2", "s2", ["p1", "p2"])
    scene.step()
    assert scene.written() == []
    for name, ad in (("a", {"peers": ["p1"]}), ("b", {})):
        service = {"a": "web", "b": "s2"}[name]
        scene.cluster.put(
            scene.cluster.stores.pools,
            IPAddressPool,
            service,
            {"addresses": ["10.20.30.1/32" if name == "a" else "10.20.30.2/32"]},
        )
        scene.cluster.advertisement(name, ipAddressPools=[service], **ad)
    scene.cluster.delete("pools", "pool")
    scene.cluster.delete("bgp_advertisements", "all")
    scene.step()
    assert scene.written() == [("bgp-web", ["p1"])]
    scene.arrive("bgp-web", "web", ["p1"])
    scene.cluster.delete("services", "web")
    scene.step()
    assert scene.written() == [("DELETE", "bgp-web")]
    scene.statuses.apply(Deleted("metallb/bgp-web"))
    scene.cluster.delete("bgp_peers", "p1")
    scene.step()
    assert scene.written() == [("bgp-s2", ["p2"])]


@pytest.mark.rule("bgp-7.prefix")
def test_services_with_one_address_list_the_peers_of_both(scene: Scene) -> None:
    """Whoever is told of the prefix is told of both."""
    settle(scene)
    selected = {"serviceSelectors": [{"matchLabels": {"app": "other"}}]}
    scene.cluster.advertisement("all", peers=["p1"])
    scene.cluster.advertisement("more", peers=["p2"], **selected)
    scene.step()
    assert scene.written() == [("bgp-web", ["p1"])]
    scene.arrive("bgp-web", "web", ["p1"])
    scene.step()
    scene.cluster.put(
        scene.cluster.stores.services,
        Service,
        "other",
        {"type": "LoadBalancer"},
        labels={"app": "other"},
        status={"loadBalancer": {"ingress": [{"ip": ADDRESS}]}},
    )
    scene.cluster.endpoints("other", "iris1")
    scene.step()
    assert scene.written() == [("CREATE", "default/other"), ("bgp-web", ["p1", "p2"])]


@pytest.mark.rule("bgp-7.unknown", "bgp-7.empty")
def test_peers_that_are_not_there_are_not_listed(scene: Scene) -> None:
    """An advertisement for nobody leaves no object."""
    settle(scene)
    scene.cluster.advertisement("all", peers=["p2", "gone"])
    scene.step()
    assert scene.written() == [("bgp-web", ["p2"])]
    scene.cluster.advertisement("all", peers=["gone"])
    scene.step()
    assert scene.written() == [("DELETE", "bgp-web")]


REPAIRS: list[tuple[str, dict[str, Any], list[tuple[str, Any]]]] = [
    ("other peers", {"peers": ["p1"]}, [("bgp-web", ["p1", "p2"])]),
    ("no status", {"peers": None}, [("bgp-web", ["p1", "p2"])]),
    ("no owner", {"peers": ["p1", "p2"], "owner": False}, [("MERGE", "bgp-web")]),
    ("nothing", {"peers": ["p1", "p2"]}, []),
    (
        "no label",
        {"peers": ["p1", "p2"], "drop": "metallb.io/service-name"},
        [("CREATE", "default/web")],
    ),
]


@pytest.mark.rule("bgp-7.repair", "bgp-7.labels")
@pytest.mark.parametrize(
    ("facts", "expected"), [row[1:] for row in REPAIRS], ids=[row[0] for row in REPAIRS]
)
def test_what_was_changed_by_hand_is_put_right(
    scene: Scene, facts: dict[str, Any], expected: list[Any]
) -> None:
    """The object is as it should be after it; without its labels it is not ours any more."""
    settle(scene)
    scene.arrive("bgp-web", "web", **facts)
    scene.step()
    assert scene.written() == expected


@pytest.mark.rule("bgp-7.repair")
def test_a_deleted_object_is_created_again(scene: Scene) -> None:
    """And one that nobody asked for is deleted."""
    settle(scene)
    scene.statuses.apply(Deleted("metallb/bgp-web"))
    scene.arrive("bgp-x", "nothing", ["p1"])
    scene.step()
    assert scene.written() == [("CREATE", "default/web"), ("DELETE", "bgp-x")]


@pytest.mark.rule("bgp-7.extras")
def test_of_several_objects_the_first_stays(scene: Scene) -> None:
    """By name."""
    settle(scene)
    scene.arrive("bgp-zzz", "web", ["p1", "p2"])
    scene.step()
    assert scene.written() == [("DELETE", "bgp-zzz")]


def test_an_object_that_cannot_be_made_right_is_replaced(scene: Scene) -> None:
    """Fields that never change may say something else than the labels."""
    settle(scene)
    scene.arrive("bgp-web", "web", ["p1", "p2"])
    item = scene.statuses.get("metallb/bgp-web")
    assert item is not None
    assert item.status is not None
    status = msgspec.structs.replace(item.status, service_name="other")
    wrong: ServiceBGPStatus = msgspec.structs.replace(item, status=status)
    scene.statuses.apply(Applied("metallb/bgp-web", wrong))
    scene.step()
    assert scene.written() == [("CREATE", "default/web"), ("DELETE", "bgp-web")]


@pytest.mark.rule("bgp-7.labels")
def test_objects_of_other_nodes_are_left_alone(scene: Scene) -> None:
    """Whatever they say."""
    settle(scene)
    scene.arrive("bgp-other", "web", ["p9"], node="iris2")
    scene.step()
    assert scene.written() == []


def test_without_a_configuration_objects_are_left_as_they_are() -> None:
    """A brain that was restarted knows nothing yet; the announcer goes on meanwhile."""
    scene = Scene()
    scene.cluster.peer("p1", "nonsense")
    scene.arrive("bgp-web", "web", ["p1"])
    scene.step()
    assert scene.written() == []
    scene.cluster.peer("p1")
    scene.step()
    assert scene.written() == []
    scene.cluster.delete("bgp_peers", "p1")
    scene.step()
    assert scene.written() == [("DELETE", "bgp-web")]
