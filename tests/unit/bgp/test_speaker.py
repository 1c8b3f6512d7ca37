"""What is wanted of the speaker, and what its neighbours make of it."""

from __future__ import annotations

import msgspec
import pytest

from mercurylb.bgp import opening
from mercurylb.bgp.capability import Capabilities, GracefulRestart
from mercurylb.bgp.effect import Close, Discover, Ends, Send, Stopped
from mercurylb.bgp.family import IPV4, IPV6
from mercurylb.bgp.message import KEEPALIVE
from mercurylb.bgp.notification import Notification, cease, encode
from mercurylb.bgp.opening import Open
from mercurylb.bgp.speaker import BgpSpeaker
from tests.sim.bgp.view import View
from tests.unit.bgp.rig import (
    ALL,
    ENDS,
    OPEN,
    PEER,
    REFRESH,
    Fixed,
    Rig,
    changes,
    closed,
    code,
    dials,
    messages,
    routes,
    told,
    types,
)

KEEPS = msgspec.structs.replace(PEER, has_graceful_restart=True)
HELPER = msgspec.structs.replace(
    OPEN,
    capabilities=msgspec.structs.replace(
        ALL, graceful_restart=GracefulRestart(120, has_notification=True)
    ),
)
BEHIND = msgspec.structs.replace(PEER, address="", interface="eth1")
LINK = Ends("fe80::2", "fe80::1", "eth1", "", "", "fe80::2")


def sent_open(rig: Rig) -> Open:
    """Let the dial succeed and give our OPEN."""
    (message,) = messages(rig.connect())
    return opening.decode(message.body)


def view_of(effects: list[object]) -> View:
    """Give what the neighbour has after that."""
    view = View()
    for effect in effects:
        if isinstance(effect, Send):
            view.read(effect.octets)
    return view


# --- peers ---------------------------------------------------------------------------------------


@pytest.mark.rule("bgp-native-2.6.removed")
def test_who_changes_begins_anew() -> None:
    """Equal settings change nothing; a changed peer is told 6/6, a removed one 6/3."""
    rig = Rig()
    rig.establish()
    assert rig.speaker.on_peers((PEER,), rig.now) == []
    other = msgspec.structs.replace(PEER, hold_time_s=30)
    effects = rig.speaker.on_peers((other,), rig.now)
    assert code(effects) == (6, 6)
    assert dials(rig.wait(0.0))[0].settings == other
    rig.speaker.on_connected(rig.connection + 1, ENDS, rig.now)
    assert code(rig.speaker.on_peers((), rig.now)) == (6, 3)


@pytest.mark.rule("bgp-native-1.7.ports", "bgp-native-1.1.one-each", "bgp-native-2.16.no-wait")
def test_peers_do_not_wait_for_each_other() -> None:
    """Two with one address and two ports: one is silent, the other one gets its routes."""
    near = msgspec.structs.replace(PEER, name="near", port=1179)
    speaker = BgpSpeaker("node-1", chance=Fixed())
    speaker.on_peers((PEER, near), 0.0)
    first, second = dials(speaker.on_deadline(0.0))
    assert (first.settings.port, second.settings.port) == (179, 1179)
    assert speaker.on_routes((routes("10.0.0.1/32", peers=("near", "tor")),), 0.0) == []
    speaker.on_connected(second.connection, ENDS, 0.0)
    speaker.on_drained(second.connection, 0.0)
    speaker.on_received(second.connection, opening.encode(OPEN) + KEEPALIVE, 0.0)
    effects = speaker.on_drained(second.connection, 0.0)
    assert view_of(effects).table.keys() == {"10.0.0.1/32"}
    assert [report.state for report in speaker.reports(0.0)] == ["Established", "Connect"]
    speaker.validate()


