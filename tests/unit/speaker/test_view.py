"""The brain's picture: when the desired state changes, and when it must not."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mercurylb.api.endpoint_slice import EndpointSlice
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.l2_advertisement import L2Advertisement
from mercurylb.api.node import Node
from mercurylb.api.pod import Pod
from mercurylb.api.service import Service
from mercurylb.kube.reflector import Applied, Deleted
from mercurylb.kube.store import Store, Wakeup
from mercurylb.plan.desired import Member
from mercurylb.speaker.stores import Identity, Stores
from mercurylb.speaker.view import View

if TYPE_CHECKING:
    from mercurylb.plan.desired import Layer2Service

ADDRESS = "10.20.30.1"


class Cluster:
    """A view from node iris1 on stores that the test fills; iris2 ranks first for the address."""

    def __init__(self, identity: Identity | None = None) -> None:
        bell = Wakeup()
        self.stores = Stores(*(Store(bell) for _ in fields(Stores)))
        self.view = View(self.stores, identity or Identity(node="iris1"))
        self._version = 0
        self.put(self.stores.pools, IPAddressPool, "pool", {"addresses": ["10.20.30.0/24"]})
        self.put(self.stores.l2_advertisements, L2Advertisement, "all", {})
        for name, address in (("iris1", "192.0.2.1"), ("iris2", "192.0.2.2")):
            self.node(name)
            self.pod(name, address)
        self.service("web")
        self.endpoints("web", "iris1", "iris2")

    def put(self, store: Any, kind: Any, name: str, spec: Any, **parts: Any) -> None:
        """Create or change an object."""
        self._version += 1
        labels = parts.pop("labels", {})
        cluster_wide = parts.pop("cluster_wide", False)
        metadata = {"name": name, "resourceVersion": str(self._version), "labels": labels}
        if not cluster_wide:
            metadata["namespace"] = "default"
        document = {"metadata": metadata, "spec": spec, **parts}
        key = name if cluster_wide else f"default/{name}"
        store.apply(Applied(key, msgspec.convert(document, kind)))

    def node(
        self,
        name: str,
        *,
        heartbeat: int = 0,
        ready: str = "True",
        unschedulable: bool = False,
        **labels: str,
    ) -> None:
        """Create or change a node; the heartbeat changes nothing that matters."""
        conditions = [{"type": "Ready", "status": ready, "heartbeat": heartbeat}]
        self.put(
            self.stores.nodes,
            Node,
            name,
            {"unschedulable": unschedulable},
            labels=labels,
            cluster_wide=True,
            status={"conditions": conditions},
        )

    def pod(self, node: str, address: str, *, phase: str = "Running") -> None:
        """Create or change the speaker's pod of a node."""
        status = {"podIP": address, "phase": phase}
        self.put(self.stores.pods, Pod, f"speaker-{node}", {"nodeName": node}, status=status)

    def service(self, name: str, **spec: Any) -> None:
        """Create or change a service that has its address."""
        spec = {"type": "LoadBalancer", "clusterIPs": ["10.96.0.9"], **spec}
        status = {"loadBalancer": {"ingress": [{"ip": ADDRESS}]}}
        self.put(self.stores.services, Service, name, spec, status=status)

    def endpoints(self, service: str, *nodes: str) -> None:
        """Create or change the one endpoint slice of a service."""
        self.put(
            self.stores.endpoint_slices,
            EndpointSlice,
            f"{service}-abc",
            {},
            labels={"kubernetes.io/service-name": service},
            endpoints=[{"addresses": ["10.244.0.1"], "nodeName": node} for node in nodes],
        )

    def step(self, *announced: str) -> bool:
        """Take a step and tell whether the desired state changed."""
        return self.view.step(announced).has_changed

    @property
    def wanted(self) -> Layer2Service | None:
        """Give what is wanted for the one service."""
        return next(iter(self.view.desired.layer2), None)


