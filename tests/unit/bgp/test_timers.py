"""Hold time, keepalives, delays: literal times."""

from __future__ import annotations

import msgspec
import pytest

from mercurylb.bgp import opening
from mercurylb.bgp.effect import Close, Send
from mercurylb.bgp.message import KEEPALIVE
from mercurylb.bgp.timer import Backoff, jittered
from tests.unit.bgp.rig import (
    OPEN,
    PEER,
    UPDATE,
    Fixed,
    Rig,
    changes,
    closed,
    code,
    dials,
    routes,
    types,
)


class Most:
    """The most that chance can do."""

    def random(self) -> float:
        return 1.0


@pytest.mark.rule("bgp-native-1.2.budget")
def test_ten_seconds_for_the_connection() -> None:
    """A dial that leads to nothing is given up."""
    rig = Rig()
    rig.dial()
    assert rig.wait(9.9) == []
    effects = rig.wait(0.1)
    assert closed(effects)[0] == rig.connection
    assert rig.report.last_error == "no connection within 10 s"
    assert dials(effects)


@pytest.mark.rule("bgp-native-1.2.budget")
def test_the_same_ten_seconds_for_the_open() -> None:
    """The time begins with the dial."""
    rig = Rig()
    rig.dial()
    rig.wait(6.0)
    rig.drain(rig.speaker.on_connected(rig.connection, rig.ends, rig.now))
    assert rig.wait(3.9) == []
    assert code(rig.wait(0.1)) == (4, 0)
    assert rig.report.last_error == "no OPEN within 10 s (4/0)"


@pytest.mark.rule("bgp-native-1.3.hold")
@pytest.mark.parametrize(
    ("ours", "theirs", "expected"), [(90, 30, 30), (9, 30, 9), (0, 30, 0), (90, 0, 0)]
)
def test_the_smaller_hold_time_counts(ours: int, theirs: int, expected: int) -> None:
    """0 on either side is none at all."""
    rig = Rig(msgspec.structs.replace(PEER, hold_time_s=ours))
    rig.announce()
    rig.establish(msgspec.structs.replace(OPEN, hold_time_s=theirs))
    assert rig.report.hold_time_s == expected
    assert rig.report.keepalive_time_s == expected / 3
    if not expected:
        assert rig.wait(10_000) == []
        assert rig.report.state == "Established"


@pytest.mark.rule("bgp-native-2.7.hold", "bgp-native-1.3.silent", "bgp-native-1.3.keepalive")
def test_a_silent_peer_is_given_up() -> None:
    """KEEPALIVEs each third of the hold time, then 4/0."""
    rig = Rig()
    rig.establish()
    assert types(rig.wait(89.9)) == ["KEEPALIVE", "KEEPALIVE"]
    effects = rig.wait(0.1)
    assert code(effects) == (4, 0)
    assert rig.report.last_error == "nothing heard for 90 s (4/0)"


@pytest.mark.rule("bgp-native-2.7.restart")
@pytest.mark.parametrize("octets", [KEEPALIVE, UPDATE])
def test_each_message_restarts_the_hold_timer(octets: bytes) -> None:
    """KEEPALIVE or UPDATE."""
    rig = Rig()
    rig.establish()
    for _ in range(5):
        rig.drain(rig.wait(80.0))
        rig.drain(rig.receive(octets))
    assert rig.report.state == "Established"
    assert code(rig.wait(90.0)) == (4, 0)


def test_who_slept_reads_before_it_judges() -> None:
    """A timer that is looked at late gives what waits to be read a moment."""
    rig = Rig()
    rig.establish()
    rig.now += 200.0
    assert code(rig.speaker.on_deadline(rig.now)) is None
    rig.drain(rig.receive(KEEPALIVE))
    rig.wait(60.0)
    assert rig.report.state == "Established"
    rig.now += 200.0
    assert rig.report.state == "Established"
    rig.drain(rig.speaker.on_deadline(rig.now))
    assert code(rig.wait(0.5)) == (4, 0)


@pytest.mark.rule("bgp-native-2.1.keepalive")
@pytest.mark.parametrize(("wanted", "expected"), [(None, 30), (10, 10), (60, 30), (0, 30)])
def test_the_keepalive_time_is_never_longer_than_a_third(
    wanted: int | None, expected: float
) -> None:
    """And at least a second."""
    rig = Rig(msgspec.structs.replace(PEER, keepalive_time_s=wanted))
    rig.establish()
    assert rig.report.keepalive_time_s == expected
    assert rig.wait(expected - 0.1) == []
    assert types(rig.wait(0.1)) == ["KEEPALIVE"]