@pytest.mark.rule("bgp-native-2.1.listener")
def test_connections_of_configured_peers_are_taken() -> None:
    """Whoever else comes is told 6/5."""
    rig = Rig()
    assert rig.speaker.match("192.0.2.254") == "tor"
    assert rig.speaker.match("192.0.2.253") is None
    assert rig.speaker.match("192.0.2.254", vrf="red") is None
    assert types(rig.accept()) == ["OPEN"]
    rig.receive(opening.encode(OPEN))
    rig.receive(KEEPALIVE)
    assert rig.report.state == "Established"
    stranger = rig.speaker.allocate()
    effects = rig.speaker.on_accepted("", stranger, ENDS, rig.now)
    assert (code(effects), closed(effects)) == ((6, 5), [stranger])


# --- collisions ----------------------------------------------------------------------------------


@pytest.mark.rule("bgp-native-2.7.collision")
@pytest.mark.parametrize(("router_id", "stays"), [("1.0.0.1", "ours"), ("223.0.0.1", "theirs")])
@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_the_higher_identifier_keeps_its_connection(router_id: str, stays: str, first: str) -> None:
    """Whichever OPEN comes first; the other connection is told 6/7."""
    rig = Rig()
    rig.connect()
    numbers = {"ours": rig.connection}
    rig.accept()
    numbers["theirs"] = rig.connection
    opened = opening.encode(msgspec.structs.replace(OPEN, router_id=router_id))
    loses = "theirs" if stays == "ours" else "ours"
    effects = rig.receive(opened, numbers[first])
    assert code(effects, numbers[loses]) == (6, 7)
    assert closed(effects) == [numbers[loses]]
    if first == stays:
        assert types(effects, numbers[stays]) == ["KEEPALIVE"]
    else:
        assert types(rig.receive(opened, numbers[stays])) == ["KEEPALIVE"]
    rig.receive(KEEPALIVE, numbers[stays])
    assert rig.report.state == "Established"
    assert rig.report.last_error == ""


def test_an_established_session_stays() -> None:
    """Another connection is told 6/7, and the old one is tried for life."""
    rig = Rig()
    rig.establish()
    old = rig.connection
    effects = rig.accept()
    assert code(effects, rig.connection) == (6, 7)
    assert types(effects, old) == ["KEEPALIVE"]
    assert rig.report.state == "Established"


def test_a_peer_that_restarted_replaces_its_session() -> None:
    """With graceful restart its OPEN over a new connection ends the old one silently (RFC 4724)."""
    rig = Rig(KEEPS)
    rig.establish(HELPER)
    old = rig.connection
    assert types(rig.accept()) == ["OPEN"]
    effects = rig.receive(opening.encode(HELPER))
    assert Close(old, is_silent=True) in effects
    assert types(effects) == ["KEEPALIVE"]
    rig.receive(KEEPALIVE)
    assert rig.report.state == "Established"


# --- what is offered and agreed on ---------------------------------------------------------------


@pytest.mark.rule("bgp-native-1.2.open-more", "bgp-native-2.11.off", "bgp-native-2.13.roles")
def test_what_is_offered() -> None:
    """Everything that we can; a restart without families; no role."""
    assert sent_open(Rig()) == Open(
        64500,
        90,
        "192.0.2.1",
        Capabilities(
            families=(IPV4,),
            has_route_refresh=True,
            has_extended_message=True,
            graceful_restart=GracefulRestart(),
            asn=64500,
            has_enhanced_refresh=True,
            host="node-1",
        ),
    )


@pytest.mark.rule("bgp-native-2.1.families", "bgp-native-2.9.capability")
@pytest.mark.parametrize(
    ("settings", "ends", "families", "has_extended"),
    [
        (PEER, ENDS, (IPV4,), False),
        (msgspec.structs.replace(PEER, has_both_families=True), ENDS, (IPV4, IPV6), False),
        (PEER, Ends("2001:db8::1", "2001:db8::2"), (IPV6,), False),
        (
            msgspec.structs.replace(PEER, has_both_families=True),
            Ends("2001:db8::1", "2001:db8::2"),
            (IPV4, IPV6),
            True,
        ),
    ],
)
def test_the_families_of_a_session(
    settings: object, ends: Ends, families: object, *, has_extended: bool
) -> None:
    """Its own, or both; IPv4 with IPv6 next hops where they may be needed."""
    assert isinstance(settings, type(PEER))
    said = sent_open(Rig(settings, ends=ends)).capabilities
    assert said.families == families
    assert bool(said.extended_next_hops) is has_extended


