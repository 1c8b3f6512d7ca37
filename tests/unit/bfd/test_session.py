"""The machine of one session."""

from __future__ import annotations

import itertools

import pytest

from mercurylb.bfd.auth import Authentication, AuthenticationType, Signer
from mercurylb.bfd.effect import BfdChanged, ClosePort
from mercurylb.bfd.packet import Diagnostic, Refusal, State
from mercurylb.bfd.session import LATE_S, LOOK_S, SETTLE_S, SETTLES_MAX, STORY_MAX
from mercurylb.bfd.settings import BfdSettings
from tests.unit.bfd.scene import FAST, KEY, REMOTE, Even, Scene

A, D, I, U = State.ADMIN_DOWN, State.DOWN, State.INIT, State.UP  # noqa: E741 (a table)
NAMES = {A: "AdminDown", D: "Down", I: "Init", U: "Up"}


@pytest.mark.rule("bgp-native-2.14.states")
@pytest.mark.parametrize(
    ("local", "received", "then"),
    [
        (D, A, D),
        (D, D, I),
        (D, I, U),
        (D, U, D),
        (I, A, D),
        (I, D, I),
        (I, I, U),
        (I, U, U),
        (U, A, D),
        (U, D, D),
        (U, I, U),
        (U, U, U),
    ],
)
def test_a_received_state_leads_to(local: State, received: State, then: State) -> None:
    """Each cell of the table holds, and every change is told, with the right diagnostic."""
    scene = Scene()
    scene.bring_to(local)
    scene.hear(received)
    assert scene.state == NAMES[then]
    assert [change.state for change in scene.changes] == [NAMES[then]] * (then is not local)
    if then is D and local is not D:
        assert scene.said[-1].diagnostic == Diagnostic.NEIGHBOR_DOWN
        assert scene.changes[-1].diagnostic == "Neighbor Signaled Session Down"


@pytest.mark.rule("bgp-native-2.14.states")
def test_only_a_fault_of_an_up_session_is_a_failure() -> None:
    """A neighbour that switches BFD off says nothing of the path (RFC 5882 section 3.2)."""
    for received, is_failure in ((A, False), (D, True)):
        scene = Scene()
        scene.bring_to(U)
        scene.hear(received)
        assert [change.is_failure for change in scene.changes] == [is_failure]
    scene = Scene()
    scene.bring_to(I)
    scene.hear(A)
    assert not scene.changes[-1].is_failure


@pytest.mark.rule("bgp-native-2.14.states")
def test_news_are_told_at_once() -> None:
    """A change of the state does not wait for the next periodic packet."""
    scene = Scene()
    scene.hear(D)
    assert [packet.state for packet in scene.said] == [I]
    assert scene.said[-1].your_discriminator == REMOTE
    scene.hear(I)
    assert scene.said[-1].state is U


@pytest.mark.rule("bgp-native-2.14.expiry")
@pytest.mark.parametrize("state", [I, U])
def test_silence_brings_the_session_down(state: State) -> None:
    """After the detection time without a packet it is Down with diagnostic 1."""
    scene = Scene()
    scene.bring_to(state)
    detection_s = 3.0 if state is I else 0.15
    scene.run(detection_s - 0.001)
    assert scene.state == NAMES[state]
    scene.run(0.002 + LOOK_S)
    assert scene.state == "Down"
    assert scene.changes == [
        BfdChanged(KEY, "Down", "Control Detection Time Expired", is_failure=state is U)
    ]
    assert scene.said[-1].diagnostic == Diagnostic.EXPIRED
    assert scene.said[-1].your_discriminator == 0, "who is silent is forgotten"


@pytest.mark.rule("bgp-native-2.14.expiry")
def test_who_fell_silent_in_down_is_forgotten_too() -> None:
    """The other side's discriminator is not used longer than a detection time."""
    scene = Scene()
    scene.hear(A)
    scene.run(4.0)
    assert scene.said[-1].your_discriminator == 0
    assert scene.changes == []


@pytest.mark.rule("bgp-native-2.14.detection-time")
@pytest.mark.parametrize(
    ("multiplier", "remote_tx_ms", "own_rx_ms", "detection_ms"),
    [(3, 50, 50, 150), (5, 50, 50, 250), (3, 200, 50, 600), (3, 50, 100, 300), (1, 60, 50, 60)],
)
def test_the_detection_time_is_the_remote_multiplier_times_the_slower_interval(
    multiplier: int, remote_tx_ms: int, own_rx_ms: int, detection_ms: int
) -> None:
    """The other side's multiplier counts, and the slower of its sending and our receiving."""
    scene = Scene(BfdSettings(receive_interval_ms=own_rx_ms, transmit_interval_ms=50))
    scene.bring_to(U)
    scene.hear(U, multiplier=multiplier, desired_min_tx_us=remote_tx_ms * 1000)
    report = scene.table.report(KEY, scene.now)
    assert report is not None
    assert report.detection_time_ms == pytest.approx(detection_ms)
    scene.run(detection_ms / 1000 - 0.002)
    assert scene.state == "Up"
    scene.run(0.004 + LOOK_S)
    assert scene.state == "Down"


