"""Two controllers on a real API server: one acts, and whatever happens to it, never two do."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.replicas import (
    LEASE,
    LEASE_S,
    Ledger,
    has_said,
    holder,
    lines,
    small_lab,
)
from tests.lab.scene import Scene, service_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.light import LightLab
    from lab.process import Process

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120)]
TAKEOVER_S = LEASE_S + 2.0


@pytest.fixture(scope="module")
def pair_lab() -> Iterator[LightLab]:
    """Bring up a lab with two controllers."""
    if os.geteuid() != 0:
        pytest.skip("a lab needs root: it makes network namespaces")
    with small_lab(f"pair{os.getpid()}") as lab:
        lab.add_controller(1)
        yield lab


class Pair:
    """The two controllers, by what they do now."""

    def __init__(self, lab: LightLab) -> None:
        self.lab = lab
        self._both = {
            "metallb-controller-0": lab.process("controller"),
            "metallb-controller-1": lab.process("controller-1"),
        }

    @property
    def leader(self) -> Process:
        """Whoever holds the lease."""
        return self._both[holder(self.lab)]

    @property
    def stand_by(self) -> Process:
        """The other one."""
        return next(each for name, each in self._both.items() if name != holder(self.lab))

    def wait_ready(self) -> None:
        """Wait until both are alive, one acts, and the other waits for it."""
        for each in self._both.values():
            if not each.is_alive():
                each.start()
        self.lab.wait_for(lambda: holder(self.lab) in self._both, timeout_s=15)
        self.lab.wait_for(lambda: is_waiting(self.stand_by), timeout_s=15)


def is_waiting(process: Process) -> bool:
    """Tell whether a controller stands by, its caches filled, since it last was anything else."""
    said = process.log()
    since = said.rfind('"controller.starting"')
    role = max(said.rfind(f'"kube.lease_{event}"') for event in ("acquired", "lost"))
    return '"controller.caches_filled"' in said[since:] and has_said(
        process, "kube.lease_awaited", max(since, role)
    )


@pytest.fixture
def pair(pair_lab: LightLab) -> Iterator[Pair]:
    """Give two controllers that are well, and leave two that run."""
    made = Pair(pair_lab)
    made.wait_ready()
    yield made
    for each in made._both.values():
        each.cont()


@pytest.fixture
def scene(pair: Pair) -> Iterator[Scene]:
    """Give a test its own names on the shared lab."""
    made = Scene(pair.lab)
    made.pool(f"{made.ip4()}/29", "10.200.0.0/16")
    yield made
    made.close()


@pytest.mark.rule("controller-1.one-acts")
def test_one_acts_and_the_other_waits(pair: Pair, scene: Scene) -> None:
    """Only the holder of the lease gives addresses; the other one is ready to."""
    leader, waiting = pair.leader, pair.stand_by
    before = len(lines(waiting, "alloc.assigned"))
    key = scene.service()
    scene.wait_addresses(key)
    assert any(line["service"] == key for line in lines(leader, "alloc.assigned"))
    assert len(lines(waiting, "alloc.assigned")) == before
    scene.wait_event(key, "IPAllocated")
    assert len(scene.events(key, "IPAllocated")) == 1


def test_a_killed_leader_is_replaced_in_the_middle_of_creates(pair: Pair, scene: Scene) -> None:
    """Within the lease's duration the other goes on; no address is swapped or given twice."""
    ledger = Ledger(scene)
    keys = [scene.service(f"k{number}") for number in range(30)]
    leader, heir = pair.leader, pair.stand_by
    since = len(heir.log())
    leader.kill()
    ledger.look()
    keys += [scene.service(f"l{number}") for number in range(30)]
    scene.until(lambda: has_said(heir, "kube.lease_acquired", since), "takeover", TAKEOVER_S)
    scene.until(lambda: len(ledger.look()) == len(keys), "all have one", 10.0)
    leader.start()
    pair.wait_ready()
    assert len(ledger.look()) == len(keys)


