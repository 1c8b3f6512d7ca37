"""BGP, BFD and router discovery put together."""

from __future__ import annotations

import ipaddress
import random
from typing import TYPE_CHECKING, Any

import pytest

from mercurylb.announcer import routing
from mercurylb.announcer.answers import answer
from mercurylb.announcer.core import Observe, Tell
from mercurylb.announcer.discovery import OpenRouterPort, SendRouterMessage
from mercurylb.announcer.routing import Finished, Listen, RoutingCore, RoutingEffect
from mercurylb.bfd.effect import Arrival, BfdChanged, BfdKey, ClosePort, OpenPort
from mercurylb.bfd.settings import BfdSettings
from mercurylb.bgp.effect import Connect, Discover, Ends, Send, SessionChanged, Stopped
from mercurylb.bgp.route import RouteGroup
from mercurylb.bgp.settings import PeerSettings
from mercurylb.layer2.interface import Link
from mercurylb.net.router_message import encode_advertisement
from mercurylb.plan.desired import BgpPeer, DesiredState, Renewal
from mercurylb.plan.desk import (
    AskPeers,
    AskRoutes,
    AskSession,
    DeskError,
    PeersAnswer,
    RoutesAnswer,
    SessionAnswer,
)
from tests.unit.announcer.scripted_routing import ScriptedSpeaker, ScriptedTable

if TYPE_CHECKING:
    from collections.abc import Sequence

OWN6 = ipaddress.ip_address("fe80::1").packed
ETH0 = Link(
    2,
    "eth0",
    0x41,
    b"\x02\x00\x00\x00\x00\x01",
    link_locals=(OWN6,),
    addresses=((bytes((192, 0, 2, 1)), 24), (OWN6, 64)),
)
BFD = BfdSettings()
GROUP = RouteGroup(("r1",), ("203.0.113.1/32",))
TEXT = "the speaker is being stopped"


def peer(name: str = "r1", address: str = "192.0.2.7", bfd: BfdSettings | None = BFD,
         **fields: Any) -> BgpPeer:  # fmt: skip
    """Describe an external peer."""
    given = {"my_asn": 64512, "peer_asn": 64513} | fields
    return BgpPeer(PeerSettings(name=name, address=address, **given), bfd)


def wants(*peers: BgpPeer, routes: tuple[RouteGroup, ...] = (GROUP,)) -> DesiredState:
    """Describe what a brain wants."""
    return DesiredState(1, bgp_peers=peers, bgp_routes=routes)


class Scene:
    """A core with scripted parts."""

    def __init__(
        self, *, has_listener: bool = False, links: Sequence[Link] | None = (ETH0,)
    ) -> None:
        self.speaker, self.table = ScriptedSpeaker(), ScriptedTable()
        self.core = RoutingCore(
            "me", chance=random.Random(1), lease_s=600.0, has_listener=has_listener
        )
        self.core.speaker = self.speaker  # type: ignore[assignment]
        self.core.bfd = self.table  # type: ignore[assignment]
        if links is not None:
            self.core.on_links(links, 0.0)

    def told(self) -> list[tuple[object, ...]]:
        """Return what the speaker was told since this was asked last."""
        return self.speaker.forget()


def without_observe(effects: list[RoutingEffect]) -> list[RoutingEffect]:
    """Leave out what only says that a report is old."""
    return [effect for effect in effects if not isinstance(effect, Observe)]


# --- the brain -----------------------------------------------------------------------------------


def test_nothing_is_wanted_before_the_first_desired_state() -> None:
    """After a restart the first dial comes when all routes are known."""
    scene = Scene()
    scene.core.on_brain_message(Renewal(1), 1.0)
    assert scene.told() == []
    scene.core.on_brain_message(wants(peer(bfd=None)), 2.0)
    assert scene.told() == [("peers", ("r1",), 2.0), ("routes", (GROUP.prefixes,), 2.0)]
    scene.core.validate()