# --- how often it sends ------------------------------------------------------------------------


def gaps(scene: Scene, seconds: float, *, remote_rx_us: int = 50_000) -> list[float]:
    """Return the times between packets of an established conversation."""
    scene.said_at.clear()
    for _ in range(round(seconds / 0.04)):
        scene.run(0.04)
        scene.hear(U, desired_min_tx_us=50_000, required_min_rx_us=remote_rx_us)
    at = scene.said_at
    return [after - before for before, after in itertools.pairwise(at)]


@pytest.mark.rule("bgp-native-2.14.tx-interval")
@pytest.mark.parametrize(
    ("own_ms", "remote_rx_ms", "interval_ms"), [(50, 50, 50), (50, 200, 200), (300, 50, 300)]
)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_packets_leave_at_the_slower_interval_less_jitter(
    own_ms: int, remote_rx_ms: int, interval_ms: int, share: float
) -> None:
    """They are 75 to 100 % of the interval apart."""
    scene = Scene(
        BfdSettings(receive_interval_ms=50, transmit_interval_ms=own_ms), chance=Even(share)
    )
    scene.bring_to(U)
    seen = gaps(scene, 3.0, remote_rx_us=remote_rx_ms * 1000)[1:]
    assert seen
    for gap in seen:
        assert interval_ms * (0.75 + share / 4) == pytest.approx(gap * 1000, abs=1.1)


@pytest.mark.rule("bgp-native-2.14.tx-interval")
@pytest.mark.parametrize(("share", "part"), [(0.0, 0.75), (0.999, 0.9)])
def test_with_a_multiplier_of_one_jitter_leaves_a_margin(share: float, part: float) -> None:
    """They are 75 to 90 % of the interval apart, lest one lost moment looks like silence."""
    scene = Scene(
        BfdSettings(receive_interval_ms=50, transmit_interval_ms=100, detect_multiplier=1),
        chance=Even(share),
    )
    scene.bring_to(U)
    for gap in gaps(scene, 2.0)[1:]:
        assert gap == pytest.approx(0.1 * part, abs=0.0011)


@pytest.mark.rule("bgp-native-2.14.tx-interval")
def test_below_up_a_packet_a_second_is_enough() -> None:
    """A session that is not up asks for no interval under a second, and keeps to that."""
    scene = Scene()
    scene.run(10.0)
    assert 9 <= len(scene.said) <= 14
    assert {packet.desired_min_tx_us for packet in scene.said} == {1_000_000}
    scene.hear(I)
    assert scene.said[-1].desired_min_tx_us == 50_000


@pytest.mark.rule("bgp-native-2.14.tx-interval")
def test_who_wants_no_packets_gets_none_but_answers() -> None:
    """A required interval of 0 stops periodic packets; P is still answered."""
    scene = Scene()
    scene.bring_to(U)
    scene.hear(U, required_min_rx_us=0)
    scene.run(0.1)
    assert scene.said == []
    scene.hear(U, required_min_rx_us=0, is_poll=True)
    assert [packet.is_final for packet in scene.said] == [True]


@pytest.mark.rule("bgp-native-2.14.tx-interval")
def test_who_wanted_no_packets_and_went_is_spoken_to_again() -> None:
    """What a forgotten neighbour asked for does not bind its successor."""
    scene = Scene()
    scene.bring_to(U)
    scene.hear(U, required_min_rx_us=0)
    scene.run(4.0)
    assert scene.said


def test_a_late_packet_does_not_delay_those_after_it() -> None:
    """Lateness of our own is made good within the bounds of the jitter."""
    scene = Scene(chance=Even(0.999))
    scene.bring_to(U)
    due = scene.table.next_deadline()
    assert due is not None
    scene.now = due + 0.008
    scene.take(scene.table.on_deadline(scene.now))
    following = scene.table.next_deadline()
    assert following is not None
    assert following - due == pytest.approx(0.05, abs=0.001)