@pytest.mark.rule("bgp-native-2.3.retry")
@pytest.mark.parametrize("subcode", [4, 7])
def test_a_peer_that_refuses_is_offered_less(subcode: int) -> None:
    """All, then families and number, then nothing, then all again."""
    rig = Rig()
    offered = []
    for _ in range(4):
        offered.append(sent_open(rig).capabilities)
        rig.receive(encode(Notification(2, subcode)))
        rig.now += rig.report.next_attempt_s or 0.0
    assert offered[0] == offered[3]
    assert offered[1] == Capabilities(families=(IPV4,), asn=64500)
    assert offered[2] == Capabilities()


@pytest.mark.rule("bgp-native-2.3.no-multiprotocol")
def test_a_peer_without_capabilities_has_ipv4() -> None:
    """And two octets for a number."""
    rig = Rig(msgspec.structs.replace(PEER, has_both_families=True))
    rig.establish(Open(64501, 90, "192.0.2.254"))
    assert rig.report.families == ("ipv4",)
    assert rig.report.capabilities == ()


def test_a_peer_without_a_common_family_is_told_so() -> None:
    """2/7 with what we wanted, and words that name it."""
    rig = Rig(ends=Ends("2001:db8::1", "2001:db8::2"))
    effects = rig.open(Open(64501, 90, "192.0.2.254"))
    found = told(effects)
    assert found is not None
    assert (found.code, found.subcode, found.data) == (2, 7, bytes.fromhex("010400020001"))
    assert rig.report.last_error == "the peer does not do ipv6 (2/7)"


@pytest.mark.parametrize(
    ("dynamic", "asn", "expected"),
    [("internal", 64500, None), ("internal", 64501, (2, 2)), ("external", 64500, (2, 2)),
     ("external", 64501, None)],
)  # fmt: skip
def test_dynamic_numbers(dynamic: str, asn: int, expected: object) -> None:
    """Internal is our own, external any other."""
    settings = msgspec.structs.replace(PEER, peer_asn=0, dynamic_asn=dynamic)
    rig = Rig(settings)
    said = msgspec.structs.replace(ALL, asn=asn)
    assert code(rig.open(Open(asn, 90, "192.0.2.254", said))) == expected
    assert rig.report.peer_asn == (0 if expected else asn)


# --- routes --------------------------------------------------------------------------------------


def test_routes_flow_while_the_peer_takes_them() -> None:
    """One chunk, then nothing until it has left; changes in between are one."""
    rig = Rig()
    rig.establish()
    many = [f"10.0.{i >> 8}.{i & 255}/32" for i in range(20_000)]
    effects = rig.speaker.on_routes((routes(*sorted(many)),), rig.now)
    (first,) = [effect for effect in effects if isinstance(effect, Send)]
    assert len(first.octets) < 40_000
    assert rig.speaker.on_routes((routes("10.0.0.1/32"),), rig.now) == []
    assert rig.report.prefixes_pending > 0
    effects = rig.drain(effects)
    assert view_of(effects).table.keys() == {"10.0.0.1/32"}
    assert rig.report.prefixes_sent == 1
    assert [prefix for prefix, _ in rig.speaker.sent("tor")] == ["10.0.0.1/32"]