def test_only_what_changed_is_told() -> None:
    """A hundred desired states that say the same cost nothing."""
    scene = Scene()
    scene.core.on_brain_message(wants(peer(bfd=None)), 1.0)
    scene.told()
    assert scene.core.on_brain_message(wants(peer(bfd=None)), 2.0) == []
    scene.core.on_brain_message(Renewal(1), 3.0)
    assert scene.told() == []
    scene.core.on_brain_message(wants(peer(bfd=None), routes=()), 4.0)
    assert scene.told() == [("routes", (), 4.0)]


def test_expired_lease_withdraws_routes_and_the_next_word_brings_them_back() -> None:
    """A brain that is gone for good must not attract traffic; the sessions stay."""
    scene = Scene()
    scene.core.on_brain_message(wants(peer(bfd=None)), 1.0)
    scene.core.on_brain_message(Renewal(1), 100.0)
    scene.told()
    assert scene.core.next_deadline() == 700.0
    scene.core.on_deadline(699.0)
    assert scene.told() == []
    scene.core.on_deadline(700.0)
    assert scene.told() == [("routes", (), 700.0)]
    scene.core.on_brain_message(Renewal(1), 701.0)
    assert scene.told() == [("routes", (GROUP.prefixes,), 701.0)]


def test_listener_is_told_the_peers_when_there_is_one() -> None:
    """Passwords and VRFs of the peers belong to the listening sockets."""
    wanted = peer(bfd=None)
    assert Listen((wanted.settings,)) in Scene(has_listener=True).core.on_brain_message(
        wants(wanted), 1.0
    )
    plain = Scene().core.on_brain_message(wants(wanted), 1.0)
    assert not any(isinstance(effect, Listen) for effect in plain)


# --- connections ---------------------------------------------------------------------------------


def test_facts_of_connections_go_to_the_speaker_and_its_words_to_the_wire() -> None:
    """Everything passes in order."""
    scene = Scene()
    ends = scene.core.ends("192.0.2.1", "192.0.2.7", 0)
    assert ends == Ends("192.0.2.1", "192.0.2.7", "eth0", "192.0.2.1", "", "fe80::1")
    said = [Send(1, b"a"), Send(1, b"b")]
    scene.speaker.says = list(said)
    assert scene.core.on_connected(1, ends, 1.0) == said
    scene.core.on_connect_failed(2, "no", 2.0)
    scene.core.on_accepted("r1", 3, ends, 3.0)
    scene.core.on_received(3, b"x", 4.0)
    scene.core.on_drained(3, 5.0)
    scene.core.on_closed(3, "gone", 6.0)
    assert [fact[0] for fact in scene.told()] == [
        "connected", "failed", "accepted", "received", "drained", "closed",
    ]  # fmt: skip


def test_each_state_is_told_once() -> None:
    """An operator reads when a session came, went, and each new reason why there is none."""
    scene = Scene()

    def told(state: str, reason: str = "") -> list[tuple[str, str, object]]:
        scene.speaker.says = [SessionChanged("r1", state, reason)]
        effects = scene.core.on_drained(1, 1.0)
        assert Observe() in effects
        return [
            (effect.event, effect.level, effect.fields.get("reason"))
            for effect in effects
            if isinstance(effect, Tell)
        ]

    assert told("Connect") == []
    assert told("Active", "refused") == [("bgp.no_session", "warn", "refused")]
    assert told("Connect") == []
    assert told("Active", "refused") == []
    assert told("Active", "no answer") == [("bgp.no_session", "warn", "no answer")]
    assert told("Established") == [("bgp.session_up", "info", None)]
    assert told("Idle", "hold time") == [("bgp.session_down", "warn", "hold time")]
    assert told("Active", "hold time") == []


# --- links ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "is_retried"),
    [
        (ETH0, ETH0, False),
        (ETH0, Link(2, "eth0", 0x1, ETH0.mac, addresses=ETH0.addresses), False),
        (Link(2, "eth0", 0x1, ETH0.mac, addresses=ETH0.addresses), ETH0, True),
        (Link(2, "eth0", 0x41, ETH0.mac), ETH0, True),
        (Link(1, "lo", 0x41, bytes(6)), ETH0, True),
        (Link(9, "eth0", 0x41, ETH0.mac, addresses=ETH0.addresses), ETH0, True),
    ],
    ids=["same", "carrier lost", "carrier back", "new address", "new link", "made anew"],
)
def test_peers_that_wait_are_dialled_when_a_link_is_better(
    before: Link, after: Link, *, is_retried: bool
) -> None:
    """A device or source address that appears is used at once, not after two minutes."""
    scene = Scene(links=(before,))
    scene.core.on_brain_message(wants(peer(bfd=None)), 1.0)
    scene.told()
    scene.core.on_links((after,), 2.0)
    assert scene.told() == ([("retry", "r1", 2.0)] if is_retried else [])