@pytest.mark.rule("bgp-native-2.14.demand")
def test_a_neighbour_on_demand_is_left_in_peace() -> None:
    """We never set D; who sets it gets no periodic packets while both are up."""
    scene = Scene()
    scene.bring_to(U)
    scene.hear(U, is_demand=True)
    scene.run(0.1)
    assert scene.said == []
    scene.hear(U)
    scene.run(0.1)
    assert scene.said
    assert not any(packet.is_demand for packet in scene.said)


# --- polls -------------------------------------------------------------------------------------


@pytest.mark.rule("bgp-native-2.14.poll")
@pytest.mark.parametrize("state", [D, I, U])
def test_p_is_answered_by_f_at_once(state: State) -> None:
    """The answer does not wait, and does not ask itself, even while we are polling."""
    scene = Scene()
    scene.answers = False
    scene.bring_to(state)
    scene.hear(U if state is U else D, is_poll=True)
    assert scene.said[-1].is_final
    assert not scene.said[-1].is_poll


@pytest.mark.rule("bgp-native-2.14.poll")
def test_the_interval_of_an_up_session_is_polled_until_it_is_heard() -> None:
    """P stands in every periodic packet until one with F comes."""
    scene = Scene()
    scene.answers = False
    scene.bring_to(U)
    scene.converse(0.2)
    assert len(scene.said) >= 3
    assert all(packet.is_poll for packet in scene.said)
    scene.hear(U, is_final=True)
    scene.said.clear()
    scene.converse(0.2)
    assert not any(packet.is_poll for packet in scene.said)


@pytest.mark.rule("bgp-native-2.14.poll")
@pytest.mark.parametrize(
    ("tx_ms", "before_ms", "after_ms"), [(200, 50, 200), (20, 50, 50), (100, 50, 100)]
)
def test_a_longer_interval_waits_for_the_answer(tx_ms: int, before_ms: int, after_ms: int) -> None:
    """It is told at once and in force only when the other side knows, which sends no less often."""
    scene = Scene()
    scene.bring_to(U)
    wanted = BfdSettings(receive_interval_ms=50, transmit_interval_ms=tx_ms)
    scene.take(scene.table.on_wanted({KEY: wanted}, scene.now))
    report = scene.table.report(KEY, scene.now)
    assert report is not None
    assert report.transmit_interval_ms == pytest.approx(before_ms)
    scene.converse(0.1)
    assert scene.said[-1].is_poll
    assert scene.said[-1].desired_min_tx_us == tx_ms * 1000
    scene.hear(U, is_final=True)
    report = scene.table.report(KEY, scene.now)
    assert report is not None
    assert report.transmit_interval_ms == pytest.approx(after_ms)
    assert scene.changes == [], "nothing is interrupted"


@pytest.mark.rule("bgp-native-2.14.poll")
def test_less_patience_waits_for_the_answer() -> None:
    """A shorter receive interval is in force only when the other side sends as often."""
    scene = Scene(BfdSettings(receive_interval_ms=200, transmit_interval_ms=50))
    scene.bring_to(U)
    scene.take(scene.table.on_wanted({KEY: FAST}, scene.now))
    report = scene.table.report(KEY, scene.now)
    assert report is not None
    assert report.detection_time_ms == pytest.approx(600)
    scene.hear(U, is_final=True, desired_min_tx_us=50_000)
    report = scene.table.report(KEY, scene.now)
    assert report is not None
    assert report.detection_time_ms == pytest.approx(150)


@pytest.mark.rule("bgp-native-2.14.poll")
def test_a_change_during_a_poll_is_polled_for_itself() -> None:
    """An answer may be to what was said before, so a second one is waited for."""
    scene = Scene()
    scene.bring_to(U)
    for tx_ms in (100, 200):
        wanted = BfdSettings(receive_interval_ms=50, transmit_interval_ms=tx_ms)
        scene.take(scene.table.on_wanted({KEY: wanted}, scene.now))
    for interval_ms in (50, 200):
        scene.hear(U, is_final=True)
        report = scene.table.report(KEY, scene.now)
        assert report is not None
        assert report.transmit_interval_ms == pytest.approx(interval_ms)


def test_a_new_multiplier_needs_no_poll() -> None:
    """It is simply said from then on."""
    scene = Scene()
    scene.bring_to(U)
    wanted = BfdSettings(receive_interval_ms=50, transmit_interval_ms=50, detect_multiplier=7)
    scene.take(scene.table.on_wanted({KEY: wanted}, scene.now))
    scene.converse(0.1)
    assert scene.said[-1].multiplier == 7
    assert not scene.said[-1].is_poll


# --- passive, echo -----------------------------------------------------------------------------