@pytest.fixture
def cluster() -> Cluster:
    """Give a cluster that has settled."""
    made = Cluster()
    assert made.step()
    return made


@pytest.mark.rule("api-10.own-pod", "layer2-2.5.members")
def test_the_ranking_and_the_members_are_complete(cluster: Cluster) -> None:
    """The first step ranks both nodes and knows the other speaker."""
    assert cluster.wanted is not None
    assert cluster.wanted.ranking == ("iris2", "iris1")
    assert cluster.view.desired.members == (Member("iris2", "192.0.2.2"),)


@pytest.mark.rule("speaker-5.node-filter", "layer2-10.cordon")
def test_a_quiet_step_changes_nothing(cluster: Cluster) -> None:
    """Nothing is sent to the announcer without need, and a node's heartbeat is no need."""
    revision = cluster.view.desired.revision
    cluster.node("iris2", heartbeat=1)
    assert not cluster.step()
    assert cluster.view.desired.revision == revision


@pytest.mark.rule("api-10.node-excluded")
@pytest.mark.rule("layer2-10.excluded", "speaker-5.3.reprocess")
def test_an_excluded_node_leaves_the_ranking(cluster: Cluster) -> None:
    """A label that matters is planned at once."""
    cluster.node("iris2", **{"node.kubernetes.io/exclude-from-external-load-balancers": ""})
    assert cluster.step()
    assert cluster.wanted is not None
    assert cluster.wanted.ranking == ("iris1",)


@pytest.mark.rule("layer2-2.1", "speaker-5.service")
def test_endpoints_that_vanish_withdraw_the_service(cluster: Cluster) -> None:
    """Without an endpoint nobody announces; with one again somebody does."""
    cluster.stores.endpoint_slices.apply(Deleted("default/web-abc"))
    assert cluster.step()
    assert cluster.wanted is None
    cluster.endpoints("web", "iris1")
    assert cluster.step()
    assert cluster.wanted is not None


@pytest.mark.rule("layer2-10.endpoint", "layer2-2.6")
def test_local_traffic_follows_its_endpoints(cluster: Cluster) -> None:
    """With externalTrafficPolicy Local only nodes with an endpoint are ranked."""
    cluster.service("web", externalTrafficPolicy="Local")
    cluster.endpoints("web", "iris1")
    cluster.step()
    assert cluster.wanted is not None
    assert cluster.wanted.ranking == ("iris1",)


@pytest.mark.rule("speaker-6.1.1")
def test_a_deleted_service_is_no_longer_wanted(cluster: Cluster) -> None:
    """What is gone is not announced."""
    cluster.stores.services.apply(Deleted("default/web"))
    assert cluster.step()
    assert cluster.wanted is None


@pytest.mark.rule("membership-1.5.targets")
def test_a_speaker_that_ended_is_no_candidate(cluster: Cluster) -> None:
    """A pod that has ended does not take part, a pod that is merely silent does."""
    cluster.pod("iris2", "192.0.2.2", phase="Failed")
    assert cluster.step()
    assert cluster.wanted is not None
    assert cluster.wanted.ranking == ("iris1",)
    assert cluster.view.desired.members == ()


@pytest.mark.rule("speaker-5.1.rejected")
def test_a_bad_pool_leaves_the_last_good_configuration(cluster: Cluster) -> None:
    """The service stays announced, the step says what is wrong and where."""
    cluster.put(cluster.stores.pools, IPAddressPool, "pool", {"addresses": ["nonsense"]})
    step = cluster.view.step(())
    assert not step.has_changed
    assert "IPAddressPool default/pool: spec.addresses[0]" in step.error
    assert cluster.wanted is not None


@pytest.mark.rule("speaker-5.2.in-use", "speaker-11.config")
def test_a_pool_taken_from_under_an_announced_address_waits(cluster: Cluster) -> None:
    """The new configuration comes into force once the controller has moved the address."""
    cluster.put(cluster.stores.pools, IPAddressPool, "pool", {"addresses": ["10.99.0.0/24"]})
    step = cluster.view.step(("default/web",))
    assert "default/web" in step.error
    assert cluster.wanted is not None
    assert cluster.step() is True
    assert cluster.wanted is None