@pytest.mark.parametrize(
    ("fields", "link", "is_retried"),
    [
        ({}, Link(9, "veth0", 0x41, bytes(6)), False),
        ({}, Link(9, "veth0", 0x41, bytes(6), link_locals=(OWN6,), addresses=((OWN6, 64),)), False),
        ({"vrf": "red"}, Link(9, "red", 0x41, bytes(6)), True),
        ({"vrf": "red"}, Link(9, "eth1", 0x41, bytes(6), addresses=ETH0.addresses), False),
        ({"interface": "eth1", "address": ""}, Link(9, "eth1", 0x41, bytes(6)), True),
    ],
)
def test_links_that_cannot_lead_to_a_peer_do_not_matter(
    fields: dict[str, Any], link: Link, *, is_retried: bool
) -> None:
    """Pods that come and go do not have a dead router dialled each time."""
    scene = Scene()
    scene.core.on_brain_message(wants(peer(bfd=None, **fields)), 1.0)
    scene.told()
    scene.core.on_links((ETH0, link), 2.0)
    assert scene.told() == ([("retry", "r1", 2.0)] if is_retried else [])


# --- BFD -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "key"),
    [
        (peer(), BfdKey("192.0.2.7", interface="eth0")),
        (peer(source_address="192.0.2.1"), BfdKey("192.0.2.7", "192.0.2.1", "eth0")),
        (peer(is_multi_hop=True), BfdKey("192.0.2.7", is_multi_hop=True)),
        (peer(address="198.51.100.1"), BfdKey("198.51.100.1", is_multi_hop=True)),
        (peer(peer_asn=64512), BfdKey("192.0.2.7", interface="eth0")),
        (peer(peer_asn=64512, is_multi_hop=True), BfdKey("192.0.2.7", interface="eth0")),
        (
            peer(peer_asn=64512, address="198.51.100.1"),
            BfdKey("198.51.100.1", is_multi_hop=True),
        ),
        (
            peer(peer_asn=0, dynamic_asn="external", is_multi_hop=True),
            BfdKey("192.0.2.7", is_multi_hop=True),
        ),
        (
            peer(peer_asn=0, dynamic_asn="internal", is_multi_hop=True),
            BfdKey("192.0.2.7", interface="eth0"),
        ),
        (peer(vrf="red"), BfdKey("192.0.2.7", vrf="red", is_multi_hop=True)),
        (peer(vrf="eth0"), BfdKey("192.0.2.7", interface="eth0", vrf="eth0")),
    ],
)
@pytest.mark.rule("bgp-native-2.14.mode")
def test_bfd_runs_over_one_hop_or_several(wanted: BgpPeer, key: BfdKey) -> None:
    """External peers with ebgpMultiHop and internal ones off link: several; on link: one."""
    scene = Scene()
    assert OpenPort(key) in scene.core.on_brain_message(wants(wanted), 1.0)
    assert scene.table.wanted == {key: BFD}
    scene.core.validate()


def test_bfd_waits_for_the_links() -> None:
    """How a session runs cannot be said before it is known where the peer is."""
    scene = Scene(links=None)
    scene.core.on_brain_message(wants(peer()), 1.0)
    assert scene.table.wanted == {}
    scene.core.on_links((ETH0,), 1.1)
    assert list(scene.table.wanted) == [BfdKey("192.0.2.7", interface="eth0")]


