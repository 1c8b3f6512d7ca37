"""The stage of the trials: one service, its observers, and rounds of fault and recovery.

The observers run for as long as the stage is open and every round reads its own stretch of their
lines, on the machine's monotonic clock, which they share.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from lab import netns
from lab.cluster import PATIENCE_S
from lab.errors import LabError, WaitTimeout
from lab.failover import judge
from lab.failover.control import control_of
from lab.failover.judge import Figures, Marks, Seen
from lab.failover.tail import Tail
from lab.observe.watch import Observers, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from lab.cluster import Lab
    from lab.failover.control import Control
    from lab.failover.scenario import Scenario

HTTP_PORT: Final = 80
ECHO_PORT: Final = 81
WIRE_MS: Final = 10.0
UDP_MS: Final = 5.0
TCP_MS: Final = 20.0
FLOOD_MS: Final = 1.0
SETTLE_TIMEOUT_S: Final = 90.0
MOVE_TIMEOUT_S: Final = 60.0
LINGER_S: Final = 0.4
"""How long a round goes on after the address moved: a flap would come in that time."""
BEFORE_S: Final = 0.4
_POLL_S: Final = 0.03
_TRY_S: Final = 1.1
"""A datagram counts as lost after a second."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How long the long parts of a trial last."""

    quiet_s: float = 0.8
    """One owner alone for so long counts as settled."""
    outage_s: float = 60.0
    hogs: int = 40
    hogs_s: float = 90.0


def ranking(address: str, nodes: Iterable[str]) -> list[str]:
    """Return the nodes in the order in which they may answer for an address."""
    return sorted(nodes, key=lambda n: hashlib.sha256(f"{n}#{address}".encode()).digest())