@pytest.mark.rule("speaker-6.2")
def test_another_class_is_not_announced() -> None:
    """A speaker looks after services of its class only."""
    cluster = Cluster(Identity(node="iris1", lb_class="ours"))
    cluster.step()
    assert cluster.wanted is None


@pytest.mark.rule("layer2-2.5.members", "layer2-10.no-membership", "membership-1.2.candidates")
def test_without_membership_every_node_is_a_candidate() -> None:
    """When speakers do not watch each other, the nodes themselves are the candidates."""
    cluster = Cluster(Identity(node="iris1", has_membership=False))
    cluster.node("iris3")
    cluster.step()
    assert cluster.wanted is not None
    assert set(cluster.wanted.ranking) == {"iris1", "iris2", "iris3"}


@pytest.mark.rule("speaker-6.2")
@pytest.mark.parametrize(
    ("own", "flag", "expected"),
    [
        ("", "", True),
        ("", "foo", False),
        ("foo", "", False),
        ("foo", "bar", False),
        ("foo", "foo", True),
    ],
)
def test_load_balancer_classes(
    own: str,
    flag: str,
    expected: bool,  # noqa: FBT001 (a table's column)
) -> None:
    """A speaker looks after exactly the services of its class."""
    cluster = Cluster(Identity(node="iris1", lb_class=flag))
    cluster.service("web", **({"loadBalancerClass": own} if own else {}))
    cluster.step()
    assert (cluster.wanted is not None) is expected


@pytest.mark.rule("layer2-10.deleted", "speaker-5.3.deleted", "layer2-1.node-change")
def test_a_deleted_node_leaves_every_advertisement(cluster: Cluster) -> None:
    """Its speaker's pod may still be there for a while; it is no candidate any more."""
    cluster.stores.nodes.apply(Deleted("iris2"))
    assert cluster.step()
    assert cluster.wanted is not None
    assert cluster.wanted.ranking == ("iris1",)


@pytest.mark.rule("speaker-5.1.own-node")
def test_without_the_own_node_the_last_configuration_stays(cluster: Cluster) -> None:
    """It is looked at again when the node is back."""
    cluster.stores.nodes.apply(Deleted("iris1"))
    step = cluster.view.step(())
    assert (step.was_compiled, step.error) == (False, "")
    assert cluster.view.config is not None
    cluster.node("iris1")
    assert cluster.view.step(()).was_compiled


@pytest.mark.rule("speaker-5.4.gate", "speaker-6.1.2")
def test_nothing_is_wanted_before_the_first_configuration() -> None:
    """Services wait for it; then all of them are looked at."""
    cluster = Cluster()
    cluster.put(cluster.stores.pools, IPAddressPool, "pool", {"addresses": ["nonsense"]})
    step = cluster.view.step(())
    assert (step.has_changed, step.is_loaded, cluster.wanted) == (False, False, None)
    cluster.put(cluster.stores.pools, IPAddressPool, "pool", {"addresses": ["10.20.30.0/24"]})
    step = cluster.view.step(())
    assert (step.has_changed, step.is_loaded) == (True, True)
    assert cluster.wanted is not None


@pytest.mark.rule("speaker-5.1.counted", "speaker-5.2.in-use")
def test_what_is_looked_at_is_counted(cluster: Cluster) -> None:
    """Configurations, nodes and services count; a heartbeat and a quiet step do not."""
    assert cluster.view.step(()).looked_at == 0
    cluster.node("iris2", heartbeat=2)
    assert cluster.view.step(()).looked_at == 0
    cluster.service("web")
    assert cluster.view.step(()).looked_at == 1
    cluster.node("iris2", rack="a")
    assert cluster.view.step(()).looked_at == 2
    cluster.put(cluster.stores.pools, IPAddressPool, "pool", {"addresses": ["10.99.0.0/24"]})
    step = cluster.view.step(("default/web",))
    assert (step.looked_at, step.is_in_use) == (1, True)