def test_session_stays_on_its_link_when_that_loses_its_address() -> None:
    """The session has to notice, so it must not be moved to where it cannot."""
    scene = Scene()
    scene.core.on_brain_message(wants(peer()), 1.0)
    scene.core.on_links((), 2.0)
    assert list(scene.table.wanted) == [BfdKey("192.0.2.7", interface="eth0")]
    scene.core.on_brain_message(wants(peer(address="192.0.2.8")), 3.0)
    assert list(scene.table.wanted) == [BfdKey("192.0.2.8", is_multi_hop=True)]


@pytest.mark.rule("bgp-native-2.14.coupling")
def test_failure_ends_the_sessions_it_watches_and_recovery_is_told() -> None:
    """Up to Down resets BGP; that a peer switches BFD off, or never had it, does not."""
    scene = Scene()
    scene.core.on_brain_message(wants(peer(), peer("r2", port=1179), peer("r3", "192.0.2.9")), 1.0)
    scene.told()
    key = BfdKey("192.0.2.7", interface="eth0")

    def after(change: BfdChanged) -> list[tuple[object, ...]]:
        scene.table.says = [change]
        effects = scene.core.on_packet(Arrival("192.0.2.7", b"", 255), 2.0)
        assert Observe() in effects
        return scene.told()

    assert after(BfdChanged(key, "Init")) == []
    assert after(BfdChanged(key, "Up")) == [
        ("bfd", "r1", True, "", 2.0),
        ("bfd", "r2", True, "", 2.0),
    ]
    assert after(BfdChanged(key, "Down", "neighbor switched it off")) == []
    assert after(BfdChanged(key, "Down", "detection time expired", is_failure=True)) == [
        ("bfd", "r1", False, "detection time expired", 2.0),
        ("bfd", "r2", False, "detection time expired", 2.0),
    ]


def test_failure_by_the_timer_reaches_the_wire_in_the_same_step() -> None:
    """Between the end of a detection time and the end of the session nothing else happens."""
    scene = Scene()
    scene.core.on_brain_message(wants(peer()), 1.0)
    scene.table.deadline = 2.0
    key = BfdKey("192.0.2.7", interface="eth0")
    scene.table.says = [BfdChanged(key, "Down", "expired", is_failure=True)]
    scene.speaker.says = [Send(1, b"cease")]
    assert scene.core.next_deadline() == 2.0
    assert Send(1, b"cease") in scene.core.on_deadline(2.0)


def test_reports_join_a_session_with_what_watches_it() -> None:
    """Who looks at a session sees at once whether BFD is up."""
    scene = Scene()
    scene.core.on_brain_message(wants(peer(), peer("r2", bfd=None)), 1.0)
    scene.table.states[BfdKey("192.0.2.7", interface="eth0")] = "Up"
    assert [(one.name, one.bfd) for one in scene.core.sessions(2.0)] == [("r1", "Up"), ("r2", "")]
    assert [one.state for one in scene.core.bfd_reports(2.0)] == ["Up"]
    scene.table.refused["ttl"] = 3
    assert scene.core.drops() == {"bfd ttl": 3, "router discovery malformed": 0}


# --- unnumbered ----------------------------------------------------------------------------------


def test_router_behind_an_interface_is_found_dialled_and_watched() -> None:
    """What the speaker asks to be discovered is told to it, and BFD runs to what was found."""
    scene = Scene()
    scene.speaker.says = [Discover("eth0", is_wanted=True)]
    effects = scene.core.on_brain_message(wants(peer(address="", interface="eth0")), 1.0)
    assert OpenRouterPort("eth0", 2) in effects
    assert scene.table.wanted == {}
    scene.told()
    dial = Connect("r1", 1, peer().settings, "fe80::9%eth0")
    scene.speaker.says = [dial]
    effects = scene.core.on_router_message(2, "fe80::9", encode_advertisement(30), 1.5)
    assert dial in effects
    assert scene.told() == [("discovered", "eth0", "fe80::9", 1.5)]
    assert list(scene.table.wanted) == [BfdKey("fe80::9", interface="eth0")]
    scene.core.on_router_message(2, "fe80::9", encode_advertisement(0), 2.0)
    assert scene.told() == [("discovered", "eth0", "", 2.0)]
    assert list(scene.table.wanted) == [BfdKey("fe80::9", interface="eth0")]


