"""What a speaker's configuration is made of, and when it is rejected (spec: config §1, §10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from mercurylb.api.bfd_profile import BFDProfile
from mercurylb.api.bgp_advertisement import BGPAdvertisement
from mercurylb.api.bgp_peer import BGPPeer
from mercurylb.api.community import Community
from mercurylb.api.config_map import ConfigMap
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.password_secret import PasswordSecret
from mercurylb.config.model import Password
from mercurylb.config.resources import FRR, FRR_K8S
from mercurylb.kube.kinds import PASSWORD_SECRETS
from mercurylb.kube.reflector import Applied, Deleted, Unreadable
from mercurylb.speaker.stores import Identity
from tests.unit.speaker.test_view import Cluster

if TYPE_CHECKING:
    from mercurylb.config.model import Config

PEER = {"myASN": 100, "peerASN": 200, "peerAddress": "10.2.2.2"}
HERE = [{"matchLabels": {"rack": "a"}}]
ELSEWHERE = [{"matchLabels": {"rack": "b"}}]


@pytest.fixture
def cluster() -> Cluster:
    """Give a cluster with node iris1 in rack a, that has settled."""
    made = Cluster(Identity(node="iris1", backend=FRR_K8S))
    made.node("iris1", rack="a")
    assert made.step()
    return made


def put(cluster: Cluster, kind: Any, name: str, spec: Any) -> None:
    """Create or change an object of the configuration."""
    store = {
        BGPPeer: cluster.stores.bgp_peers,
        BGPAdvertisement: cluster.stores.bgp_advertisements,
        BFDProfile: cluster.stores.bfd_profiles,
        Community: cluster.stores.communities,
    }[kind]
    cluster.put(store, kind, name, spec)


def error(cluster: Cluster) -> str:
    """Take a step that must look at the configuration; give what is wrong with it."""
    step = cluster.view.step(())
    assert step.was_compiled
    return step.error


def loaded(cluster: Cluster) -> Config:
    """Give the configuration in force."""
    assert cluster.view.config is not None
    return cluster.view.config


@pytest.mark.rule("config-1.speaker", "config-10.rejected", "config-10.transient")
@pytest.mark.rule("api-8.4.scope")
@pytest.mark.rule("speaker-5.1.filter", "speaker-5.1.rejected", "speaker-10.live")
def test_an_unknown_profile_is_the_problem_of_the_nodes_concerned(cluster: Cluster) -> None:
    """The last good configuration stays until the profile is there; other nodes do not notice."""
    put(cluster, BGPPeer, "mine", PEER)
    assert error(cluster) == ""
    good = loaded(cluster)
    put(cluster, BGPPeer, "mine", {**PEER, "bfdProfile": "fast", "nodeSelectors": HERE})
    assert "peer mine referencing non existing bfd profile fast" in error(cluster)
    assert loaded(cluster) is good
    assert cluster.wanted is not None
    put(cluster, BFDProfile, "fast", {})
    assert error(cluster) == ""
    assert loaded(cluster).peers[0].bfd_profile == "fast"
    put(cluster, BGPPeer, "other", {"bfdProfile": "slow", "nodeSelectors": ELSEWHERE})
    assert error(cluster) == ""
    assert [peer.name for peer in loaded(cluster).peers] == ["mine"]


@pytest.mark.rule("config-1.speaker")
def test_a_label_of_the_node_decides_which_peers_it_has(cluster: Cluster) -> None:
    """Moving a node to another rack changes its configuration at once."""
    put(cluster, BGPPeer, "b", {**PEER, "nodeSelectors": ELSEWHERE})
    assert error(cluster) == ""
    assert loaded(cluster).peers == ()
    cluster.node("iris1", rack="b")
    assert error(cluster) == ""
    assert [peer.name for peer in loaded(cluster).peers] == ["b"]


@pytest.mark.rule("config-1.speaker")
def test_advertisements_reach_the_pools_of_their_nodes(cluster: Cluster) -> None:
    """A BGPAdvertisement for other nodes is not there; communities are resolved."""
    put(cluster, Community, "names", {"communities": [{"name": "far", "value": "1:2"}]})
    put(cluster, BGPAdvertisement, "mine", {"communities": ["far"], "nodeSelectors": HERE})
    put(cluster, BGPAdvertisement, "other", {"communities": ["gone"], "nodeSelectors": ELSEWHERE})
    assert error(cluster) == ""
    (found,) = loaded(cluster).pools[0].bgp_advertisements
    assert (found.name, [str(each) for each in found.communities]) == ("mine", ["1:2"])


def secret(cluster: Cluster, version: str, **data: str) -> None:
    """Create or change the secret of a peer, as the API delivers it."""
    document = {
        "metadata": {"name": "s", "namespace": "default", "resourceVersion": version},
        "type": "kubernetes.io/basic-auth",
        "data": data,
    }
    item = PASSWORD_SECRETS.decoder.decode(msgspec.json.encode(document))
    cluster.stores.secrets.apply(Applied("default/s", item))


@pytest.mark.rule("config-1.profiles", "config-6.secret")
@pytest.mark.rule("api-3.1.password-secret")
def test_passwords_come_from_secrets_and_nothing_else_of_them_is_kept(cluster: Cluster) -> None:
    """The password is read when it changes; other keys never enter the process's memory."""
    put(cluster, BGPPeer, "p", {**PEER, "passwordSecret": {"name": "s"}})
    assert "secret ref not found" in error(cluster)
    secret(cluster, "1", username="Ym9i")
    assert "password not specified in the secret" in error(cluster)
    secret(cluster, "2", password="c3dvcmRmaXNo", key="Ym9i")
    assert error(cluster) == ""
    assert loaded(cluster).peers[0].password == Password(b"swordfish")
    kept = cluster.stores.secrets.objects["default/s"]
    assert "c3dvcmRmaXNo" not in repr(kept)
    assert "Ym9i" not in str(msgspec.to_builtins(kept))
    cluster.stores.secrets.apply(Deleted("default/s"))
    assert "secret ref not found" in error(cluster)
    assert loaded(cluster).peers[0].password == Password(b"swordfish")