class Stage:
    """One service, usually with an address of each family, watched.

    It echoes datagrams on `ECHO_PORT`, unless ``has_echo`` says that it does not.
    """

    lab: Lab
    control: Control
    settings: Settings
    ranking: list[str]
    first: str
    second: str

    def __init__(
        self,
        lab: Lab,
        addresses: Iterable[str],
        settings: Settings | None = None,
        *,
        has_echo: bool = True,
    ) -> None:
        self.lab = lab
        self.addresses = tuple(addresses)
        self.settings = settings or Settings()
        self.control = control_of(lab)
        self.ranking = ranking(self.addresses[0], lab.nodes)
        self.first, self.second = self.ranking[0], self.ranking[1]
        self._has_echo = has_echo
        self._observe = Observers(lab.site, urgent=True)
        self._watches: list[Watch[Any]] = []
        self._wire: dict[str, Tail] = {}
        self._udp: dict[str, Tail] = {}
        self._tcp: dict[str, Tail] = {}
        self._flood: Tail | None = None

    def __enter__(self) -> Self:
        """Start the observers."""
        for address in self.addresses:
            host = f"[{address}]" if ":" in address else address
            url = f"http://{host}:{HTTP_PORT}/"
            wire = self._observe.owner(address, interval_ms=WIRE_MS)
            self._wire[address] = self._follow(wire)
            if self._has_echo:
                udp = self._observe.udp(address, ECHO_PORT, interval_ms=UDP_MS)
                self._udp[address] = self._follow(udp)
            self._tcp[address] = self._follow(self._observe.http(url, interval_ms=TCP_MS))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the observers."""
        for watch in self._watches:
            watch.process.stop(3.0)
            watch.process.discard()
        self._watches.clear()

    def mac(self, node: str) -> str:
        """Return a node's hardware address."""
        return self.lab.site.plan.node(node).mac

    def run(self, scenario: Scenario, rounds: int) -> list[Figures]:
        """Perform rounds of a scenario."""
        flood: Watch[Any] | None = None
        self.settle()
        try:
            if scenario.has_flood and self._has_echo:
                flood = self._observe.udp(self.addresses[0], ECHO_PORT, interval_ms=FLOOD_MS)
                self._flood = self._follow(flood)
                self._await_echo(self._flood)
            with scenario.around(self):
                return [self.round(scenario) for _ in range(scenario.rounds_of(rounds))]
        finally:
            if flood is not None:
                self._flood = None
                self._watches.remove(flood)
                flood.process.stop(3.0)
                flood.process.discard()

    def round(self, scenario: Scenario) -> Figures:
        """Break, watch, mend, watch, judge."""
        self.settle()
        begin = time.monotonic()
        for tail in self._tails():
            tail.forget(begin - 1.0)
        time.sleep(BEFORE_S)
        fault = time.monotonic()
        made = scenario.strike(self)
        if scenario.hold_s is None:
            self.await_move(fault)
            time.sleep(LINGER_S)
        else:
            time.sleep(max(0.0, fault + scenario.hold_s - time.monotonic()))
        mended = time.monotonic()
        scenario.mend(self, made)
        self.settle()
        marks = Marks(begin, fault, mended, time.monotonic())
        return judge.judge(
            self._collect(scenario, marks), marks, first=self.mac(self.first), moves=scenario.moves
        )

    def settle(self) -> None:
        """Wait until the first of the ranking alone answers for every address, and is reached."""
        quiet_s, wanted = self.settings.quiet_s, {self.mac(self.first)}

        def is_settled() -> bool:
            now = time.monotonic()
            for tail in self._wire.values():
                seen = judge.answers(tail.between(now - quiet_s, now), 0.0, now)
                if {mac for _, mac in seen} != wanted or seen[0][0] > now - quiet_s * 0.8:
                    return False
            return self._is_reached(now)

        what = f"{', '.join(self.addresses)} answered for by {self.first} alone, and reached"
        self._until(is_settled, what, SETTLE_TIMEOUT_S)

    def await_move(self, since: float) -> None:
        """Wait until another host than the first answers for every address."""
        old = self.mac(self.first)

        def has_moved() -> bool:
            now = time.monotonic()
            return all(
                any(mac != old for _, mac in judge.answers(tail.between(since, now), since, now))
                for tail in self._wire.values()
            )

        self._until(has_moved, f"somebody took over from {self.first}", MOVE_TIMEOUT_S)

    def recover(self) -> None:
        """End every fault and bring every speaker back, after a round that went wrong."""
        self.lab.faults.heal()
        for node in self.lab.nodes:
            try:
                self.control.start(node)
            except LabError:
                continue

    def _await_echo(self, flood: Tail) -> None:
        """Wait for the flood's first echo; say what it met instead."""
        try:
            self._until(lambda: any(x["ok"] for x in flood.lines()), "an echo", PATIENCE_S)
        except WaitTimeout as silence:
            told = [line.get("error", "") for line in flood.lines()]
            seen = f"{len(told)} datagrams, {sorted(set(told))}; neighbours {self._caches()}"
            words = [netns.tool("conntrack"), "-L", "-p", "udp", "--dport", str(ECHO_PORT)]
            where = self.lab.site.namespace(self.first)
            flows = netns.command(words, netns=where, check=False).stdout.strip()
            raise WaitTimeout(f"{silence}: {seen}; {self.first}: {flows}") from None

    def _is_reached(self, now: float) -> bool:
        tails = (self._udp or self._tcp).values()
        return all(any(line["ok"] for line in tail.between(now - 0.3, now)) for tail in tails)

    def _collect(self, scenario: Scenario, marks: Marks) -> Seen:
        """Read the lines of a round, after the tries of its last moments have ended."""
        if self._flood is not None:
            time.sleep(_TRY_S)
        names = {a: "NDP" if ":" in a else "ARP" for a in self.addresses}
        span = (marks.begin, marks.end)
        return Seen(
            wire={names[a]: tail.between(*span) for a, tail in self._wire.items()},
            udp=_spans(self._udp, span) if scenario.has_traffic else {},
            tcp=_spans(self._tcp, span) if scenario.has_traffic else {},
            flood=self._flood.between(*span) if self._flood is not None else (),
            caches=self._caches(),
        )

    def _caches(self) -> list[str]:
        """Return where the client's kernel sends what is for the addresses."""
        rows = netns.ip_json(self.lab.client.namespace, "neighbour", "show", "dev", "eth0")
        rows += netns.ip_json(self.lab.client.namespace, "-6", "neighbour", "show", "dev", "eth0")
        found = {str(row["dst"]): str(row.get("lladdr", "")) for row in rows}
        return [found[address] for address in self.addresses if found.get(address)]

    def _tails(self) -> list[Tail]:
        flood = [self._flood] if self._flood is not None else []
        return [*self._wire.values(), *self._udp.values(), *self._tcp.values(), *flood]

    def _follow(self, watch: Watch[Any]) -> Tail:
        self._watches.append(watch)
        return Tail(watch.process.log_path)

    def _until(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise WaitTimeout(f"{what}: not within {timeout_s:g} s")
            time.sleep(_POLL_S)


def _spans(tails: dict[str, Tail], span: tuple[float, float]) -> dict[str, list[dict[str, Any]]]:
    return {address: tail.between(*span) for address, tail in tails.items()}
