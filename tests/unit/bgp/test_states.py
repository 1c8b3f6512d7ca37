"""Each state and each event: what is sent, what is closed, and the state after (RFC 4271 8.2.2)."""

from __future__ import annotations

import msgspec
import pytest

from mercurylb.bgp import notification, opening
from mercurylb.bgp.effect import Close, SessionChanged
from mercurylb.bgp.message import KEEPALIVE, MessageType
from mercurylb.bgp.notification import Notification, cease
from mercurylb.bgp.opening import Open
from mercurylb.bgp.state import TRANSITIONS, State
from tests.unit.bgp.rig import (
    OPEN,
    PEER,
    REFRESH,
    UPDATE,
    Rig,
    changes,
    closed,
    code,
    dials,
    messages,
    routes,
    types,
)

MESSAGES = {
    "OPEN": opening.encode(OPEN),
    "KEEPALIVE": KEEPALIVE,
    "UPDATE": UPDATE,
    "ROUTE_REFRESH": REFRESH,
}
EXPECTED: dict[tuple[str, str], tuple[tuple[int, int] | None, str]] = {
    ("OpenSent", "OPEN"): (None, "OpenConfirm"),
    ("OpenSent", "KEEPALIVE"): ((5, 1), "Idle"),
    ("OpenSent", "UPDATE"): ((5, 1), "Idle"),
    ("OpenSent", "ROUTE_REFRESH"): ((5, 1), "Idle"),
    ("OpenConfirm", "OPEN"): ((5, 2), "Idle"),
    ("OpenConfirm", "KEEPALIVE"): (None, "Established"),
    ("OpenConfirm", "UPDATE"): ((5, 2), "Idle"),
    ("OpenConfirm", "ROUTE_REFRESH"): ((5, 2), "Idle"),
    ("Established", "OPEN"): ((5, 3), "Idle"),
    ("Established", "KEEPALIVE"): (None, "Established"),
    ("Established", "UPDATE"): (None, "Established"),
    ("Established", "ROUTE_REFRESH"): (None, "Established"),
}
LATE = ("OpenSent", "OpenConfirm", "Established")


def brought_to(state: str) -> Rig:
    """Bring a peer into a state."""
    rig = Rig()
    if state in ("Connect", "Active"):
        rig.dial()
    if state == "Active":
        rig.speaker.on_connect_failed(rig.connection, "connection refused", rig.now)
    if state == "OpenSent":
        rig.connect()
    if state == "OpenConfirm":
        rig.open()
    if state == "Established":
        rig.establish()
    assert rig.report.state == state
    return rig


@pytest.mark.rule("bgp-native-2.7.unexpected")
@pytest.mark.parametrize(("state", "message"), EXPECTED)
def test_each_message_in_each_state(state: str, message: str) -> None:
    """What belongs into a state leads on, anything else ends the session with 5/1 to 5/3."""
    rig = brought_to(state)
    effects = rig.receive(MESSAGES[message])
    assert (code(effects), rig.report.state) == EXPECTED[state, message]
    assert (rig.connection in closed(effects)) == (EXPECTED[state, message][0] is not None)


def test_the_table_has_what_is_expected() -> None:
    """The machine's own table says the same."""
    going_on = {
        (State(state), MessageType[message]): State(after)
        for (state, message), (told, after) in EXPECTED.items()
        if told is None
    }
    assert going_on == TRANSITIONS


@pytest.mark.rule("bgp-native-2.7.notification")
@pytest.mark.parametrize("state", LATE)
def test_a_notification_ends_the_session_in_each_state(state: str) -> None:
    """It is not answered, and its words are the reason."""
    rig = brought_to(state)
    effects = rig.receive(notification.encode(cease(2, "maintenance")))
    assert code(effects) is None
    assert closed(effects) == [rig.connection]
    assert changes(effects) == ["Idle"]
    assert rig.report.last_error == (
        'the peer said: cease: administrative shutdown (6/2): "maintenance"'
    )