def test_a_frozen_leader_writes_nothing_when_it_wakes(pair: Pair, scene: Scene) -> None:
    """Stopped in the middle of its work for longer than the lease, it finds itself replaced."""
    ledger = Ledger(scene)
    leader, heir = pair.leader, pair.stand_by
    since, known = len(heir.log()), len(leader.log())
    keys = [scene.service(f"f{number}") for number in range(40)]
    leader.pause()
    ledger.look()
    gone = keys.pop(3)
    scene.delete(gone)
    ledger.forget(gone.partition("/")[2])
    keys += [scene.service(f"g{number}") for number in range(10)]
    scene.until(lambda: has_said(heir, "kube.lease_acquired", since), "takeover", TAKEOVER_S)
    scene.until(lambda: len(ledger.look()) == len(keys), "all have one", 10.0)
    versions = dict(ledger.versions)
    leader.cont()
    scene.until(lambda: has_said(leader, "kube.lease_lost", known), "noticed")
    scene.until(lambda: has_said(leader, "kube.lease_awaited", known), "waits")
    ledger.look()
    assert ledger.versions == versions


def test_a_clean_stop_hands_over_at_once(pair: Pair, scene: Scene) -> None:
    """A leader that is told to stop gives the lease back: nobody waits for its end."""
    leader, heir = pair.leader, pair.stand_by
    kept = scene.service("kept")
    before = scene.wait_addresses(kept)
    since = len(heir.log())
    begin = time.monotonic()
    leader.stop()
    scene.until(lambda: has_said(heir, "kube.lease_acquired", since), "handover")
    taken_s = time.monotonic() - begin
    scene.wait_addresses(scene.service("new"))
    assert has_said(leader, "kube.lease_released")
    assert scene.addresses(kept) == before
    assert taken_s < LEASE_S


@pytest.mark.parametrize("how", ["deleted", "overwritten", "emptied"])
def test_a_lease_that_is_lost_stops_its_holder(pair: Pair, scene: Scene, how: str) -> None:
    """Whatever a hand does to the lease, its holder stops, and one of the two goes on soon."""
    ledger = Ledger(scene)
    first = scene.service("first")
    scene.wait_addresses(first)
    leader = pair.leader
    known = len(leader.log())
    if how == "deleted":
        pair.lab.api.delete(LEASE)
    else:
        text = "" if how == "emptied" else "\u00fc garbage" * 20
        pair.lab.api.merge(LEASE, {"spec": {"holderIdentity": text}})
    scene.until(lambda: has_said(leader, "kube.lease_lost", known), "noticed", 2.0)
    scene.wait_addresses(scene.service("second"), timeout_s=TAKEOVER_S + 2.0)
    pair.wait_ready()
    assert set(ledger.look()) == {f"{scene.name}-first", f"{scene.name}-second"}


def test_a_leader_that_is_alone_writes_nothing_at_rest(pair: Pair, scene: Scene) -> None:
    """Without a stand-by the lease rests; the next service waits for one renewal only."""
    pair.stand_by.stop()
    scene.wait_addresses(scene.service("a"))
    lab, seen, since = pair.lab, "", time.monotonic()

    def is_resting() -> bool:
        nonlocal seen, since
        version = lab.api.get(LEASE)["metadata"]["resourceVersion"]
        if version != seen:
            seen, since = version, time.monotonic()
        return time.monotonic() - since > 5.0

    lab.wait_for(is_resting, timeout_s=25.0)
    scene.wait_addresses(scene.service("b"))
    assert lab.api.get(LEASE)["metadata"]["resourceVersion"] != seen


def test_a_freed_address_is_not_given_twice_across_a_takeover(pair: Pair, scene: Scene) -> None:
    """An address that became free while nobody acted goes to one of those who wait, once."""
    pool = scene.pool("10.201.0.1/32", name=f"{scene.name}-one", autoAssign=False)
    asks = {"metallb.io/address-pool": pool}
    first = scene.service("h", annotations=asks)
    scene.wait_addresses(first, ["10.201.0.1"])
    waiting = [scene.service(f"w{number}", annotations=asks) for number in range(3)]
    for key in waiting:
        scene.wait_event(key, "AllocationFailed")
    leader, heir = pair.leader, pair.stand_by
    since = len(heir.log())
    leader.pause()
    scene.lab.api.delete(service_path(first))
    scene.until(lambda: has_said(heir, "kube.lease_acquired", since), "takeover", TAKEOVER_S)
    scene.until(lambda: sum(bool(scene.addresses(key)) for key in waiting) == 1, "one has it")
    leader.cont()
    pair.wait_ready()
    assert [scene.addresses(key) for key in waiting].count(["10.201.0.1"]) == 1
