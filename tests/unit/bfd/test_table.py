"""All sessions of a node."""

from __future__ import annotations

import random

import msgspec
import pytest

from mercurylb.bfd import packet as wire
from mercurylb.bfd.effect import Arrival, BfdKey, ClosePort, OpenPort, SendPacket
from mercurylb.bfd.packet import Packet, Refusal, State
from mercurylb.bfd.settings import BfdSettings
from mercurylb.bfd.table import BfdTable
from tests.unit.bfd.scene import FAST, KEY, REMOTE, Scene

DOWN = Packet(State.DOWN, 3, REMOTE, 0, 1_000_000, 50_000)
FAR = BfdKey("192.0.2.1", is_multi_hop=True)


def arrival(**differences: object) -> Arrival:
    """Return a packet as it comes from the peer of `KEY`."""
    usual = Arrival("192.0.2.1", wire.encode(DOWN), 255, "192.0.2.2", "eth0")
    return msgspec.structs.replace(usual, **differences)


def table_of(*keys: BfdKey, settings: BfdSettings = FAST) -> BfdTable:
    """Return a table with sessions."""
    table = BfdTable(random.Random(1))
    opened = table.on_wanted(dict.fromkeys(keys, settings), 0.0)
    assert opened == [OpenPort(key) for key in sorted(keys)]
    return table


def state_of(table: BfdTable, key: BfdKey) -> str:
    """Return the state of a session."""
    report = table.report(key, 0.0)
    assert report is not None
    return report.state


@pytest.mark.rule("bgp-native-2.14.demultiplexing")
@pytest.mark.parametrize(
    ("differences", "heard_by"),
    [
        pytest.param({}, "on eth0", id="by interface"),
        pytest.param({"interface": "eth1"}, "on eth1", id="by another interface"),
        pytest.param({"interface": "eth2"}, "anywhere", id="by any interface"),
        pytest.param({"is_multi_hop": True}, "far", id="over several hops"),
        pytest.param({"vrf": "blue"}, "blue", id="in a VRF"),
        pytest.param({"source": "192.0.2.7"}, "", id="a stranger"),
        pytest.param({"vrf": "red"}, "", id="in a VRF without sessions"),
    ],
)
def test_a_packet_without_our_discriminator_goes_by_its_origin(
    differences: dict[str, object], heard_by: str
) -> None:
    """The sender, the interface, the VRF and the kind of path choose the session."""
    keys = {
        "on eth0": KEY,
        "on eth1": BfdKey("192.0.2.1", interface="eth1"),
        "anywhere": BfdKey("192.0.2.1"),
        "far": FAR,
        "blue": BfdKey("192.0.2.1", vrf="blue"),
    }
    table = table_of(*keys.values())
    table.on_packet(arrival(**differences), 0.0)
    heard = [name for name, key in keys.items() if state_of(table, key) == "Init"]
    assert heard == ([heard_by] if heard_by else [])
    assert table.refused == ({} if heard_by else {Refusal.STRANGER: 1})


@pytest.mark.rule("bgp-native-2.14.demultiplexing")
def test_of_two_local_addresses_the_one_is_meant_that_is_spoken_to() -> None:
    """Sessions of one peer with several addresses of ours are told apart."""
    one, two = (BfdKey("192.0.2.1", f"192.0.2.{last}", is_multi_hop=True) for last in (2, 3))
    table = table_of(one, two)
    table.on_packet(arrival(destination="192.0.2.3", is_multi_hop=True), 0.0)
    assert (state_of(table, one), state_of(table, two)) == ("Down", "Init")


@pytest.mark.rule("bgp-native-2.14.demultiplexing")
def test_a_packet_with_our_discriminator_goes_by_that() -> None:
    """Among sessions of the same peer the discriminator decides; an unknown one is refused."""
    table = table_of(KEY, BfdKey("192.0.2.1"))
    detail = table.detail(BfdKey("192.0.2.1"), 0.0)
    assert detail is not None
    said = msgspec.structs.replace(DOWN, your_discriminator=detail.discriminator)
    table.on_packet(arrival(octets=wire.encode(said)), 0.0)
    assert (state_of(table, KEY), state_of(table, BfdKey("192.0.2.1"))) == ("Down", "Init")
    unknown = msgspec.structs.replace(DOWN, your_discriminator=99)
    table.on_packet(arrival(octets=wire.encode(unknown)), 0.0)
    assert table.refused == {Refusal.YOUR_DISCRIMINATOR: 1}


@pytest.mark.parametrize(
    "differences",
    [{"source": "192.0.2.9"}, {"interface": "eth9"}, {"vrf": "red"}, {"is_multi_hop": True}],
    ids=["source", "interface", "vrf", "kind"],
)
def test_our_discriminator_from_elsewhere_is_not_believed(differences: dict[str, object]) -> None:
    """Whoever learnt a discriminator cannot use it from another place."""
    scene = Scene()
    scene.bring_to(State.UP)
    packet = wire.encode(scene.packet(State.DOWN, your_discriminator=scene.discriminator))
    forged = msgspec.structs.replace(scene.arrival(packet), **differences)
    scene.take(scene.table.on_packet(forged, scene.now))
    assert scene.state == "Up"
    assert scene.dropped == {Refusal.PATH: 1}


