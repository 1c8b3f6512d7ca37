"""Membership and responder put together."""

from __future__ import annotations

from mercurylb.announcer.core import AnnouncerCore, Finish, Observe, Tell
from mercurylb.layer2.effect import SendFrame
from mercurylb.layer2.interface import Interface, NodeInterfaces
from mercurylb.layer2.responder import Responder
from mercurylb.membership.disabled import DisabledMembership
from mercurylb.membership.heartbeat import HeartbeatMembership
from mercurylb.plan.desired import DesiredState, Layer2Service, Renewal

ETH0 = Interface(2, "eth0", b"\x02\x00\x00\x00\x00\x01", True, True, None)
LINKS = NodeInterfaces(("eth0", "eth9"), (ETH0,))
WANTED = DesiredState(5, layer2=(Layer2Service("a/b", ("10.0.0.1",), ("me", "you"), None),))


def make(*, lease_s: float = 600.0) -> AnnouncerCore:
    """Return a core that is alone."""
    membership = HeartbeatMembership("me", incarnation=1)
    return AnnouncerCore("me", membership, Responder("me"), lease_s=lease_s)


def test_nothing_is_owned_before_everything_is_known() -> None:
    """Links, the socket and a desired state must all be there, in whatever order."""
    core = make()
    assert not core.observation(1.0).owned
    core.on_brain_message(WANTED, 1.0)
    core.on_links(LINKS, 1.0)
    assert not core.observation(1.0).owned
    effects = core.on_transport(1.0)
    core.validate()
    assert sum(isinstance(effect, SendFrame) for effect in effects) == 2
    assert Tell("layer2.announced", {"service": "a/b", "ips": ["10.0.0.1"]}) in effects
    observation = core.observation(1.0, loop_lag_s=0.5)
    assert observation.revision == 5
    assert [owned.service for owned in observation.owned] == ["a/b"]
    assert (observation.live, observation.interfaces) == (("me",), ("eth0", "eth9"))
    assert observation.loop_lag_s == 0.5


def running(*, lease_s: float = 600.0) -> AnnouncerCore:
    """Return a core that announces since 1.0."""
    core = make(lease_s=lease_s)
    core.on_links(LINKS, 1.0)
    core.on_transport(1.0)
    core.on_brain_message(WANTED, 1.0)
    assert core.observation(1.0).owned
    return core


def test_lease_ends_and_a_brain_revives() -> None:
    """Without a word for the lease all is withdrawn; the next word brings it back."""
    core = running(lease_s=10.0)
    core.on_brain_message(Renewal(5), 9.0)
    while (deadline := core.next_deadline()) is not None and deadline < 19.0:
        core.on_deadline(deadline)
    assert core.observation(1.0).owned
    effects = core.on_deadline(19.0)
    assert Tell("announcer.lease_expired", {}, level="error") in effects
    assert not core.observation(1.0).owned
    core.on_brain_message(Renewal(5), 30.0)
    assert core.observation(1.0).owned
    core.validate()


def test_stop_of_a_lonely_node_is_silent_at_once() -> None:
    """With nobody to hand over to the stop is complete at once, and nothing is answered."""
    core = running()
    effects = core.on_stop(2.0)
    assert Finish() in effects
    assert not core.observation(1.0).owned


def test_change_of_ownership_is_observed() -> None:
    """The brain is told when services come and go."""
    core = running()
    effects = core.on_brain_message(DesiredState(6), 2.0)
    assert Observe() in effects
    assert Tell("layer2.withdrawn", {"service": "a/b"}) in effects
    assert core.observation(1.0).revision == 6


def test_disabled_membership_takes_everybody_for_alive() -> None:
    """Without membership the first of the ranking announces, dead or not."""
    for node, owns in (("me", True), ("you", False)):
        core = AnnouncerCore(node, DisabledMembership(node), Responder(node), lease_s=600.0)
        core.on_links(LINKS, 1.0)
        core.on_transport(1.0)
        core.on_brain_message(WANTED, 1.0)
        assert bool(core.observation(1.0).owned) == owns
        core.on_stop(2.0)
        assert not core.observation(1.0).owned
