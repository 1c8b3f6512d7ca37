"""Membership and responder put together."""

from __future__ import annotations

import pytest

from mercurylb.announcer import note as notes
from mercurylb.announcer import observing
from mercurylb.announcer.core import AnnouncerCore, Finish, Observe, Tell
from mercurylb.announcer.note import Note
from mercurylb.layer2 import arp
from mercurylb.layer2.ability import Unable, digest_of
from mercurylb.layer2.effect import SendFrame
from mercurylb.layer2.interface import Interface, NodeInterfaces
from mercurylb.layer2.responder import Responder
from mercurylb.membership.disabled import DisabledMembership
from mercurylb.membership.member import (
    DownReason,
    Exchange,
    MemberDown,
    MemberHearsUs,
    MemberNote,
    MemberUp,
    MemberView,
    ProbeKernel,
    SendDatagram,
)
from mercurylb.plan.desired import Count, DesiredState, Layer2Service, MemberState, Renewal
from tests.unit.announcer.scripted import ScriptedMembership

ETH0 = Interface(2, "eth0", b"\x02\x00\x00\x00\x00\x01", True, True, None)
LINKS = NodeInterfaces(("eth0", "eth9"), (ETH0,), frozenset({ETH0.mac}))
STRANGER = b"\x02\x00\x00\x00\x00\x99"
WANTED = DesiredState(5, layer2=(Layer2Service("a/b", ("10.0.0.1",), ("me", "you"), None),))


def make(*, lease_s: float = 600.0) -> AnnouncerCore:
    """Return a core that is alone."""
    return AnnouncerCore("me", ScriptedMembership("me"), Responder("me"), lease_s=lease_s)


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


@pytest.mark.rule("layer2-10.no-membership")
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


def membership_of(core: AnnouncerCore) -> ScriptedMembership:
    """Return the scripted part of a core."""
    assert isinstance(core.membership, ScriptedMembership)
    return core.membership


def frames(effects: list[object]) -> int:
    """Count the frames among effects."""
    return sum(isinstance(effect, SendFrame) for effect in effects)


@pytest.mark.parametrize(
    "effect",
    [SendDatagram("10.0.0.2", b"x"), Exchange(1, "10.0.0.2", 7946, b"x", 1.0),
     ProbeKernel("10.0.0.2")],
    ids=["datagram", "exchange", "probe"],
)  # fmt: skip
def test_what_the_membership_wants_done_is_done(effect: SendDatagram) -> None:
    """Its effects leave as they are, whatever fact they follow from."""
    core = running()
    scripted = membership_of(core)
    facts = (
        lambda: core.on_datagram("10.0.0.2", 7946, b"?", 2.0),
        lambda: core.on_refused("10.0.0.2", 2.0),
        lambda: core.on_kernel_answer("10.0.0.2", 2.0),
        lambda: core.on_reply(3, None, 2.0),
        lambda: core.on_request("10.0.0.2", "message", 2.0)[0],
    )
    scripted.told.clear()
    for fact in facts:
        scripted.says = [effect]
        assert effect in fact()
    assert scripted.told == [
        ("datagram", "10.0.0.2", 7946, b"?"),
        ("refused", "10.0.0.2"),
        ("kernel", "10.0.0.2"),
        ("reply", 3, None),
        ("request", "10.0.0.2", "message"),
    ]
    assert core.on_request("10.0.0.2", "message", 2.0)[1] == b"10.0.0.2"


def test_withdrawn_before_the_others_are_told() -> None:
    """What goes silent goes silent before the datagram behind it says so."""
    core = running()
    scripted = membership_of(core)
    scripted.alive = frozenset({"you"})
    datagram = SendDatagram("10.0.0.2", b"your turn")
    scripted.says = [MemberDown("me", DownReason.NOT_READY), datagram]
    effects = core.on_datagram("10.0.0.2", 7946, b"?", 2.0)
    assert datagram in effects
    assert not core.observation(2.0).owned
    assert Tell("membership.down", {"node": "me", "reason": "notReady"}) in effects


def test_lost_carrier_withdraws_and_comes_back() -> None:
    """Without a carrier under the own address nothing is owned, with it again everything is."""
    core = running()
    effects = core.on_links(LINKS, 2.0, has_carrier=False)
    assert Tell("layer2.withdrawn", {"service": "a/b"}) in effects
    assert not core.observation(2.0).owned
    assert core.on_links(LINKS, 2.5, has_carrier=False).count(Observe()) == 1
    core.on_links(LINKS, 3.0, has_carrier=True)
    assert core.observation(3.0).owned
    assert [fact for fact in membership_of(core).told if fact[0] == "carrier"] == [
        ("carrier", False),
        ("carrier", True),
    ]


def test_members_are_told_what_we_are_before_we_join() -> None:
    """The note is there before the node is ready, so that nobody hears of it without one."""
    core = make()
    core.on_links(LINKS, 1.0)
    core.on_transport(1.0)
    assert membership_of(core).told == []
    core.on_brain_message(WANTED, 1.0)
    assert membership_of(core).told == [
        ("note", notes.encode(Note((ETH0.mac,)))),
        ("ready", True),
    ]
    core.on_brain_message(Renewal(5), 2.0)
    assert len(membership_of(core).told) == 3


def test_members_are_told_what_we_cannot_carry() -> None:
    """A service whose interfaces are all down is passed on at once, in the note."""
    core = running()
    service = Layer2Service("a/c", ("10.0.0.2",), ("me", "you"), ("eth9",))
    core.on_brain_message(DesiredState(6, layer2=(*WANTED.layer2, service)), 2.0)
    told = membership_of(core).told[-2]
    unable = Unable(digests=frozenset({digest_of("a/c")}))
    assert told == ("note", notes.encode(Note((ETH0.mac,), unable)))
    core.on_brain_message(WANTED, 3.0)
    assert ("note", notes.encode(Note((ETH0.mac,)))) in membership_of(core).told[-2:]


