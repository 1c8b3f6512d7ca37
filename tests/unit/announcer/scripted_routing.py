"""A BGP speaker and a BFD table that do what a test says, and remember what they were told."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from mercurylb.bfd.effect import BfdKey, ClosePort, OpenPort
from mercurylb.bfd.report import BfdDetail, BfdReport
from mercurylb.bgp.report import SessionReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mercurylb.bfd.effect import Arrival, BfdEffect
    from mercurylb.bfd.settings import BfdSettings
    from mercurylb.bgp.effect import BgpEffect, Ends
    from mercurylb.bgp.route import RouteGroup
    from mercurylb.bgp.settings import PeerSettings


class ScriptedSpeaker:
    """`says` comes back from the next fact."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.says: list[BgpEffect] = []
        self.deadline: float | None = None
        self.peers: tuple[str, ...] = ()
        self.has: list[tuple[str, str]] = []

    def hear(self, *fact: object) -> list[BgpEffect]:
        """Remember a fact, and say what is to be said."""
        self.told.append(fact)
        said, self.says = self.says, []
        return said

    def forget(self) -> list[tuple[object, ...]]:
        """Return what was told since this was asked last."""
        told, self.told = self.told, []
        return told

    def on_peers(self, settings: Sequence[PeerSettings], now: float) -> list[BgpEffect]:
        """Take peers."""
        self.peers = tuple(sorted(one.name for one in settings))
        return self.hear("peers", self.peers, now)

    def on_routes(self, groups: Sequence[RouteGroup], now: float) -> list[BgpEffect]:
        """Take routes."""
        return self.hear("routes", tuple(one.prefixes for one in groups), now)

    def on_connected(self, connection: int, ends: Ends, now: float) -> list[BgpEffect]:
        """Take a connection."""
        return self.hear("connected", connection, ends, now)

    def on_connect_failed(self, connection: int, reason: str, now: float) -> list[BgpEffect]:
        """Note a failure."""
        return self.hear("failed", connection, reason, now)

    def match(self, remote: str, *, interface: str = "", vrf: str = "") -> str | None:
        """Know nobody."""
        del remote, interface, vrf
        return None

    def allocate(self) -> int:
        """Give a number."""
        return 1000

    def on_accepted(self, peer: str, connection: int, ends: Ends, now: float) -> list[BgpEffect]:
        """Take an incoming connection."""
        return self.hear("accepted", peer, connection, ends, now)

    def on_received(self, connection: int, octets: bytes, now: float) -> list[BgpEffect]:
        """Take bytes."""
        return self.hear("received", connection, octets, now)

    def on_closed(self, connection: int, reason: str, now: float) -> list[BgpEffect]:
        """Note an end."""
        return self.hear("closed", connection, reason, now)

    def on_drained(self, connection: int, now: float) -> list[BgpEffect]:
        """Note that all has left."""
        return self.hear("drained", connection, now)

    def on_bfd(self, peer: str, *, is_up: bool, reason: str, now: float) -> list[BgpEffect]:
        """Note what BFD says."""
        return self.hear("bfd", peer, is_up, reason, now)

    def on_discovered(self, interface: str, link_local: str, now: float) -> list[BgpEffect]:
        """Take a router."""
        return self.hear("discovered", interface, link_local, now)

    def on_retry(self, peer: str, now: float) -> list[BgpEffect]:
        """Dial now."""
        return self.hear("retry", peer, now)

    def on_stop(self, now: float, *, text: str) -> list[BgpEffect]:
        """Stop."""
        return self.hear("stop", text, now)

    def next_deadline(self) -> float | None:
        """Return what the test says."""
        return self.deadline

    def on_deadline(self, now: float) -> list[BgpEffect]:
        """Be called."""
        self.deadline = None
        return self.hear("deadline", now)

    def reports(self, now: float) -> tuple[SessionReport, ...]:
        """Report every peer."""
        del now
        return tuple(
            SessionReport(name, f"{name}:179", "Idle", 1.0, prefixes_sent=len(self.has))
            for name in self.peers
        )

    def story(self, peer: str) -> tuple[tuple[float, str], ...]:
        """Tell a story."""
        return ((2.0, f"{peer} began"),)

    def sent(self, peer: str, start: int = 0) -> Iterator[tuple[str, str]]:
        """Give what a peer has."""
        del peer
        yield from self.has[start:]

    def validate(self) -> None:
        """Hold."""


class ScriptedTable:
    """`says` comes back from the next fact; ports open and close as sessions are wanted."""

    def __init__(self) -> None:
        self.wanted: dict[BfdKey, BfdSettings] = {}
        self.says: list[BfdEffect] = []
        self.deadline: float | None = None
        self.states: dict[BfdKey, str] = {}
        self.refused: collections.Counter[str] = collections.Counter()
        self.is_stopped = False
        self.told: list[tuple[object, ...]] = []

    def said(self) -> list[BfdEffect]:
        """Say what is to be said."""
        said, self.says = self.says, []
        return said

    def on_wanted(self, wanted: Mapping[BfdKey, BfdSettings], now: float) -> list[BfdEffect]:
        """Open and close."""
        del now
        opened = [OpenPort(key) for key in wanted if key not in self.wanted]
        closed = [ClosePort(key) for key in self.wanted if key not in wanted]
        self.wanted = dict(wanted)
        return [*opened, *closed, *self.said()]

    def on_packet(self, arrival: Arrival, now: float) -> list[BfdEffect]:
        """Take a packet."""
        self.told.append(("packet", arrival, now))
        return self.said()

    def on_send_failed(self, key: BfdKey, reason: str, now: float) -> list[BfdEffect]:
        """Note a failure."""
        self.told.append(("failed", key, reason, now))
        return self.said()

    def on_stop(self, now: float) -> list[BfdEffect]:
        """End all."""
        self.is_stopped = True
        return self.on_wanted({}, now)

    def next_deadline(self) -> float | None:
        """Return what the test says."""
        return self.deadline

    def on_deadline(self, now: float) -> list[BfdEffect]:
        """Be called."""
        self.deadline = None
        self.told.append(("deadline", now))
        return self.said()

    def reports(self, now: float) -> tuple[BfdReport, ...]:
        """Report every session."""
        reports = (self.report(key, now) for key in sorted(self.wanted))
        return tuple(report for report in reports if report is not None)

    def report(self, key: BfdKey, now: float) -> BfdReport | None:
        """Report a session."""
        del now
        if key not in self.wanted:
            return None
        return BfdReport(
            peer=key.peer,
            vrf=key.vrf,
            interface=key.interface,
            local_address=key.local_address,
            is_multi_hop=key.is_multi_hop,
            state=self.states.get(key, "Down"),
        )

    def detail(self, key: BfdKey, now: float) -> BfdDetail | None:
        """Tell a discriminator."""
        del now
        return BfdDetail(discriminator=7) if key in self.wanted else None

    def story(self, key: BfdKey) -> tuple[tuple[float, str], ...]:
        """Tell a story."""
        return ((3.0, f"{key.peer} began"),)

    def validate(self) -> None:
        """Hold."""