def test_many_peers_get_many_routes_a_bounded_piece_at_a_time() -> None:
    """One call makes some chunks, the rest is due at once."""
    names = tuple(sorted(f"peer{i:02}" for i in range(16)))
    speaker = BgpSpeaker("node-1", chance=Fixed())
    peers = [msgspec.structs.replace(PEER, name=name) for name in names]
    speaker.on_peers(peers, 0.0)
    for dial in dials(speaker.on_deadline(0.0)):
        speaker.on_connected(dial.connection, ENDS, 0.0)
        speaker.on_received(dial.connection, opening.encode(OPEN) + KEEPALIVE, 0.0)
        speaker.on_drained(dial.connection, 0.0)
    many = sorted(f"10.0.{i >> 8}.{i & 255}/32" for i in range(20_000))
    effects = speaker.on_routes((routes(*many, peers=names),), 0.0)
    size = sum(len(effect.octets) for effect in effects if isinstance(effect, Send))
    assert 65536 <= size < 65536 + 40_000
    served = {effect.connection for effect in effects if isinstance(effect, Send)}
    while speaker.next_deadline() == 0.0:
        effects = speaker.on_deadline(0.0)
        speaker.validate()
        served |= {effect.connection for effect in effects if isinstance(effect, Send)}
    assert len(served) == 16


@pytest.mark.rule("bgp-native-2.10.again", "bgp-native-2.10.unknown")
def test_a_peer_asks_again() -> None:
    """The family comes again between its marks; one that the session lacks is ignored."""
    rig = Rig()
    rig.establish()
    rig.announce(routes("10.0.0.1/32"))
    effects = rig.drain(rig.receive(REFRESH))
    assert types(effects) == ["ROUTE_REFRESH", "UPDATE", "ROUTE_REFRESH"]
    assert rig.receive(REFRESH.replace(b"\x05\x00\x01", b"\x05\x00\x02")) == []
    effects = rig.drain(rig.speaker.on_reset("tor", rig.now, is_soft=True))
    assert types(effects) == ["ROUTE_REFRESH", "UPDATE", "ROUTE_REFRESH"]
    assert rig.report.counts.refreshes_received == 2


def test_leaving_routes_go_with_a_warning() -> None:
    """GRACEFUL_SHUTDOWN for a second, then they are withdrawn; who has none is not told."""
    rig = Rig()
    rig.establish()
    view = view_of(rig.announce(routes("10.0.0.1/32")))
    leaving = routes("10.0.0.1/32", "10.0.0.2/32", leaving=True)
    effects = rig.announce(leaving)
    view = view_of([*effects])
    assert view.table == {"10.0.0.1/32": (None, (64500,), (0xFFFF0000,), b"")}
    assert rig.wait(0.9) == []
    assert rig.announce(leaving) == []
    assert types(rig.drain(rig.wait(0.1))) == ["UPDATE"]
    assert rig.report.prefixes_sent == 0
    assert rig.announce(leaving) == []
    assert len(view_of(rig.announce(routes("10.0.0.1/32"))).table) == 1


# --- restarts and stops --------------------------------------------------------------------------


@pytest.mark.rule("bgp-native-2.11.on", "bgp-native-2.11.restarting")
def test_a_restarted_speaker_says_so_until_the_table_is_complete() -> None:
    """R and F; End-of-RIB waits for what is to be announced; the next OPEN is without R."""
    rig = Rig(KEEPS, restarting=True)
    said = sent_open(rig).capabilities.graceful_restart
    assert said == GracefulRestart(120, ((IPV4, True),), is_restarting=True, has_notification=True)
    rig.drain(rig.receive(opening.encode(HELPER)))
    assert rig.receive(KEEPALIVE)[:-1] == []
    view = view_of(rig.announce(routes("10.0.0.1/32")))
    assert (len(view.table), view.ended) == (1, {IPV4})
    rig.speaker.on_closed(rig.connection, "", rig.now)
    again = sent_open(rig).capabilities.graceful_restart
    assert again is not None
    assert not again.is_restarting


@pytest.mark.rule("bgp-native-2.11.restarting")
def test_nobody_waits_for_the_table_for_ever() -> None:
    """After two minutes End-of-RIB is told without one."""
    rig = Rig(KEEPS, restarting=True)
    rig.establish(HELPER)
    view = View()
    for _ in range(12):
        view.read(b"".join(e.octets for e in rig.drain(rig.wait(10.0)) if isinstance(e, Send)))
        rig.receive(KEEPALIVE)
    assert view.ended == {IPV4}
    assert rig.now == 220.0