@pytest.mark.rule("speaker-6.1.4", "speaker-6.1.5", "layer2-2.3")
@pytest.mark.parametrize(
    ("ingress", "annotations", "reason"),
    [
        ([{"hostname": "example.com"}], {}, "invalidIP"),
        ([{"ip": "192.0.2.1"}], {}, "ipNotAllowed"),
        ([{"ip": ADDRESS}], {"metallb.io/allow-shared-ip": ""}, "sharedIPWithServiceSelector"),
    ],
)
def test_what_somebody_has_to_correct_is_told_once(
    cluster: Cluster, ingress: Any, annotations: dict[str, str], reason: str
) -> None:
    """A reason that is no ordinary state of affairs is told when it comes up."""
    selectors = {"serviceSelectors": [{}]}
    cluster.put(cluster.stores.l2_advertisements, L2Advertisement, "all", selectors)
    assert cluster.view.step(()).refusals == ()
    spec = {"type": "LoadBalancer"}
    status = {"loadBalancer": {"ingress": ingress}}
    metadata = {"name": "web", "namespace": "default", "annotations": annotations}
    for look in range(2):
        document = {"metadata": metadata, "spec": spec, "status": status}
        service = msgspec.convert(document, Service)
        cluster.stores.services.apply(Applied("default/web", service))
        told = [decision.reason for decision in cluster.view.step(()).refusals]
        assert told == ([reason] if look == 0 else [])
    assert cluster.wanted is None


@pytest.mark.rule("speaker-12")
def test_an_empty_cluster_is_a_valid_configuration() -> None:
    """Without any object of ours nothing is wrong and nothing is announced."""
    cluster = Cluster()
    cluster.stores.pools.apply(Deleted("default/pool"))
    cluster.stores.l2_advertisements.apply(Deleted("default/all"))
    cluster.stores.services.apply(Deleted("default/web"))
    step = cluster.view.step(())
    assert (step.was_compiled, step.error, step.is_loaded) == (True, "", True)
    assert cluster.wanted is None


@pytest.mark.rule("speaker-12")
def test_a_pool_without_advertisement_is_announced_by_nobody(cluster: Cluster) -> None:
    """The service keeps its address, and the reason is there for whoever asks."""
    cluster.stores.l2_advertisements.apply(Deleted("default/all"))
    cluster.step()
    assert cluster.wanted is None
    assert cluster.view.decisions["default/web"].reason == "noMatchingAdvertisement"


@pytest.mark.rule("membership-1.5.refresh")
def test_a_speaker_with_another_address_is_a_member_at_once(cluster: Cluster) -> None:
    """Members follow the pods; nothing is asked for every few minutes."""
    cluster.pod("iris2", "192.0.2.22")
    cluster.node("iris3")
    cluster.pod("iris3", "192.0.2.3")
    assert cluster.step()
    assert cluster.view.desired.members == (
        Member("iris2", "192.0.2.22"),
        Member("iris3", "192.0.2.3"),
    )


@pytest.mark.parametrize(
    ("change", "stays"),
    [
        ({"ready": "False"}, False),
        ({"ready": "Unknown"}, False),
        ({"unschedulable": True}, False),
        ({"heartbeat": 7}, True),
    ],
    ids=["not-ready", "unknown", "cordoned", "well"],
)
def test_a_node_that_may_go_down_is_said_not_to_carry_on(
    cluster: Cluster,
    change: dict[str, Any],
    stays: bool,  # noqa: FBT001  (a column of the table)
) -> None:
    """What its speaker had is then announced by others at once, and it is news when it is said."""
    cluster.step()
    cluster.node("iris2", **change)
    assert cluster.step() is not stays
    assert cluster.view.desired.members == (Member("iris2", "192.0.2.2", carries_on=stays),)
