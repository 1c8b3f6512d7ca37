"""The heartbeat machine."""

from __future__ import annotations

import msgspec
import pytest

from mercurylb.errors import WireError
from mercurylb.membership.heartbeat import HeartbeatMembership
from mercurylb.membership.heartbeat_codec import Heartbeat, decode, derive_key, encode
from mercurylb.membership.member import (
    DownReason,
    Left,
    MemberDown,
    MemberHearsUs,
    MemberUp,
    SendDatagram,
)

SECRET = b"s"
KEY = derive_key(SECRET)


class Peer(msgspec.Struct, frozen=True):
    """Another node."""

    node: str
    address: str


B = Peer("b", "10.0.0.2")
C = Peer("c", "10.0.0.3")
READY = Heartbeat("b", 7, 1, is_ready=True, is_leaving=False)


def beat(sequence: int, **changes: object) -> bytes:
    """Return a datagram of b."""
    return encode(msgspec.structs.replace(READY, sequence=sequence, **changes), KEY)


def sent(effects: list[object]) -> list[Heartbeat]:
    """Return the heartbeats among effects."""
    return [decode(e.payload, KEY) for e in effects if isinstance(e, SendDatagram)]


def others(effects: list[object]) -> list[object]:
    """Return the effects that are no heartbeats."""
    return [effect for effect in effects if not isinstance(effect, SendDatagram)]


@pytest.fixture
def machine() -> HeartbeatMembership:
    """Return node a, up beside b since 10.0."""
    made = HeartbeatMembership("a", incarnation=100, secret=SECRET)
    made.on_peers([B], 10.0)
    made.on_ready(True, 10.0)
    made.on_datagram(B.address, 7946, beat(1), 10.0)
    assert made.live() == {"a", "b"}
    return made


def run(machine: HeartbeatMembership, until: float) -> list[object]:
    """Let the machine's timers fire in time."""
    effects: list[object] = []
    while (deadline := machine.next_deadline()) is not None and deadline <= until:
        effects += machine.on_deadline(deadline)
        machine.validate()
    return effects


def test_layout() -> None:
    """The datagram has the documented layout, and a tag exactly when there is a key."""
    beat_ = Heartbeat(
        "n1", 0x0102, 3, is_ready=True, is_leaving=True, echo_incarnation=4, echo_sequence=5
    )
    body = bytes.fromhex(
        "4d4c4842 01 03 0000000000000102 0000000000000003 0000000000000004 0000000000000005 02 6e31"
    )
    assert encode(beat_, b"") == body
    assert len(encode(beat_, KEY)) == len(body) + 32
    assert decode(encode(beat_, KEY), KEY) == beat_


BAD = [
    ("cut off", lambda good: good[:-1]),
    ("longer", lambda good: good + b"\x00"),
    ("unsigned", lambda good: good[:-32]),
    ("changed", lambda good: good[:6] + b"\xff" + good[7:]),
    ("another version", lambda good: good[:4] + b"\x02" + good[5:]),
    ("no name", lambda good: good[:38] + b"\x00" + good[40:]),
    ("empty", lambda _: b""),
]