# --- the stop ------------------------------------------------------------------------------------


def test_stop_ends_bgp_first_then_bfd_then_is_finished() -> None:
    """BFD switched off too early would have the peer drop everything at once."""
    scene = Scene()
    scene.speaker.says = [Discover("eth0", is_wanted=True)]
    scene.core.on_brain_message(wants(peer()), 1.0)
    scene.told()
    scene.core.on_stop(5.0)
    assert scene.told() == [("stop", TEXT, 5.0)]
    assert not scene.table.is_stopped
    assert scene.core.on_brain_message(wants(), 5.5) == []
    assert scene.core.on_links((), 5.5) == []
    scene.speaker.deadline = 6.0
    scene.speaker.says = [Send(1, b"cease"), Stopped()]
    effects = without_observe(scene.core.on_deadline(6.0))
    assert effects[0] == Send(1, b"cease")
    assert isinstance(effects[1], ClosePort)
    assert isinstance(effects[2], SendRouterMessage)
    assert Finished() not in effects
    assert scene.core.next_deadline() == 6.0 + routing.FAREWELL_S
    assert scene.core.on_deadline(6.2)[-1] == Finished()
    assert scene.core.next_deadline() is None
    assert scene.core.on_stop(6.3) == []


def test_stop_without_anything_is_finished_at_once() -> None:
    """Nothing to hand over costs no time."""
    scene = Scene()
    scene.speaker.says = [Stopped()]
    assert scene.core.on_stop(5.0) == [Finished()]


def test_stop_is_bounded() -> None:
    """Whatever the peers do, a stop ends in time for the kubelet."""
    scene = Scene()
    scene.core.on_brain_message(wants(peer()), 1.0)
    scene.core.on_stop(5.0)
    assert scene.core.next_deadline() == 5.0 + routing.STOP_MAX_S
    assert Finished() in scene.core.on_deadline(5.0 + routing.STOP_MAX_S)
    assert routing.STOP_MAX_S <= 1.7


# --- the desk ------------------------------------------------------------------------------------


def test_questions_are_answered() -> None:
    """An operator sees sessions, the story of one, and the routes that a peer has."""
    scene = Scene()
    scene.core.on_brain_message(wants(peer(), peer("r2", bfd=None)), 1.0)
    peers = answer(scene.core, AskPeers(), 5.0)
    assert isinstance(peers, PeersAnswer)
    assert ([one.name for one in peers.sessions], len(peers.bfd)) == (["r1", "r2"], 1)
    watched = answer(scene.core, AskSession("r1"), 5.0)
    assert isinstance(watched, SessionAnswer)
    assert watched.story == ((3.0, "r1 began"),)
    assert watched.bfd_story == ((2.0, "192.0.2.7 began"),)
    assert watched.bfd is not None
    assert watched.bfd_detail is not None
    plain = answer(scene.core, AskSession("r2"), 5.0)
    assert isinstance(plain, SessionAnswer)
    assert (plain.bfd, plain.bfd_detail) == (None, None)
    assert answer(scene.core, AskSession("r9"), 5.0) == DeskError(
        "there is no peer r9 on me", ("r1", "r2")
    )


@pytest.mark.parametrize(
    ("offset", "limit", "numbers"),
    [
        (0, 1000, range(5)),
        (2, 2, range(2, 4)),
        (4, 9, range(4, 5)),
        (9, 9, ()),
        (0, -1, ()),
        (-9, 1, range(1)),
    ],
)
def test_routes_are_told_in_parts(offset: int, limit: int, numbers: Sequence[int]) -> None:
    """Ten thousand routes are ten answers, none of which is long."""
    scene = Scene()
    scene.core.on_brain_message(wants(peer()), 1.0)
    scene.speaker.has = [(f"203.0.113.{number}/32", "igp") for number in range(5)]
    told = answer(scene.core, AskRoutes("r1", offset, limit), 5.0)
    assert isinstance(told, RoutesAnswer)
    assert (told.count, told.offset) == (5, max(0, offset))
    assert told.routes == tuple(scene.speaker.has[number] for number in numbers)