@pytest.mark.rule("bgp-native-2.14.ttl")
@pytest.mark.parametrize(("ttl", "state"), [(255, "Init"), (254, "Down"), (1, "Down"), (0, "Down")])
def test_over_one_hop_only_a_ttl_of_255_is_believed(ttl: int, state: str) -> None:
    """Whoever is farther away cannot send 255 (RFC 5881 section 5)."""
    table = table_of(KEY)
    table.on_packet(arrival(ttl=ttl), 0.0)
    assert state_of(table, KEY) == state
    assert table.refused == ({} if ttl == 255 else {Refusal.TTL: 1})


@pytest.mark.rule("bgp-native-2.14.ttl")
@pytest.mark.parametrize(
    ("minimum_ttl", "ttl", "state"),
    [(254, 254, "Init"), (254, 253, "Down"), (250, 250, "Init"), (250, 249, "Down")],
)
def test_over_several_hops_the_minimum_ttl_counts(minimum_ttl: int, ttl: int, state: str) -> None:
    """The profile says how far away the peer may be."""
    table = table_of(FAR, settings=BfdSettings(minimum_ttl=minimum_ttl))
    table.on_packet(arrival(ttl=ttl, is_multi_hop=True), 0.0)
    assert state_of(table, FAR) == state
    detail = table.detail(FAR, 0.0)
    assert detail is not None
    assert detail.dropped == ({} if state == "Init" else {Refusal.TTL: 1})


@pytest.mark.rule("bgp-native-2.14.reception")
def test_garbage_is_counted_by_what_is_wrong() -> None:
    """What does not decode changes nothing but a counter."""
    table = table_of(KEY)
    for octets in (b"", bytes(24), b"\x20\x40\x00\x18" + bytes(20)):
        assert table.on_packet(arrival(octets=octets), 0.0) == []
    assert table.refused == {Refusal.LENGTH: 1, Refusal.VERSION: 1, Refusal.MULTIPLIER: 1}


def test_what_is_wanted_already_is_left_alone() -> None:
    """The same wishes again do nothing."""
    table = table_of(KEY, FAR)
    assert table.on_wanted({FAR: FAST, KEY: FAST}, 1.0) == []


def test_only_what_changed_is_touched() -> None:
    """A new session does not disturb the others, nor does the end of one."""
    table = table_of(KEY)
    assert table.on_wanted({KEY: FAST, FAR: FAST}, 1.0) == [OpenPort(FAR)]
    assert table.on_wanted({FAR: FAST}, 1.0) == [ClosePort(KEY)]
    assert [report.is_multi_hop for report in table.reports(1.0)] == [True]


def test_discriminators_are_unique_and_not_zero() -> None:
    """Chance may repeat itself; a discriminator may not."""

    class Stubborn(random.Random):
        drawn = iter([0, 5, 5, 0, 6])

        def getrandbits(self, k: int, /) -> int:
            return next(self.drawn) % (1 << k)

    table = BfdTable(Stubborn())
    table.on_wanted({KEY: FAST, FAR: FAST}, 0.0)
    details = [table.detail(key, 0.0) for key in (KEY, FAR)]
    assert sorted(detail.discriminator for detail in details if detail) == [5, 6]


def test_a_stop_ends_every_session_on_purpose() -> None:
    """All neighbours hear AdminDown, and nothing is left in the end."""
    scene = Scene()
    scene.bring_to(State.UP)
    scene.take(scene.table.on_stop(scene.now))
    assert scene.said[-1].state is State.ADMIN_DOWN
    scene.run(1.0)
    assert scene.table.is_idle
    assert scene.table.next_deadline() is None


def test_a_hundred_sessions_are_served_in_their_turn() -> None:
    """Each sends at its own pace; a deadline is never later than the earliest of any session."""
    keys = [BfdKey(f"192.0.2.{number}", interface="eth0") for number in range(1, 101)]
    table = table_of(*keys)
    sent: dict[BfdKey, list[float]] = {key: [] for key in keys}
    now = 0.0
    while (at := table.next_deadline()) is not None and at < 5.0:
        now = max(now, at)
        for effect in table.on_deadline(now):
            assert isinstance(effect, SendPacket)
            sent[effect.key].append(now)
        table.validate()
    assert all(5 <= len(times) <= 8 for times in sent.values())


def test_sessions_that_are_due_together_leave_together() -> None:
    """A timer that fires serves those too that would be due in the next moment."""
    keys = [BfdKey(f"192.0.2.{number}", interface="eth0") for number in range(1, 101)]
    table = table_of(*keys)
    rounds = 0
    while (at := table.next_deadline()) is not None and at < 0.1:
        assert table.on_deadline(at)
        rounds += 1
    assert rounds <= 60