@pytest.mark.parametrize("state", LATE)
def test_the_peer_closes_in_each_state(state: str) -> None:
    """Before its OPEN the peer is Active afterwards, then Idle; either way it is dialled again."""
    rig = brought_to(state)
    effects = rig.speaker.on_closed(rig.connection, "connection reset", rig.now)
    assert changes(effects) == ["Active" if state == "OpenSent" else "Idle"]
    assert rig.report.last_error == "connection reset"
    assert dials(rig.wait(0.0))


@pytest.mark.parametrize("state", ["Idle", "Connect", "Active", *LATE])
def test_a_removed_peer_ends_in_each_state(state: str) -> None:
    """Who has a connection is told 6/3, a dial ends silently, and there is nothing left to do."""
    rig = brought_to(state)
    effects = rig.speaker.on_peers((), rig.now)
    assert code(effects) == ((6, 3) if state in LATE else None)
    assert (rig.connection in closed(effects)) == (state in ("Connect", *LATE))
    assert rig.speaker.next_deadline() is None
    assert rig.speaker.reports(rig.now) == ()
    rig.speaker.validate()


@pytest.mark.parametrize("state", ["Idle", "Connect", "Active", *LATE])
def test_bfd_goes_down_in_each_state(state: str) -> None:
    """Connections end with 6/10, whatever else goes on."""
    rig = brought_to(state)
    effects = rig.speaker.on_bfd("tor", is_up=False, reason="detection expired", now=rig.now)
    assert code(effects) == ((6, 10) if state in LATE else None)
    rig.speaker.validate()


@pytest.mark.rule("bgp-native-2.7.start", "bgp-native-1.1.dials")
def test_a_new_peer_is_dialled_at_once() -> None:
    """Start: Connect."""
    rig = Rig()
    found = rig.dial()
    assert (found.peer, found.remote, found.settings) == ("tor", "192.0.2.254", PEER)
    assert rig.report.state == "Connect"


@pytest.mark.rule("bgp-native-2.7.connected", "bgp-native-1.2.up")
def test_a_connection_gets_our_open() -> None:
    """OpenSent; the session is not up before the peer's KEEPALIVE."""
    rig = Rig()
    assert types(rig.connect()) == ["OPEN"]
    assert rig.report.state == "OpenSent"
    rig.receive(opening.encode(OPEN))
    assert rig.report.state == "OpenConfirm"


@pytest.mark.rule("bgp-native-2.7.failed")
def test_a_failed_connect_is_tried_again() -> None:
    """Active, then Connect when the delay is over."""
    rig = Rig()
    for delay_s in (0.0, 1.0, 2.0):
        rig.dial()
        effects = rig.speaker.on_connect_failed(rig.connection, "no route to host", rig.now)
        assert changes(effects) == ["Active"]
        assert rig.report.last_error == "no route to host"
        assert rig.report.next_attempt_s == delay_s
        assert not dials(rig.wait(delay_s - 0.01)) or not delay_s
        rig.now += 0.01


@pytest.mark.rule("bgp-native-2.7.open")
def test_a_right_open_is_answered_with_a_keepalive() -> None:
    """OpenConfirm."""
    assert types(Rig().open()) == ["KEEPALIVE"]


@pytest.mark.rule("bgp-native-2.7.open-bad", "bgp-native-1.2.notification")
@pytest.mark.parametrize(
    ("opened", "expected"),
    [
        (msgspec.structs.replace(OPEN, asn=64999, capabilities=OPEN.capabilities), (2, 2)),
        (Open(64501, 2, "192.0.2.254"), (2, 6)),
        (Open(64501, 90, "0.0.0.0"), (2, 3)),
    ],
)
def test_a_wrong_open_gets_its_notification(opened: Open, expected: tuple[int, int]) -> None:
    """2/x, and the words are the reason."""
    if opened.asn == 64999:
        asn = msgspec.structs.replace(OPEN.capabilities, asn=64999)
        opened = msgspec.structs.replace(opened, capabilities=asn)
    rig = Rig()
    assert code(rig.open(opened)) == expected
    assert f"({expected[0]}/{expected[1]})" in rig.report.last_error