@pytest.mark.rule("bgp-native-2.6.stop")
def test_a_planned_stop() -> None:
    """Warned, withdrawn, told why, closed, and it is over."""
    rig = Rig()
    rig.establish()
    rig.announce(routes("10.0.0.1/32"))
    assert "UPDATE" in types(rig.drain(rig.speaker.on_stop(rig.now, text="node is drained")))
    assert rig.wait(0.9) == []
    effects = rig.drain(rig.wait(0.1))
    found = told(effects)
    assert found is not None
    assert (found.code, found.subcode, found.text) == (6, 2, "node is drained")
    assert types(effects) == ["UPDATE", "NOTIFICATION"]
    assert effects[-1] == Stopped()
    assert rig.speaker.next_deadline() is None
    assert rig.speaker.on_peers((PEER,), rig.now) == []
    assert rig.speaker.on_routes((), rig.now) == []


@pytest.mark.rule("bgp-native-2.11.stop", "bgp-native-2.6.stop")
def test_a_planned_stop_with_graceful_restart() -> None:
    """Not a word, and at once."""
    rig = Rig(KEEPS)
    rig.establish(HELPER)
    rig.announce(routes("10.0.0.1/32"))
    effects = rig.speaker.on_stop(rig.now, text="restart")
    assert [effect for effect in effects if isinstance(effect, Send)] == []
    assert Close(rig.connection, is_silent=True) in effects
    assert effects[-1] == Stopped()


def test_a_stop_does_not_wait_for_a_peer_that_reads_nothing() -> None:
    """The withdrawal has two seconds."""
    rig = Rig()
    rig.establish()
    rig.announce(routes("10.0.0.1/32"))
    rig.speaker.on_stop(rig.now, text="")
    effects = rig.wait(3.0)
    assert code(effects) == (6, 2)
    assert effects[-1] == Stopped()


def test_a_stop_without_sessions_is_over_at_once() -> None:
    """A dial is given up, a stranger is refused."""
    rig = Rig()
    rig.dial()
    effects = rig.speaker.on_stop(rig.now, text="")
    assert Close(rig.connection, is_silent=True) in effects
    assert effects[-1] == Stopped()
    assert code(rig.speaker.on_accepted("tor", rig.speaker.allocate(), ENDS, rig.now)) == (6, 5)
    rig.speaker.validate()


@pytest.mark.parametrize(
    ("act", "expected"),
    [("remove", (6, 9)), ("bfd", (6, 9)), ("reset", (6, 4)), ("change", (6, 6))],
)
def test_what_voids_the_routes_is_a_hard_reset(act: str, expected: tuple[int, int]) -> None:
    """Else a peer with graceful restart would keep them after a NOTIFICATION (RFC 8538)."""
    rig = Rig(KEEPS)
    rig.establish(HELPER)
    if act == "remove":
        effects = rig.speaker.on_peers((), rig.now)
    elif act == "bfd":
        effects = rig.speaker.on_bfd("tor", is_up=False, reason="", now=rig.now)
    elif act == "reset":
        effects = rig.speaker.on_reset("tor", rig.now)
    else:
        effects = rig.speaker.on_peers((PEER,), rig.now)
    assert code(effects) == expected


# --- unnumbered ----------------------------------------------------------------------------------


