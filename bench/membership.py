"""What it costs to know who is alive: CPU and bytes per node, by the size of the cluster.

Twice: pure machines in virtual time, whose calls are timed and whose messages are weighed, and real
announcers in network namespaces on one bridge.  Simulated bytes count what UDP and TCP carry with
42 or 54 bytes of headers each; real ones are those of the interface.
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.figures import percentile
from lab import binaries, netns, progress, topology
from lab.process import pss_bytes, read_stat
from lab.site import Settings, Site, clear
from mercurylb.membership.combined import CombinedMembership
from mercurylb.membership.member import Exchange, ProbeKernel, SendDatagram
from mercurylb.membership.swim.config import LAN
from mercurylb.membership.swim.keyring import derive_key
from mercurylb.net.aead import AesGcm
from mercurylb.plan.desired import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.process import Process
    from mercurylb.membership.member import MembershipEffect

SCENARIO: Final = "membership"
SIMULATED: Final = (5, 50, 200)
REAL: Final = (5, 50)
COMPRESSED_MAX: Final = 50
"""Simulated clusters above this start without compression: all joining at once, in one process,
would take minutes of it; what is measured comes after that."""
SECRET: Final = b"benchmark"
_WARM_S: Final = 8.0
_MEASURED_S: Final = 10.0
_REAL_S: Final = 20.0
_LATENCY_S: Final = 0.0003
_UDP_HEAD: Final = 42
_TCP_HEAD: Final = 54
_PORT: Final = 7946
_MIB: Final = 1 << 20


def measure(sizes: Sequence[int] = REAL) -> dict[str, float]:
    """Return the figures of simulated and of real memberships."""
    found: dict[str, float] = {}
    for size in SIMULATED:
        with progress.step(f"membership of {size}, simulated"):
            told = Simulation(size).measure()
        found |= {f"member_sim{size}_{name}": value for name, value in told.items()}
    for size in sizes:
        with progress.step(f"membership of {size}, as processes"):
            told = real(size)
        found |= {f"member_real{size}_{name}": value for name, value in told.items()}
    return found


def address_of(number: int) -> str:
    """Return the address of a member, counted from 0."""
    return f"10.77.{number // 200}.{number % 200 + 1}"


def members(size: int) -> tuple[Member, ...]:
    """Return all members of a cluster."""
    return tuple(Member(f"m{i}", address_of(i)) for i in range(size))


@dataclass(slots=True)
class Node:
    """One machine with what it cost."""

    machine: CombinedMembership
    address: str
    used_ns: int = 0
    sent_bytes: int = 0
    live: int = 0
    wakes_at: float | None = None


class Simulation:
    """Machines in virtual time on a network that loses nothing."""

    def __init__(self, size: int, seed: int = 1) -> None:
        self._now = 1000.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        peers = members(size)
        self.nodes = {peer.address: self._node(i, peer, size, seed) for i, peer in enumerate(peers)}
        for node in self.nodes.values():
            self._begin(node, peers)

    def measure(self) -> dict[str, float]:
        """Run until everybody has joined, then measure for a while."""
        self.run(_WARM_S)
        size = len(self.nodes)
        lonely = [node.address for node in self.nodes.values() if node.live != size]
        if lonely:
            raise RuntimeError(f"{len(lonely)} of {size} nodes do not know everybody")
        for node in self.nodes.values():
            node.used_ns = node.sent_bytes = 0
        self.run(_MEASURED_S)
        nodes = self.nodes.values()
        return {
            "cpu_percent": 100 * sum(n.used_ns for n in nodes) / 1e9 / _MEASURED_S / size,
            "bytes_per_s": sum(n.sent_bytes for n in nodes) / _MEASURED_S / size,
        }

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        end = self._now + seconds
        while self._due and self._due[0][0] <= end:
            self._now, _, action = heapq.heappop(self._due)
            action()
        self._now = end

    def _node(self, number: int, peer: Member, size: int, seed: int) -> Node:
        chance = random.Random(f"{seed}/{number}")
        config = LAN
        if size > COMPRESSED_MAX:
            config = msgspec.structs.replace(LAN, enable_compression=False)
        machine = CombinedMembership(
            peer.node,
            peer.address,
            _PORT,
            secret=SECRET,
            seal=AesGcm(derive_key(SECRET)),
            config=config,
            chance=chance,
            incarnation=1000 + number,
        )
        return Node(machine, peer.address)

    def _begin(self, node: Node, peers: Sequence[Member]) -> None:
        """Let a node take part."""
        self._call(node, lambda: node.machine.on_peers(peers, self._now))
        self._call(node, lambda: node.machine.on_ready(True, self._now))

    def _at(self, delay_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self._now + delay_s, next(self._order), action))

    def _call(self, node: Node, fact: Callable[[], Sequence[MembershipEffect]]) -> None:
        """Give a machine a fact, weigh the time it takes, and do what it wants."""
        begin = time.thread_time_ns()
        effects = fact()
        wakes_at = node.machine.next_deadline()
        node.used_ns += time.thread_time_ns() - begin
        for effect in effects:
            self._perform(node, effect)
        live = node.machine.live()
        node.live = len(live) if live is not None else 0
        if wakes_at is not None and (node.wakes_at is None or wakes_at < node.wakes_at):
            node.wakes_at = wakes_at
            self._at(max(0.0, wakes_at - self._now), lambda: self._wake(node, wakes_at))

    def _wake(self, node: Node, due: float) -> None:
        if node.wakes_at != due:
            return
        node.wakes_at = None
        self._call(node, lambda: node.machine.on_deadline(self._now))

    def _perform(self, node: Node, effect: MembershipEffect) -> None:
        match effect:
            case SendDatagram():
                node.sent_bytes += len(effect.payload) + _UDP_HEAD
                peer = self.nodes.get(effect.address)
                if peer is not None:
                    self._at(_LATENCY_S, lambda: self._deliver(node, peer, effect.payload))
            case Exchange():
                node.sent_bytes += len(effect.request) + 4 * _TCP_HEAD
                self._at(3 * _LATENCY_S, lambda: self._exchange(node, effect))
            case ProbeKernel():
                node.sent_bytes += _UDP_HEAD
                self._at(
                    2 * _LATENCY_S,
                    lambda: self._call(
                        node, lambda: node.machine.on_kernel_answer(effect.address, self._now)
                    ),
                )
            case _:
                pass

    def _deliver(self, source: Node, target: Node, payload: bytes) -> None:
        self._call(
            target,
            lambda: target.machine.on_datagram(source.address, _PORT, payload, self._now),
        )

    def _exchange(self, node: Node, effect: Exchange) -> None:
        """Let one machine answer the request of another, as over a connection."""
        peer = self.nodes[effect.address]
        replies: list[bytes] = []

        def ask() -> Sequence[MembershipEffect]:
            message = peer.machine.stream_decoder().feed(effect.request)
            effects, reply = peer.machine.on_request(node.address, message, self._now)
            replies.append(reply or b"")
            return effects

        def take() -> Sequence[MembershipEffect]:
            decoder = node.machine.stream_decoder()
            message: Any = decoder.feed(replies[0]) if replies[0] else None
            return node.machine.on_reply(effect.id, message, self._now)

        self._call(peer, ask)
        peer.sent_bytes += len(replies[0]) + 4 * _TCP_HEAD
        self._at(_LATENCY_S, lambda: self._call(node, take))


def real(size: int) -> dict[str, float]:
    """Run announcers as processes, each in a namespace of its own, and look at them for a while."""
    site = Site.create(Settings(f"members{os.getpid()}", "light", 0), owned=True)
    try:
        _build(site, size)
        processes = [_start(site, i, size) for i in range(size)]
        _await_all(processes, size)
        time.sleep(2.0)
        begin = time.monotonic()
        cpu, sent = [_cpu_s(p) for p in processes], [_sent(site, i) for i in range(size)]
        time.sleep(_REAL_S)
        passed = time.monotonic() - begin
        used = sum(_cpu_s(p) for p in processes) - sum(cpu)
        carried = sum(_sent(site, i) for i in range(size)) - sum(sent)
        return {
            "cpu_percent": 100 * used / passed / size,
            "bytes_per_s": carried / passed / size,
            "pss_mib": percentile([pss_bytes(p.pid) / _MIB for p in processes], 0.5),
        }
    finally:
        clear(site.name)


def _build(site: Site, size: int) -> None:
    lan = site.plan.lan
    netns.create(lan)
    lines = [f"link add {topology.BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"]
    netns.ip_batch(lan, [*lines, f"link set {topology.BRIDGE} up"])
    for i in range(size):
        name = site.plan.namespace(f"m{i}")
        netns.create(name)
        netns.sysctl(name, {"net.ipv6.conf.all.disable_ipv6": 1})
        netns.ip_batch(
            lan,
            [
                f"link add m{i} type veth peer name eth0 netns {name}",
                f"link set m{i} master {topology.BRIDGE} up",
            ],
        )
        netns.ip_batch(name, ["link set eth0 up", f"addr add {address_of(i)}/16 dev eth0"])


def _start(site: Site, number: int, size: int) -> Process:
    argv = binaries.helper_argv("bench.member", str(number), str(size))
    return site.start(f"m{number}", f"m{number}", argv, env=binaries.helper_env())


def _await_all(processes: Sequence[Process], size: int) -> None:
    """Wait until every announcer has seen everybody come up."""
    deadline = time.monotonic() + 30 + size
    lonely = list(processes)
    while lonely:
        lonely = [p for p in lonely if f"live {size}" not in p.log()]
        if time.monotonic() > deadline:
            told = lonely[0].log()[-1500:]
            raise TimeoutError(f"{len(lonely)} of {size} do not know everybody; one said:\n{told}")
        time.sleep(0.5)


def _cpu_s(process: Process) -> float:
    """Return the CPU time of the announcer alone."""
    stat = read_stat(process.pid)
    return stat.cpu_s if stat else 0.0


def _sent(site: Site, number: int) -> int:
    name = site.plan.namespace(f"m{number}")
    (row,) = netns.ip_json(name, "-s", "link", "show", "eth0")
    return int(row["stats64"]["tx"]["bytes"])