@pytest.mark.rule("bgp-native-2.7.open-closed")
def test_a_connection_that_closes_before_the_open_is_tried_again() -> None:
    """OpenSent: Active."""
    rig = brought_to("OpenSent")
    assert changes(rig.speaker.on_closed(rig.connection, "", rig.now)) == ["Active"]
    assert rig.report.last_error == "the connection was closed"
    rig.dial()


@pytest.mark.rule("bgp-native-2.7.established", "bgp-native-1.5.write-error")
def test_the_peers_keepalive_establishes_the_session() -> None:
    """Table, then End-of-RIB; the next session gets everything again."""
    rig = Rig()
    rig.announce(routes("10.0.0.1/32"))
    for _ in range(2):
        found = [m.body for m in messages(rig.establish()) if m.type == MessageType.UPDATE]
        assert len(found) == 2
        assert found[0].endswith(b"\x20\x0a\x00\x00\x01")
        assert found[1] == bytes(4)
        assert (rig.report.state, rig.report.prefixes_sent) == ("Established", 1)
        rig.speaker.on_closed(rig.connection, "broken pipe", rig.now)
        assert not rig.speaker._house.book._ribs, "nothing is kept of a session that is over"
        assert (rig.report.prefixes_sent, rig.report.prefixes_pending) == (0, 1)
    assert rig.report.flap_count == 2


@pytest.mark.rule("bgp-native-2.7.update-error")
def test_an_update_error_is_told() -> None:
    """Lengths beyond the message: 3/1."""
    rig = brought_to("Established")
    body = b"\x00\x09\x00\x00"
    effects = rig.receive(b"\xff" * 16 + b"\x00\x17\x02" + body)
    assert code(effects) == (3, 1)
    assert rig.report.state == "Idle"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [(bytes(19), (1, 1)), (b"\xff" * 16 + b"\x00\x12\x04", (1, 2)),
     (b"\xff" * 16 + b"\x00\x13\x09", (1, 3))],
)  # fmt: skip
@pytest.mark.parametrize("state", LATE)
def test_what_is_no_message_ends_the_session(
    state: str, octets: bytes, expected: tuple[int, int]
) -> None:
    """1/x, in each state."""
    assert code(brought_to(state).receive(octets)) == expected


def test_facts_of_connections_that_are_gone_change_nothing() -> None:
    """What crosses a close on its way is ignored."""
    rig = brought_to("Established")
    rig.speaker.on_reset("tor", rig.now)
    for effects in (
        rig.speaker.on_received(rig.connection, KEEPALIVE, rig.now),
        rig.speaker.on_drained(rig.connection, rig.now),
        rig.speaker.on_closed(rig.connection, "", rig.now),
        rig.speaker.on_connected(99, rig.ends, rig.now),
        rig.speaker.on_connect_failed(99, "", rig.now),
    ):
        assert effects == []


def test_what_follows_an_error_is_not_read() -> None:
    """A NOTIFICATION is the last thing that is said."""
    rig = brought_to("OpenSent")
    effects = rig.receive(KEEPALIVE + opening.encode(OPEN) + notification.encode(Notification(6)))
    assert types(effects) == ["NOTIFICATION"]
    assert isinstance(effects[-2], Close)
    assert isinstance(effects[-1], SessionChanged)


@pytest.mark.parametrize(("has_extended", "expected"), [(True, None), (False, (1, 2))])
def test_longer_messages_are_taken_once_both_sides_have_them(
    expected: tuple[int, int] | None, *, has_extended: bool
) -> None:
    """Beyond 4096 octets (RFC 8654)."""
    said = msgspec.structs.replace(OPEN.capabilities, has_extended_message=has_extended)
    rig = Rig()
    rig.establish(msgspec.structs.replace(OPEN, capabilities=said))
    withdrawn = b"\x20\x0a\x00\x00\x01" * 1000
    body = len(withdrawn).to_bytes(2, "big") + withdrawn + b"\0\0"
    octets = b"\xff" * 16 + (19 + len(body)).to_bytes(2, "big") + b"\x02" + body
    assert code(rig.receive(octets)) == expected