@pytest.mark.rule("config-6.passthrough")
def test_secrets_may_be_left_to_frr_k8s() -> None:
    """With the flag a missing secret is nobody's problem."""
    cluster = Cluster(Identity(node="iris1", backend=FRR_K8S, passes_secrets=True))
    put(cluster, BGPPeer, "p", {**PEER, "passwordSecret": {"name": "s"}})
    assert error(cluster) == ""


@pytest.mark.rule("config-1.extras")
def test_extras_are_taken_over() -> None:
    """The ConfigMap may come and go."""
    cluster = Cluster(Identity(node="iris1", backend=FRR))
    extras = ConfigMap(data={"extras": "log file"})
    extras = msgspec.structs.replace(
        extras, metadata=msgspec.structs.replace(extras.metadata, name="bgpextras")
    )
    cluster.stores.config_maps.apply(Applied("default/bgpextras", extras))
    assert error(cluster) == ""
    assert loaded(cluster).bgp_extras == "log file"
    cluster.stores.config_maps.apply(Deleted("default/bgpextras"))
    assert error(cluster) == ""
    assert loaded(cluster).bgp_extras == ""


@pytest.mark.rule("config-9.default")
def test_the_speaker_knows_its_backend() -> None:
    """A router ID of IPv6 is too much for the native backend, which is the default."""
    cluster = Cluster()
    put(cluster, BGPPeer, "p", {**PEER, "routerID": "::1"})
    assert "a BGP identifier is a number of four octets" in error(cluster)
    cluster = Cluster(Identity(node="iris1", backend=FRR))
    put(cluster, BGPPeer, "p", {**PEER, "routerID": "::1"})
    assert error(cluster) == ""


@pytest.mark.rule("config-10.identical")
@pytest.mark.rule("speaker-5.1.identical")
def test_an_identical_configuration_is_no_other_one(cluster: Cluster) -> None:
    """A change that changes nothing leaves everything as it is."""
    before = loaded(cluster)
    cluster.put(cluster.stores.pools, IPAddressPool, "pool", {"addresses": ["10.20.30.9/24"]})
    assert error(cluster) == ""
    assert loaded(cluster) is before


@pytest.mark.rule("config-10.rejected")
def test_a_rejected_configuration_waits_for_the_next_event(cluster: Cluster) -> None:
    """Nothing is tried again by itself."""
    put(cluster, BGPPeer, "p", {})
    assert "missing local ASN" in error(cluster)
    cluster.service("web")
    assert not cluster.view.step(()).was_compiled


def test_a_speaker_waits_for_its_own_node() -> None:
    """Without its labels nobody knows which peers it has."""
    cluster = Cluster(Identity(node="iris9"))
    step = cluster.view.step(())
    assert (step.was_compiled, cluster.view.config) == (False, None)
    cluster.node("iris9")
    assert error(cluster) == ""
    cluster.stores.nodes.apply(Deleted("iris9"))
    assert not cluster.view.step(()).was_compiled
    assert loaded(cluster).pools


def test_unreadable_objects_of_any_kind_are_told(cluster: Cluster) -> None:
    """An object that does not fit its struct keeps the last good configuration in force."""
    for store in cluster.stores.configuration.values():
        store.apply(Unreadable("default/odd", "expected int"))
    text = error(cluster)
    assert len(text.splitlines()) == len(cluster.stores.configuration)
    assert "BGPPeer default/odd: expected int" in text


def test_thousands_of_problems_make_a_short_report(cluster: Cluster) -> None:
    """The first ones are told, the rest is counted."""
    addresses = [f"bad{index}" for index in range(5000)]
    cluster.put(cluster.stores.pools, IPAddressPool, "pool", {"addresses": addresses})
    text = error(cluster)
    assert text.endswith("and 4980 more problems")
    assert len(text) < 32768


def test_a_password_secret_without_data() -> None:
    """All parts of a secret may be missing."""
    assert PasswordSecret().widened().data is None
