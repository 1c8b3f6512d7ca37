"""Two or three hosts, the lines between them, virtual time, and what must hold at the end."""

from __future__ import annotations

import collections
import heapq
import random
from typing import TYPE_CHECKING

from mercurylb.bgp.attribute import GRACEFUL_SHUTDOWN
from mercurylb.bgp.route import RouteGroup
from mercurylb.bgp.settings import PeerSettings
from tests.sim.bgp.host import Host, Hostile, Process
from tests.sim.bgp.stream import Line, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.bgp.effect import Connect
    from tests.sim.bgp.stream import End
    from tests.sim.bgp.view import Attributes

QUIET_S = 400.0
"""Longer than the longest delay between two attempts, and a hold time."""
STEPS_MAX = 400_000
STORY_MAX = 200


class Trouble(AssertionError):  # noqa: N818 (it is none of ours)
    """What must hold does not."""


class World:
    """A seed, played."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 1000.0
        self.chance = random.Random(seed)
        self.seen: collections.Counter[str] = collections.Counter()
        self.story: collections.deque[str] = collections.deque(maxlen=STORY_MAX)
        self.is_troubled = True
        self.step_count = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._make()

    # --- time --------------------------------------------------------------------------------

    def after(self, delay_s: float, act: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._heap, (self.now + delay_s, self._order, act))

    def run(self, duration_s: float) -> None:
        until = self.now + duration_s
        while self._heap and self._heap[0][0] <= until:
            self.now, _, act = heapq.heappop(self._heap)
            self.step_count += 1
            if self.step_count > STEPS_MAX:
                raise Trouble("the machines keep each other busy for ever")
            act()
        self.now = until

    def tell(self, text: str) -> None:
        self.story.append(f"{self.now:10.3f} {text}")

    # --- the hosts ---------------------------------------------------------------------------

    def _make(self) -> None:
        chance = self.chance
        is_ipv6 = chance.random() < 0.3
        first, second = ("2001:db8::a", "2001:db8::b") if is_ipv6 else ("192.0.2.1", "192.0.2.2")
        asns = chance.choice(((64500, 64500), (64500, 64501), (4200000000, 64501)))
        is_listening = chance.random() < 0.7
        self.hold_times_s = (0, 3, 9, 90) if is_listening else (3, 9, 90)
        """Without a hold time nobody finds out that the other side is gone, unless it calls."""
        common = {
            "hold_time_s": chance.choice(self.hold_times_s),
            "connect_time_s": chance.choice((None, None, 5, 60)),
            "has_graceful_restart": chance.random() < 0.5,
            "has_both_families": chance.random() < 0.5,
        }
        self.a = Host(self, "a", first)
        self.b = Host(self, "b", second)
        self.a.peers = (self._settings("b", asns, second, router_id="192.0.2.1", **common),)
        self.b.peers = (self._settings("a", asns[::-1], first, router_id="192.0.2.2", **common),)
        self.hosts = [self.a, self.b]
        self.everybody: dict[str, Host | Hostile] = {first: self.a, second: self.b}
        self.line = Line(self, chance)
        self.hostile: Hostile | None = None
        if chance.random() < 0.5:
            self.hostile = Hostile(self, "192.0.2.9", 65001)
            self.everybody["192.0.2.9"] = self.hostile
            garbage = PeerSettings(
                name="evil", my_asn=asns[0], peer_asn=65001, address="192.0.2.9", hold_time_s=9,
                has_graceful_restart=chance.random() < 0.5,
            )  # fmt: skip
            self.a.peers = (*self.a.peers, garbage)
        self._lines = {"192.0.2.9": Line(self, chance)}
        self.b.listens = is_listening
        for host in self.hosts:
            host.groups = self.random_groups(host)
            host.process.want()

    def _settings(
        self, name: str, asns: tuple[int, int], address: str, **common: object
    ) -> PeerSettings:
        return PeerSettings(
            name=name, my_asn=asns[0], peer_asn=asns[1], address=address, **common  # type: ignore[arg-type]
        )  # fmt: skip

    def random_groups(self, host: Host) -> tuple[RouteGroup, ...]:
        """Make up what is to be announced; the session's families alone, as the plan does it."""
        chance = self.chance
        settings = host.peers[0]
        is_both = settings.has_both_families
        is_ipv6 = ":" in settings.address
        texts = []
        if is_both or not is_ipv6:
            count = chance.choice((0, 1, 5, 60, 300))
            texts += [f"10.{chance.randrange(4)}.{i >> 8}.{i & 255}/32" for i in range(count)]
        if is_both or is_ipv6:
            texts += [f"2001:db8:1::{i:x}/128" for i in range(1, chance.choice((1, 4, 200)))]
        if self.chance.random() < 0.01 and not is_ipv6:
            texts += [f"10.8.{i >> 8}.{i & 255}/32" for i in range(20_000)]
        chance.shuffle(texts)
        groups = []
        names = tuple(sorted(settings.name for settings in host.peers))
        while texts:
            size = chance.choice((1, 10, len(texts)))
            part, texts = texts[:size], texts[size:]
            groups.append(
                RouteGroup(
                    peers=names,
                    prefixes=tuple(sorted(part)),
                    local_pref=chance.choice((0, 100, 200)),
                    as_path_prepend=chance.randrange(3),
                    communities=chance.choice(((), (1,), (1, 65537))),
                    large_communities=chance.choice(((), ((1, 2, 3),))),
                    is_leaving=chance.random() < 0.1,
                )
            )
            if len(groups) > 20 and texts:
                groups.append(RouteGroup(peers=names, prefixes=tuple(sorted(texts))))
                break
        return tuple(groups)

    # --- the network -------------------------------------------------------------------------

    def dial(self, process: Process, wish: Connect) -> None:
        """Let a process connect: after a round trip, or never, or refused."""
        line = self._lines.get(wish.remote, self.line)
        self.after(line.delay_s * 2, lambda: self._answer(process, wish, line))

    def _answer(self, process: Process, wish: Connect, line: Line) -> None:
        if line.is_cut:
            if wish.connection in process.dials:
                self.after(0.5, lambda: self._answer(process, wish, line))
            return
        host = self.everybody[wish.remote]
        if not process.is_alive or wish.connection not in process.dials:
            return
        listener = host.process
        if not host.listens or not listener.is_alive:
            self.seen["refused"] += 1
            process.refused(wish.connection, "connection refused")
            return
        if isinstance(listener, Process):
            number = listener.speaker.allocate()
        else:
            number = listener.allocate()
        first, second = connect(line, (process, wish.connection), (listener, number))
        self.seen["connections"] += 1
        self._introduce(process, wish, first, second, listener)

    def _introduce(
        self, process: Process, wish: Connect, first: End, second: End, listener: Process | Hostile
    ) -> None:
        process.connected(wish.connection, first, wish.remote)
        if listener.is_alive:
            listener.accepted(second, process.host.address)

    # --- what must hold ----------------------------------------------------------------------

    def wrong(self) -> str:
        """Say what is not as it should be after a quiet time; empty if all is well."""
        for host, other in ((self.a, self.b), (self.b, self.a)):
            report = next(r for r in host.process.speaker.reports(self.now) if r.name == other.name)
            if report.state != "Established":
                return f"{host.name} is {report.state}: {report.last_error}"
            if report.prefixes_pending:
                return f"{host.name} still has {report.prefixes_pending} prefixes to send"
            problem = self._wrong_view(host, other)
            if problem:
                return problem
        return ""

    def _wrong_view(self, host: Host, other: Host) -> str:
        session = other.process.speaker._roster._peers[host.name].established
        if session is None:
            return f"{other.name} has no session"
        view = other.process.views[session.connection]
        wanted = wanted_of(host)
        if view.table != wanted:
            missing = sorted(set(wanted) - set(view.table))[:3]
            surplus = sorted(set(view.table) - set(wanted))[:3]
            return f"{other.name} has not what {host.name} wants: lacks {missing}, has {surplus}"
        assert session.agreement is not None
        if view.ended != set(session.agreement.families):
            return f"{other.name} got End-of-RIB of {host.name} for {view.ended}"
        told = dict(host.process.speaker.sent(other.name))
        return "" if set(told) == set(wanted) else f"{host.name} tells wrongly what it sent"


def wanted_of(host: Host) -> dict[str, Attributes]:
    """Give the table that the other side should have."""
    settings = host.peers[0]
    is_internal = settings.my_asn == settings.peer_asn
    table: dict[str, Attributes] = {}
    for group in host.groups:
        if group.is_leaving:
            continue
        asns = () if is_internal else (settings.asn,) * (1 + group.as_path_prepend)
        large = b"".join(n.to_bytes(4, "big") for each in group.large_communities for n in each)
        preference = group.local_pref if is_internal else None
        assert GRACEFUL_SHUTDOWN not in group.communities
        for prefix in group.prefixes:
            table[prefix] = preference, asns, group.communities, large
    return table