@pytest.mark.rule("bgp-native-2.14.passive")
def test_a_passive_session_speaks_when_spoken_to() -> None:
    """It says nothing before the first packet, and nothing more once the other side is gone."""
    scene = Scene(BfdSettings(50, 50, is_passive=True))
    scene.run(5.0)
    assert scene.said == []
    scene.hear(D)
    assert [packet.state for packet in scene.said] == [I]
    scene.run(5.0)
    scene.said.clear()
    scene.run(5.0)
    assert scene.said == []


@pytest.mark.rule("bgp-native-2.14.echo-interval")
@pytest.mark.parametrize("has_echo", [True, False])
def test_the_echo_interval_is_told_in_any_case(has_echo: bool) -> None:  # noqa: FBT001
    """What is configured stands in the packets, as FRR's do."""
    scene = Scene(BfdSettings(50, 50, echo_interval_ms=90, has_echo=has_echo))
    scene.run(1.0)
    assert scene.said[-1].required_min_echo_rx_us == 90_000


@pytest.mark.rule("bgp-native-2.14.defaults")
def test_the_defaults_are_those_of_frr() -> None:
    """300 ms both ways, three times, echo 50 ms and off, not passive, TTL 254."""
    assert BfdSettings() == BfdSettings(300, 300, 3, 50, False, False, 254, None)


# --- the end -----------------------------------------------------------------------------------


@pytest.mark.rule("bgp-native-2.14.admin-down")
def test_a_session_that_is_not_wanted_says_so_before_it_ends() -> None:
    """AdminDown with diagnostic 7 is said for a detection time, more than once, then it ends."""
    scene = Scene()
    scene.bring_to(U)
    scene.take(scene.table.on_wanted({}, scene.now))
    assert scene.table.reports(scene.now) == ()
    assert [change.state for change in scene.changes] == ["AdminDown"]
    assert not scene.changes[0].is_failure
    scene.run(0.14)
    assert scene.other == []
    assert not scene.table.is_idle
    scene.run(0.02)
    assert scene.other == [ClosePort(KEY)]
    assert scene.table.is_idle
    assert len(scene.said) >= 3
    assert {(packet.state, packet.diagnostic) for packet in scene.said} == {
        (A, Diagnostic.ADMIN_DOWN)
    }


@pytest.mark.rule("bgp-native-2.14.admin-down")
def test_what_is_said_to_an_ended_session_is_ignored() -> None:
    """Nothing brings it up again, and P is not answered."""
    scene = Scene()
    scene.bring_to(U)
    scene.take(scene.table.on_wanted({}, scene.now))
    scene.said.clear()
    for state in (A, D, I, U):
        scene.hear(state, is_poll=True)
    assert scene.said == []
    assert scene.state == "AdminDown"
    assert scene.dropped == {Refusal.ADMIN_DOWN: 4}


def test_nobody_is_told_that_a_session_ends_which_nobody_knew() -> None:
    """Without a neighbour it ends at once."""
    scene = Scene()
    scene.run(1.0)
    scene.take(scene.table.on_wanted({}, scene.now))
    assert scene.other[-1] == ClosePort(KEY)


def test_a_session_that_is_wanted_again_begins_anew_on_its_port() -> None:
    """No port is closed and opened for it."""
    scene = Scene()
    scene.bring_to(U)
    scene.take(scene.table.on_wanted({}, scene.now))
    scene.take(scene.table.on_wanted({KEY: FAST}, scene.now))
    assert scene.state == "Down"
    assert scene.other == []
    scene.hear(D)
    scene.hear(I)
    scene.converse(1.0)
    assert scene.state == "Up"


def test_a_neighbour_that_bears_silence_for_long_does_not_hold_up_the_end() -> None:
    """The farewell is bounded, whatever the other side asks for."""
    scene = Scene()
    scene.bring_to(U)
    scene.hear(U, required_min_rx_us=2**32 - 1)
    scene.take(scene.table.on_wanted({}, scene.now))
    scene.run(11.0)
    assert scene.table.is_idle


# --- our own lateness --------------------------------------------------------------------------


def stand_still(scene: Scene, seconds: float) -> None:
    """Let time pass without the machine being called, and then call its timer first."""
    scene.now += seconds
    scene.take(scene.table.on_deadline(scene.now))


def test_who_stood_still_reads_before_it_judges() -> None:
    """A timer that is late declares nobody dead whose packets are waiting in the socket."""
    scene = Scene()
    scene.bring_to(U)
    scene.run(0.1)
    stand_still(scene, 1.0)
    assert scene.state == "Up"
    scene.run(SETTLE_S / 2)
    scene.hear(U, desired_min_tx_us=50_000)
    scene.run(0.1)
    assert scene.state == "Up"
    assert scene.changes == []


