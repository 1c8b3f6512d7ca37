"""An announcer's BGP under load: peers that take nothing, send too much, or are to get much."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mercurylb.plan.desired import DesiredState
from tests.lab.bgp_lab import P1, BgpLab, group, is_established, peer, session, up
from tests.lab.wire_lab import Asker, inside, service, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mercurylb.bgp.route import RouteGroup
    from mercurylb.plan.desired import BgpPeer
    from tests.lab.bgp_lab import SmallPeer
    from tests.lab.wire_lab import Announcer

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces"),
]

R1, R2 = "10.77.0.2", "10.77.0.3"
P2 = "203.0.113.2/32"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[BgpLab]:
    """Give a LAN with the node on it."""
    made = BgpLab(tmp_path)
    yield made
    made.close()


def memory_kb(announcer: Announcer, kind: str = "Rss") -> int:
    """Return the memory of the announcer process."""
    for line in Path(f"/proc/{announcer.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1])
    raise AssertionError(kind)


# --- nobody waits for a bad peer ------------------------------------------------------------------


def latencies_s(
    lab: BgpLab,
    announcer: Announcer,
    healthy: SmallPeer,
    *peers: BgpPeer,
    others: tuple[RouteGroup, ...] = (),
) -> list[float]:
    """Change a route again and again; return how long each change took to the healthy peer."""
    found = []
    for number in range(20):
        prefix = f"198.51.100.{number}/32"
        seen_count = len(healthy.updates)
        wanted_at = time.monotonic()
        lab.want(announcer, peers, group(prefix, P1, peers=("r1",)), *others)
        wait_until(lambda known=prefix: known in healthy.prefixes(), "told")
        found.append(
            next(one.at for one in healthy.updates[seen_count:] if prefix in one.prefixes)
            - wanted_at
        )
    return sorted(found)


def check_no_delay(usual: list[float], seen: list[float]) -> None:
    """Allow 50 ms more than usual, and a few outliers of a busy machine."""
    assert seen[len(seen) // 2] < usual[len(usual) // 2] + 1.0
    assert seen[-3] < usual[-1] + 1.0
    assert seen[-1] < 0.5


def test_silent_peers_delay_nobody(lab: BgpLab) -> None:
    """Peers that swallow SYNs, or whose host is gone, cost a healthy one at most 50 ms."""
    healthy = lab.small_peer("r1")
    swallower = lab.lan.host("r2")
    swallower.ip("link", "set", "lo", "up")
    with contextlib.ExitStack() as stack:
        with inside(swallower.namespace):
            full = stack.enter_context(socket.socket())
            full.bind((R2, 179))
            full.listen(0)
            for _ in range(3):
                filler = stack.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex((R2, 179))
        announcer = lab.start()
        alone = peer("r1", R1, hold_time_s=90)
        up(lab, announcer, alone)
        usual = latencies_s(lab, announcer, healthy, alone)
        others = (peer("r2", R2), peer("r3", "10.77.0.99"), peer("r4", "192.0.2.1"))
        check_no_delay(usual, latencies_s(lab, announcer, healthy, alone, *others))
        wait_until(lambda: "no answer" in getattr(session(announcer, "r2"), "last_error", ""),
                   "the swallower is named", 15.0)  # fmt: skip


def test_slow_reader_delays_nobody_and_is_not_buffered_for(lab: BgpLab) -> None:
    """A peer that reads nothing holds back only itself; our memory does not grow for it."""
    healthy = lab.small_peer("r1")
    lab.small_peer("r2", reads=False)
    announcer = lab.start()
    peers = (peer("r1", R1, hold_time_s=90), peer("r2", R2, hold_time_s=90))
    up(lab, announcer, *peers)
    # Each in an UPDATE of its own: twice what the kernel takes for somebody who reads nothing.
    many = tuple(
        group(f"10.{one // 250}.{one % 250}.0/24", peers=("r2",),
              communities=tuple(range(one * 64 + 1, one * 64 + 61)))
        for one in range(1000)
    )  # fmt: skip
    usual = latencies_s(lab, announcer, healthy, *peers)
    lab.want(announcer, peers, group(P1, P2, peers=("r1",)), *many)
    wait_until(lambda: P2 in healthy.prefixes(), "told")
    before = memory_kb(announcer)
    check_no_delay(usual, latencies_s(lab, announcer, healthy, *peers, others=many))
    slow = session(announcer, "r2")
    assert slow is not None
    assert slow.prefixes_pending > 0
    assert memory_kb(announcer) < before + 16384, "desired states come and go, nothing piles up"


def test_flood_delays_neither_answers_nor_other_peers(lab: BgpLab) -> None:
    """While a peer sends UPDATEs as fast as it can, ARP is answered and the other peer served."""
    healthy, hostile = lab.small_peer("r1"), lab.small_peer("r2")
    client = lab.lan.host("client")
    asker = Asker(client)
    announcer = lab.start()
    peers = (peer("r1", R1, hold_time_s=90), peer("r2", R2, hold_time_s=90))
    lab.revision += 1
    announcer.want(
        DesiredState(
            lab.revision,
            layer2=(service("10.77.0.100", ranking=("n1",)),),
            bgp_peers=peers,
            bgp_routes=(group(P1, peers=("r1", "r2")),),
        )
    )
    wait_until(lambda: is_established(announcer, "r1") and is_established(announcer, "r2"), "up")
    wait_until(lambda: asker.who("10.77.0.100", 0.05), "answered")
    flooding = threading.Thread(target=hostile.flood, args=(3.0,))
    flooding.start()
    took_s: list[float] = []
    while flooding.is_alive():
        asked_at = time.monotonic()
        asker.ask("10.77.0.100")
        while not asker.answers("10.77.0.100", 0.0):
            assert time.monotonic() < asked_at + 5, "no answer for seconds"
        took_s.append(time.monotonic() - asked_at)
        time.sleep(0.005)
    flooding.join()
    asker.close()
    assert len(took_s) > 50
    assert sorted(took_s)[-len(took_s) // 50] < 0.5
    assert is_established(announcer, "r1")
    assert healthy.prefixes() == {P1}
    assert announcer.observation.loop_lag_s < 0.5


# --- memory ---------------------------------------------------------------------------------------


def test_ten_thousand_routes_to_two_peers_fit_into_60_mb(lab: BgpLab) -> None:
    """The announcer is as small as the budget says: resident, and its share of what is shared."""
    smalls = [lab.small_peer("r1"), lab.small_peer("r2")]
    announcer = lab.start()
    peers = (peer("r1", R1, hold_time_s=90), peer("r2", R2, hold_time_s=90))
    up(lab, announcer, *peers)
    many = tuple(f"10.{one}.{two}.1/32" for one in range(100) for two in range(100))
    lab.want(announcer, peers, group(*many, peers=("r1", "r2")))
    for small in smalls:
        wait_until(lambda one=small: len(one.prefixes()) == 10_000, "all routes")
    resident, share = memory_kb(announcer), memory_kb(announcer, "Pss")
    print(f"announcer with 10 000 routes to 2 peers: RSS {resident} kB, PSS {share} kB")  # noqa: T201
    assert resident < 60_000
    assert share < 60_000