@pytest.mark.rule("bgp-native-2.9.dial")
def test_a_router_behind_an_interface() -> None:
    """Looked for, dialled over its interface, and begun anew when it is another one."""
    rig = Rig(BEHIND, ends=LINK)
    assert rig.effects == [Discover("eth1", is_wanted=True)]
    assert rig.speaker.next_deadline() == rig.now + 120.0
    assert rig.report.last_error == "no router found behind eth1 yet"
    rig.speaker.on_discovered("eth1", "fe80::1", rig.now)
    assert rig.dial().remote == "fe80::1%eth1"
    rig.speaker.on_connected(rig.connection, LINK, rig.now)
    rig.receive(opening.encode(OPEN) + KEEPALIVE)
    assert rig.report.families == ("ipv4", "ipv6")
    assert rig.speaker.match("fe80::1", interface="eth1") == "tor"
    assert rig.speaker.on_discovered("eth1", "fe80::1", rig.now) == []
    assert changes(rig.speaker.on_discovered("eth1", "", rig.now)) == []
    assert rig.report.state == "Established"
    effects = rig.speaker.on_discovered("eth1", "fe80::9", rig.now)
    assert code(effects) == (6, 6)
    assert rig.dial().remote == "fe80::9%eth1"
    effects = rig.speaker.on_peers((), rig.now)
    assert Discover("eth1", is_wanted=False) in effects
    rig.speaker.on_peers((BEHIND,), rig.now)
    assert dials(rig.wait(0.0)) == [], "what was known of the link is old"


def test_a_router_that_is_gone_is_not_dialled() -> None:
    """Until it is back."""
    rig = Rig(BEHIND, ends=LINK)
    rig.speaker.on_discovered("eth1", "fe80::1", rig.now)
    rig.dial()
    effects = rig.speaker.on_discovered("eth1", "", rig.now)
    assert closed(effects) == [rig.connection]
    assert dials(rig.wait(60.0)) == []
    rig.speaker.on_discovered("eth1", "fe80::1", rig.now)
    rig.dial()


# --- what is told --------------------------------------------------------------------------------


def test_why_the_session_was_lost_is_not_forgotten_at_once() -> None:
    """What the peer said stands behind the failures that follow, until there is a session."""
    rig = Rig()
    rig.establish()
    rig.receive(encode(cease(2, "maintenance")))
    rig.dial()
    rig.speaker.on_connect_failed(rig.connection, "connection refused", rig.now)
    assert rig.report.last_error == (
        "connection refused; before: the peer said: "
        'cease: administrative shutdown (6/2): "maintenance"'
    )
    rig.now += 1.0
    rig.establish()
    assert rig.report.last_error.startswith("the peer said")


def test_the_story_is_bounded() -> None:
    """Whatever repeats is counted."""
    rig = Rig()
    rig.establish()
    for _ in range(100):
        rig.speaker.on_bfd("tor", is_up=True, reason="", now=rig.now)
    story = rig.speaker.story("tor")
    assert story[-1] == (rig.now, "BFD is up (100 times)")
    assert len(story) < 20
    for _ in range(200):
        rig.speaker.on_reset("tor", rig.now)
        rig.establish()
    assert len(rig.speaker.story("tor")) == 64
    assert rig.speaker.story("nobody") == ()
    assert list(rig.speaker.sent("nobody")) == []


def test_the_report_has_both_sides() -> None:
    """Of an established session."""
    rig = Rig(msgspec.structs.replace(PEER, local_asn=64777))
    rig.establish()
    report = rig.report
    assert (report.name, report.peer, report.state) == ("tor", "192.0.2.254:179", "Established")
    assert (report.asn, report.peer_asn, report.flap_count) == (64777, 64501, 0)
    assert (report.router_id, report.peer_router_id) == ("192.0.2.1", "192.0.2.254")
    assert (report.local_address, report.remote_address) == ("192.0.2.1", "192.0.2.254")
    assert (report.hold_time_s, report.keepalive_time_s) == (90, 30.0)
    assert "route refresh" in report.capabilities
    assert report.counts.opens_sent == report.counts.opens_received == 1
    assert report.next_attempt_s is None


def test_a_broken_invariant_is_noticed() -> None:
    """`validate` is no ornament."""
    rig = Rig()
    rig.establish()
    rig.speaker._roster._peers["tor"].dialler.retry_at = 1.0
    with pytest.raises(AssertionError):
        rig.speaker.validate()