def test_a_hold_time_of_three_seconds_has_a_keepalive_each_second() -> None:
    """The least there is."""
    rig = Rig(msgspec.structs.replace(PEER, hold_time_s=3))
    rig.establish()
    assert rig.report.keepalive_time_s == 1.0


def test_routes_are_signs_of_life_as_well() -> None:
    """An UPDATE puts the next KEEPALIVE off."""
    rig = Rig()
    rig.establish()
    rig.wait(20.0)
    rig.announce(routes("10.0.0.1/32"))
    assert rig.wait(29.9) == []
    assert types(rig.wait(0.1)) == ["KEEPALIVE"]


def test_a_peer_that_reads_nothing_is_given_up() -> None:
    """After two hold times, silently: it would not read a NOTIFICATION either (RFC 9687)."""
    rig = Rig()
    rig.establish()
    sent = rig.speaker.on_routes((routes("10.0.0.1/32"),), rig.now)
    assert any(isinstance(effect, Send) for effect in sent)
    for _ in range(17):
        rig.wait(10.0)
        rig.receive(KEEPALIVE)
    rig.wait(9.9)
    assert rig.report.state == "Established"
    effects = rig.wait(0.1)
    assert code(effects) is None
    assert Close(rig.connection, is_silent=True) in effects
    assert rig.report.last_error == "the peer reads nothing of what is sent (8/0)"


@pytest.mark.rule("bgp-native-1.3.delays")
def test_the_delays_grow() -> None:
    """0, 1, 2, 4 … 120, always 120; shortened by up to a quarter."""
    backoff = Backoff(None, Fixed())
    expected = [0, 1, 2, 4, 8, 16, 32, 64, 120, 120, 120]
    assert [backoff.next_delay_s() for _ in expected] == expected
    backoff.reset()
    assert backoff.next_delay_s() == 0
    assert jittered(120.0, Most()) == 90.0


@pytest.mark.rule("bgp-native-2.1.connect-time", "bgp-native-2.16.delays")
def test_the_connect_time_replaces_them() -> None:
    """The first failure costs nothing."""
    backoff = Backoff(15, Fixed())
    assert [backoff.next_delay_s() for _ in range(4)] == [0, 15, 15, 15]


@pytest.mark.rule("bgp-native-1.3.delays")
def test_a_lost_session_is_tried_at_once_unless_it_flaps() -> None:
    """A session that lasted resets the delays, one that did not makes them grow."""
    rig = Rig()
    for delay_s in (0.0, 1.0, 2.0, 4.0):
        rig.establish()
        rig.speaker.on_closed(rig.connection, "", rig.now)
        assert rig.report.next_attempt_s == delay_s
        rig.now += delay_s
    rig.establish()
    rig.wait(10.0)
    rig.speaker.on_closed(rig.connection, "", rig.now)
    assert rig.report.next_attempt_s == 0.0


def test_bfd_that_returns_ends_the_waiting() -> None:
    """A broken path is left alone for a second, or until BFD is up."""
    rig = Rig()
    rig.establish()
    effects = rig.speaker.on_bfd("tor", is_up=False, reason="detection expired", now=rig.now)
    assert (code(effects), changes(effects)) == ((6, 10), ["Idle"])
    assert rig.report.last_error == "BFD is down: detection expired"
    assert rig.wait(0.9) == []
    rig.speaker.on_bfd("tor", is_up=True, reason="", now=rig.now)
    rig.dial()


def test_bfd_that_stays_away_keeps_nobody_waiting() -> None:
    """The timer goes on."""
    rig = Rig()
    rig.establish()
    rig.speaker.on_bfd("tor", is_up=False, reason="", now=rig.now)
    assert len(dials(rig.wait(1.0))) == 1


def test_who_waits_can_be_hastened() -> None:
    """What an attempt lacked is there; who does not wait is left alone."""
    rig = Rig()
    for delay_s in (0.0, 1.0, 2.0):
        rig.dial()
        rig.speaker.on_connect_failed(rig.connection, "no such device", rig.now)
        if delay_s < 2.0:
            rig.now += delay_s
    rig.speaker.on_retry("tor", rig.now)
    rig.dial()
    assert rig.speaker.on_retry("tor", rig.now) == []
    assert rig.speaker.on_retry("nobody", rig.now) == []


def test_an_open_that_nobody_confirms_ends_some_time() -> None:
    """Also where no hold time was agreed on."""
    rig = Rig(msgspec.structs.replace(PEER, hold_time_s=0))
    rig.connect()
    rig.drain(rig.receive(opening.encode(OPEN)))
    assert rig.wait(239.0) == []
    assert code(rig.wait(1.0)) == (4, 0)