@pytest.mark.parametrize("spoil", [b[1] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_datagrams_change_nothing(machine: HeartbeatMembership, spoil: object) -> None:
    """What does not decode or is not signed rightly is counted and forgotten."""
    bad = spoil(beat(2, is_ready=False))
    with pytest.raises(WireError):
        decode(bad, KEY)
    assert machine.on_datagram(B.address, 7946, bad, 10.1) == []
    assert machine.refused_count == 1
    assert machine.live() == {"a", "b"}


def test_starting_node_waits_for_all_peers() -> None:
    """It is up as soon as every known peer was heard."""
    machine = HeartbeatMembership("a", incarnation=100, secret=SECRET)
    greeting = machine.on_peers([B, C], 10.0)
    assert [beat_.is_ready for beat_ in sent(greeting)] == [False, False]
    assert others(machine.on_ready(True, 10.0)) == []
    assert MemberUp("a") not in machine.on_datagram(B.address, 7946, beat(1), 10.2)
    assert MemberUp("a") in machine.on_datagram(C.address, 7946, beat(1, node="c"), 10.3)


def test_starting_node_waits_no_longer_than_the_grace() -> None:
    """A peer that is not there delays the start by 1 s."""
    machine = HeartbeatMembership("a", incarnation=100, secret=SECRET)
    machine.on_peers([B], 10.0)
    machine.on_ready(True, 10.0)
    assert MemberUp("a") not in run(machine, 10.95)
    assert MemberUp("a") in run(machine, 11.0)


def test_lonely_node_starts_at_once() -> None:
    """Without peers there is nobody to wait for."""
    machine = HeartbeatMembership("a", incarnation=100)
    machine.on_peers([], 10.0)
    assert machine.on_ready(True, 10.0) == [MemberUp("a")]


def test_peer_that_is_listed_later_delays_nothing(machine: HeartbeatMembership) -> None:
    """On a running node a new, silent peer changes nothing."""
    machine.on_peers([B, C], 12.0)
    assert "a" in machine.live()


def test_silence_ends_a_member(machine: HeartbeatMembership) -> None:
    """A silent member is down between 0.8 and 1.0 s after it was heard."""
    assert others(run(machine, 10.79)) == []
    assert others(run(machine, 10.95)) == [MemberDown("b", DownReason.SILENT)]
    assert machine.live() == {"a"}


def test_own_lateness_is_not_their_silence(machine: HeartbeatMembership) -> None:
    """After a stall of our own the others get that time on top, but less than 0.8 s in all."""
    run(machine, 10.3)
    assert others(machine.on_deadline(10.9)) == []
    assert others(run(machine, 11.2)) == []
    machine.on_deadline(12.5)
    assert machine.live() == {"a"}


def test_beats_go_to_every_peer_ten_times_a_second(machine: HeartbeatMembership) -> None:
    """Each beat has a greater sequence and echoes what was heard."""
    beats = sent(run(machine, 10.55))
    assert len(beats) == 5
    assert [b.sequence for b in beats] == sorted({b.sequence for b in beats})
    assert {(b.echo_incarnation, b.echo_sequence, b.is_ready) for b in beats} == {(7, 1, True)}


def test_old_and_repeated_datagrams_are_ignored(machine: HeartbeatMembership) -> None:
    """A replay keeps nobody alive and changes no state."""
    run(machine, 10.5)
    machine.on_datagram(B.address, 7946, beat(1), 10.7)
    machine.on_datagram(B.address, 7946, beat(9, incarnation=6, is_ready=False), 10.7)
    assert machine.live() == {"a", "b"}
    assert others(run(machine, 11.0)) == [MemberDown("b", DownReason.SILENT)]


def test_leaving_member_is_down_at_once_and_is_told_after_we_acted(
    machine: HeartbeatMembership,
) -> None:
    """The takeover comes before the datagram whose echo lets the leaver go."""
    effects = machine.on_datagram(B.address, 7946, beat(2, is_leaving=True), 10.1)
    assert effects[0] == MemberDown("b", DownReason.LEAVING)
    assert [(b.echo_incarnation, b.echo_sequence) for b in sent(effects[1:])] == [(7, 2)]


def test_restarted_member_is_down_until_it_is_ready(machine: HeartbeatMembership) -> None:
    """A quick restart is noticed by its first datagram."""
    effects = machine.on_datagram(B.address, 7946, beat(1, incarnation=8, is_ready=False), 10.1)
    assert others(effects) == [MemberDown("b", DownReason.NOT_READY)]


def test_leaver_waits_for_every_echo(machine: HeartbeatMembership) -> None:
    """It goes on until each live member echoed a datagram that said LEAVING."""
    leaving = sent(machine.on_leave(10.2))
    assert [b.is_leaving for b in leaving] == [True]
    before = leaving[0].sequence - 1
    stale = machine.on_datagram(
        B.address, 7946, beat(2, echo_incarnation=100, echo_sequence=before), 10.3
    )
    assert Left() not in stale
    assert "a" in machine.live()
    echo = beat(3, echo_incarnation=100, echo_sequence=before + 1)
    assert Left() in machine.on_datagram(B.address, 7946, echo, 10.4)
    assert "a" not in machine.live()


def test_leaver_lingers_one_second_at_most(machine: HeartbeatMembership) -> None:
    """A member that does not echo holds nobody back."""
    machine.on_leave(10.2)
    for step in range(1, 10):
        machine.on_datagram(B.address, 7946, beat(1 + step), 10.2 + step / 10)
        assert Left() not in run(machine, 10.2 + step / 10)
    assert Left() in run(machine, 11.25)


def test_leaver_without_live_members_leaves_at_once() -> None:
    """There is nobody to hand over to."""
    machine = HeartbeatMembership("a", incarnation=1)
    machine.on_peers([], 10.0)
    machine.on_ready(True, 10.0)
    assert machine.on_leave(10.1) == [Left()]


def test_member_that_returns_is_up_and_then_hears_us(machine: HeartbeatMembership) -> None:
    """Only an echo of what we sent since it returned proves that it acts on us."""
    run(machine, 11.0)
    back = machine.on_datagram(
        B.address, 7946, beat(20, echo_incarnation=100, echo_sequence=2), 11.05
    )
    assert others(back) == [MemberUp("b")]
    mark = sent(back)[0].sequence
    proof = machine.on_datagram(
        B.address, 7946, beat(21, echo_incarnation=100, echo_sequence=mark), 11.1
    )
    assert others(proof) == [MemberHearsUs("b")]


def test_node_outgrows_its_former_self(machine: HeartbeatMembership) -> None:
    """A node whose clock went back goes beyond the incarnation that others remember."""
    machine.on_datagram(B.address, 7946, beat(2, echo_incarnation=500, echo_sequence=9), 10.05)
    assert {b.incarnation for b in sent(run(machine, 10.15))} == {501}


def test_unlisted_node_is_answered_until_it_is_silent(machine: HeartbeatMembership) -> None:
    """A node our brain does not know yet takes part, as it may know us."""
    machine.on_datagram(C.address, 7946, beat(1, node="c"), 10.05)
    assert machine.live() == {"a", "b", "c"}
    addresses = {e.address for e in run(machine, 10.15) if isinstance(e, SendDatagram)}
    assert addresses == {B.address, C.address}
    run(machine, 11.0)
    later = {e.address for e in run(machine, 11.1) if isinstance(e, SendDatagram)}
    assert later == {B.address}


def test_without_a_secret_the_source_must_be_the_listed_one() -> None:
    """Unsigned datagrams of a listed node are believed from its own address only."""
    machine = HeartbeatMembership("a", incarnation=1)
    machine.on_peers([B], 10.0)
    machine.on_datagram("10.0.0.66", 7946, encode(READY, b""), 10.1)
    assert machine.live() == frozenset()
    machine.on_datagram(B.address, 7946, encode(READY, b""), 10.1)
    assert machine.live() == {"b"}


def test_readiness_that_ends_is_told(machine: HeartbeatMembership) -> None:
    """A node that may not own any more says so to all."""
    effects = machine.on_ready(False, 10.2)
    assert effects[0] == MemberDown("a", DownReason.NOT_READY)
    assert [b.is_ready for b in sent(effects)] == [False]
