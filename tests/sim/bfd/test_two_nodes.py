"""Two machines, each other's only proof, on good and bad networks."""

from __future__ import annotations

import pytest

from mercurylb.bfd.auth import Authentication, AuthenticationType
from mercurylb.bfd.session import SETTLE_S
from mercurylb.bfd.settings import BfdSettings
from tests.sim.bfd.world import Weather, World

FAST = BfdSettings(receive_interval_ms=50, transmit_interval_ms=50)
PATIENT = BfdSettings(receive_interval_ms=50, transmit_interval_ms=50, detect_multiplier=6)
UP_S = 4.0
"""Long enough to come up at a packet a second, and to agree on faster ones."""
SMOKE_COUNT = 3
SEEDS = [
    pytest.param(seed, marks=pytest.mark.whole if seed >= SMOKE_COUNT else ()) for seed in range(10)
]
BAD = Weather(loss=0.05, delay_s=0.005, jitter_s=0.04, repeats=0.1)


@pytest.mark.rule("bgp-native-2.14.states")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("left", "right"),
    [
        (FAST, FAST),
        (FAST, BfdSettings()),
        (BfdSettings(detect_multiplier=1), FAST),
        (FAST, BfdSettings(50, 50, is_passive=True)),
        (BfdSettings(10, 2000), BfdSettings(2000, 10)),
    ],
    ids=["equal", "slower", "one", "passive", "lopsided"],
)
def test_both_come_up_and_stay_up(seed: int, left: BfdSettings, right: BfdSettings) -> None:
    """On a good network a session comes up soon, and nothing ever brings it down."""
    world = World(seed, left=left, right=right)
    world.run(UP_S)
    assert world.both_are("Up")
    world.run(60.0)
    assert world.both_are("Up")
    assert [node.changes[-1][1].state for node in world.nodes] == ["Up", "Up"]
    assert world.failures() == []


@pytest.mark.rule("bgp-native-2.14.expiry")
@pytest.mark.parametrize("seed", SEEDS)
def test_a_cut_is_found_in_the_detection_time(seed: int) -> None:
    """Both sides know of a cut within three intervals, and of its end within seconds."""
    world = World(seed, left=FAST, right=FAST)
    world.run(UP_S + seed / 7)
    cut_at, world.is_cut = world.now, True
    world.run(0.16)
    assert world.both_are("Down")
    assert [0.1 < at - cut_at < 0.16 for at, _ in world.failures()] == [True, True]
    world.run(10.0)
    world.is_cut = False
    world.run(UP_S)
    assert world.both_are("Up")
    assert len(world.failures()) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bad_network_is_no_failure(seed: int) -> None:
    """Loss, delay, disorder and repetition bring nothing down while the multiplier covers them."""
    world = World(seed, left=PATIENT, right=PATIENT, weather=BAD)
    world.run(2 * UP_S)
    assert world.both_are("Up")
    ups = len(world.failures())
    world.run(60.0)
    assert len(world.failures()) == ups
    assert world.lost > 20
    assert world.repeated > 20


@pytest.mark.rule("bgp-native-2.14.poll")
@pytest.mark.parametrize("seed", SEEDS)
def test_new_settings_bring_nothing_down(seed: int) -> None:
    """Intervals are renegotiated on a bad network, up and down and on both sides at once."""
    world = World(seed, left=PATIENT, right=PATIENT, weather=BAD)
    world.run(2 * UP_S)
    before = len(world.failures())
    for tx_ms, rx_ms in ((300, 50), (50, 300), (1000, 1000), (20, 1000), (50, 50)):
        for node in world.nodes[:: world.chance.choice((1, -1))]:
            node.settings = BfdSettings(rx_ms, tx_ms, detect_multiplier=6)
            world.want(node, node.settings)
            world.run(world.chance.random() / 5)
        world.run(10.0)
    assert len(world.failures()) == before
    reports = [node.table.report(node.key, world.now) for node in world.nodes]
    assert [report.detection_time_ms for report in reports if report] == [300, 300]


@pytest.mark.parametrize("seed", SEEDS)
def test_who_stands_still_does_not_blame_the_other(seed: int) -> None:
    """Standstills longer than the detection time, the timer first: no failure is found by them."""
    lasting = BfdSettings(50, 50, detect_multiplier=100)
    world = World(seed, left=lasting, right=FAST)
    world.run(UP_S)
    for _ in range(40):
        world.stall(world.left, world.chance.uniform(0.05, 1.5))
        world.run(world.chance.uniform(1.5, 2.5))
    assert world.failures() == []
    assert world.stalls == 40


@pytest.mark.parametrize("seed", SEEDS)
def test_who_stood_still_finds_a_cut_all_the_same(seed: int) -> None:
    """After a standstill a dead neighbour is found as soon as the sockets were read."""
    world = World(seed, left=FAST, right=FAST)
    world.run(UP_S)
    world.is_cut = True
    world.stall(world.left, 0.5)
    world.run(0.5 + SETTLE_S + 0.15)
    assert world.left.state == "Down"


@pytest.mark.rule("bgp-native-2.14.admin-down")
@pytest.mark.parametrize("seed", SEEDS)
def test_the_end_of_a_session_is_no_failure(seed: int) -> None:
    """The other side hears of it although packets are lost."""
    world = World(seed, left=FAST, right=FAST, weather=Weather(loss=0.1))
    world.run(UP_S)
    if not world.both_are("Up"):
        world.run(UP_S)
    before = len(world.failures())
    world.want(world.left, None)
    world.run(1.0)
    assert world.left.table.is_idle
    assert world.right.changes[-1][1].diagnostic == "Neighbor Signaled Session Down"
    assert len(world.failures()) == before


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", list(AuthenticationType)[1:])
def test_old_packets_do_no_harm_to_an_authenticated_session(
    seed: int, kind: AuthenticationType
) -> None:
    """Somebody who repeats what was said before brings nothing down."""
    settings = BfdSettings(50, 50, authentication=Authentication(kind, 1, b"key"))
    world = World(seed, left=settings, right=settings)
    world.run(0.5)
    early = list(world.tapped)
    world.run(UP_S)
    assert world.both_are("Up")
    for _ in range(200):
        world.arrive(*world.chance.choice(early))
        world.run(0.02)
    assert world.both_are("Up")
    assert world.failures() == []
    for node in world.nodes:
        detail = node.table.detail(node.key, world.now)
        assert detail is not None
        assert detail.dropped["authentication"] > 50


@pytest.mark.parametrize("seed", SEEDS)
def test_a_neighbour_that_restarts_is_found_again(seed: int) -> None:
    """A new process on the other side, with a new discriminator, is a failure once and then up."""
    world = World(seed, left=FAST, right=FAST)
    world.run(UP_S)
    fresh = World(seed + 1000, left=FAST, right=FAST).right
    world.right.table = fresh.table
    world.run(2 * UP_S)
    assert world.both_are("Up")
    assert len([change for _, change in world.left.changes if change.is_failure]) == 1