def test_who_stood_still_finds_the_dead_soon_after() -> None:
    """A silent neighbour is found as soon as the sockets were read."""
    scene = Scene()
    scene.bring_to(U)
    stand_still(scene, 1.0)
    scene.run(SETTLE_S + 0.001)
    assert scene.state == "Down"


def test_who_stands_still_again_and_again_judges_in_the_end() -> None:
    """The settling is given a bounded number of times."""
    scene = Scene()
    scene.bring_to(U)
    for _ in range(SETTLES_MAX):
        stand_still(scene, 0.4)
        assert scene.state == "Up"
    stand_still(scene, 0.4)
    assert scene.state == "Down"


def test_a_timer_on_time_looks_once_and_judges() -> None:
    """The usual lateness of a timer costs next to nothing."""
    scene = Scene()
    scene.bring_to(U)
    scene.run(0.149)
    stand_still(scene, 0.001 + LATE_S * 0.9)
    assert scene.state == "Up"
    scene.run(LOOK_S + 0.001)
    assert scene.state == "Down"


def test_a_standstill_that_ends_just_when_a_verdict_is_due_is_noticed() -> None:
    """What should have been sent meanwhile proves it, although the verdict itself is in time."""
    scene = Scene()
    scene.bring_to(U)
    stand_still(scene, 0.151)
    scene.run(SETTLE_S - 0.001)
    assert scene.state == "Up"
    scene.run(0.002)
    assert scene.state == "Down"


# --- what is believed --------------------------------------------------------------------------


def test_authenticated_sessions_come_up_only_with_the_key() -> None:
    """Packets without proof, with a wrong one, or with one where none is agreed are dropped."""
    agreed = Authentication(AuthenticationType.METICULOUS_SHA1, 1, b"key")
    scene = Scene(BfdSettings(50, 50, authentication=agreed))
    scene.hear(D)
    guess = Signer(Authentication(AuthenticationType.METICULOUS_SHA1, 1, b"guess"), 0)
    right = Signer(agreed, 0)
    for signer in (guess, right):
        octets = signer.sign(scene.packet(D))
        scene.take(scene.table.on_packet(scene.arrival(octets), scene.now))
    assert scene.state == "Init"
    assert scene.dropped == {Refusal.AUTHENTICATION: 2}
    assert scene.said[-1].authentication

    plain = Scene()
    plain.take(plain.table.on_packet(plain.arrival(right.sign(plain.packet(D))), plain.now))
    assert plain.state == "Down"
    assert plain.dropped == {Refusal.AUTHENTICATION: 1}


def test_a_sequence_is_forgotten_after_twice_the_detection_time() -> None:
    """A neighbour that restarts with another sequence is believed again, but not sooner."""
    agreed = Authentication(AuthenticationType.METICULOUS_MD5, 1, b"key")
    scene = Scene(BfdSettings(50, 50, authentication=agreed))
    for waiting_s, dropped_count in ((0.0, 0), (4.0, 1), (4.0, 1)):
        scene.run(waiting_s)
        octets = Signer(agreed, round(scene.now * 1000)).sign(scene.packet(D))
        scene.take(scene.table.on_packet(scene.arrival(octets), scene.now))
        assert scene.dropped.get(Refusal.AUTHENTICATION, 0) == dropped_count


def test_a_story_is_bounded_and_tells_the_causes() -> None:
    """The machine remembers the latest transitions and why they came about."""
    scene = Scene()
    for _ in range(STORY_MAX):
        scene.bring_to(U)
        scene.hear(D)
    story = scene.table.story(KEY)
    assert len(story) == STORY_MAX
    assert "peer says Down: no diagnostic" in [what for _, what in story]
    assert story[-1] == (scene.now, "Up -> Down")


def test_a_report_counts() -> None:
    """Ups, downs and packets are counted; the reason for the latest fault stays when up again."""
    scene = Scene()
    scene.bring_to(U)
    scene.hear(D)
    scene.hear(D)
    scene.hear(U)
    report = scene.table.report(KEY, scene.now + 2.0)
    assert report is not None
    assert (report.state, report.since_s) == ("Up", 2.0)
    assert (report.up_count, report.down_count) == (2, 1)
    assert report.diagnostic == "Neighbor Signaled Session Down"
    assert report.packets_received == 5
    assert report.packets_sent > 0


def test_what_cannot_be_sent_is_told() -> None:
    """An operator sees why nothing leaves."""
    scene = Scene()
    scene.take(scene.table.on_send_failed(KEY, "no such device", scene.now))
    detail = scene.table.detail(KEY, scene.now)
    assert detail is not None
    assert detail.send_error == "no such device"