def test_what_another_node_cannot_carry_is_ours() -> None:
    """A better ranked node that is unable is passed over, until it says that it is able again."""
    core = make()
    scripted = membership_of(core)
    wanted = DesiredState(5, layer2=(Layer2Service("a/b", ("10.0.0.1",), ("you", "me"), None),))
    core.on_links(LINKS, 1.0)
    core.on_transport(1.0)
    core.on_brain_message(wanted, 1.0)
    scripted.alive = frozenset({"me", "you"})
    scripted.says = [MemberUp("you")]
    core.on_datagram("10.0.0.2", 7946, b"?", 2.0)
    assert not core.observation(2.0).owned
    for note, owns in (
        (Note((), Unable(digests=frozenset({digest_of("a/b")}))), True),
        (Note(), False),
        (Note((), Unable(is_all=True)), True),
    ):
        scripted.says = [MemberNote("you", notes.encode(note))]
        effects = core.on_datagram("10.0.0.2", 7946, b"?", 3.0)
        assert bool(core.observation(3.0).owned) == owns
        assert bool(frames(effects)) == owns
    scripted.says = [MemberNote("you", b"garbage")]
    core.on_datagram("10.0.0.2", 7946, b"?", 4.0)
    assert not core.observation(4.0).owned
    assert Count("note malformed", 1) in core.observation(4.0).drops
    core.validate()


def claim(mac: bytes) -> bytes:
    """Return somebody's announcement of our address."""
    return arp.gratuitous(mac, b"\x0a\x00\x00\x01")[0]


def test_stranger_is_told_of_and_a_member_is_not() -> None:
    """A MAC address of no member is a conflict that people hear of at once."""
    core = running()
    scripted = membership_of(core)
    scripted.seen = (MemberView("you", "10.0.0.2", "up"),)
    member_mac = b"\x02\x00\x00\x00\x00\x02"
    scripted.says = [MemberNote("you", notes.encode(Note((member_mac,))))]
    core.on_datagram("10.0.0.2", 7946, b"?", 2.0)
    effects = core.on_claim(2, claim(member_mac), 20.0)
    assert not [effect for effect in effects if isinstance(effect, Tell)]
    effects = core.on_claim(2, claim(STRANGER), 40.0)
    told = [effect for effect in effects if isinstance(effect, Tell)]
    assert [(tell.event, tell.level) for tell in told] == [("layer2.conflict", "warn")]
    assert told[0].fields["mac"] == STRANGER.hex(":")
    assert Observe() in effects
    (seen,) = core.observation(41.0).conflicts
    assert (seen.address, seen.mac, seen.age_s, seen.defended) == (
        "10.0.0.1",
        STRANGER.hex(":"),
        1.0,
        1,
    )


def test_everything_is_announced_again_once_a_member_hears_us() -> None:
    """A member that came back may have answered for us until then; bounded in rate."""
    core = running()
    scripted = membership_of(core)
    scripted.says = [MemberHearsUs("you")]
    assert frames(core.on_datagram("10.0.0.2", 7946, b"?", 30.0)) == 2
    scripted.says = [MemberHearsUs("them")]
    assert frames(core.on_datagram("10.0.0.3", 7946, b"?", 30.1)) == 0
    assert frames(core.on_deadline(30.3)) >= 2


def test_observation_tells_members_and_drops() -> None:
    """The brain learns who else is there, what was refused and what the kernel granted."""
    core = running()
    scripted = membership_of(core)
    scripted.seen = (
        MemberView("old", "10.0.0.3", "down", "silent", silent_s=4.0),
        MemberView("you", "10.0.0.2", "up", is_ours=False),
    )
    scripted.refusals = {"key": 3, "crc": 0}
    core.responder.answer_arp(2, b"short")
    seen = core.observation(2.0, scheduling="nice -10", drops={"wire stale": 2})
    assert seen.members == (
        MemberState("old", "10.0.0.3", "down", "silent", silent_s=4.0),
        MemberState("you", "10.0.0.2", "up", is_ours=False),
    )
    assert seen.scheduling == "nice -10"
    assert seen.drops == (Count("malformed", 1), Count("membership key", 3), Count("wire stale", 2))


def test_how_quickly_deaths_are_found_is_told() -> None:
    """Of a node that this one found dead: how long it had been silent; of others only that."""
    core = running()
    scripted = membership_of(core)
    scripted.seen = (
        MemberView("near", "10.0.0.3", "down", "silent", silent_s=0.3),
        MemberView("far", "10.0.0.4", "down", "told"),
    )
    scripted.says = [MemberDown("near", DownReason.SILENT), MemberDown("far", DownReason.TOLD)]
    told = core.on_datagram("10.0.0.2", 7946, b"?", 2.0)
    assert Tell("membership.down", {"node": "near", "reason": "silent", "silent_ms": 300}) in told
    assert Tell("membership.down", {"node": "far", "reason": "told"}) in told
    found = core.observation(2.0).detections
    assert (found.counts, found.sum_s) == ((0, 0, 1, 0, 0, 0, 0, 0, 0), 0.3)


def test_observation_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many members and reasons there are, the message stays small."""
    monkeypatch.setattr(observing, "MEMBERS_MAX", 2)
    monkeypatch.setattr(observing, "DROPS_MAX", 2)
    core = running()
    scripted = membership_of(core)
    scripted.seen = tuple(MemberView(f"n{n}", "10.0.0.2", "up") for n in range(5))
    seen = core.observation(2.0, drops={f"reason {n}": 1 for n in range(5)})
    assert (len(seen.members), len(seen.drops)) == (2, 2)
