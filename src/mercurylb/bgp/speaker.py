"""All BGP sessions of a node as one machine: facts in, effects out.

Numbers of connections are given out here and never used twice. Effects are to be carried out in the
order given; on each of them the transport answers as `bgp/effect.py` says. Nothing that one peer
does makes the others wait: each connection takes one chunk of routes at a time, and the chunks that
one call makes are bounded in sum; what is left over is due at once.

The files, from the outside in::

    speaker    all peers; what is to be announced; the planned stop (farewell)
    roster     who is meant by a fact, who is due, who may send next
    peer       one neighbour: dialling (dialler), collisions, BFD, why there is no session
    session    one connection: OPEN, timers, routes
    state      which message belongs into which state
    negotiation, next_hop, collision, ending, timer, departure, story, blame, roll     what they ask
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from mercurylb.bgp.departure import LEAVE_S, Departures
from mercurylb.bgp.effect import Close, Send, Stopped
from mercurylb.bgp.ending import Ending
from mercurylb.bgp.farewell import Farewell
from mercurylb.bgp.house import House
from mercurylb.bgp.notification import CeaseCode, cease, encode
from mercurylb.bgp.peer import Peer
from mercurylb.bgp.roll import report
from mercurylb.bgp.roster import Roster
from mercurylb.bgp.timer import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mercurylb.bgp.effect import BgpEffect, Ends
    from mercurylb.bgp.report import SessionReport
    from mercurylb.bgp.route import RouteGroup
    from mercurylb.bgp.settings import PeerSettings
    from mercurylb.bgp.timer import Chance

ROUTES_AWAITED_S: Final = 120.0
"""How long peers may wait for End-of-RIB after a restart, until it is told without routes."""


class BgpSpeaker:
    """The sessions with all peers of a node."""

    def __init__(self, node: str, *, chance: Chance, gr_restarting: bool = False) -> None:
        """Begin without peers; `gr_restarting` if peers may still forward by an earlier process."""
        self._house = House(node, chance)
        self._roster = Roster()
        self._is_restarting = gr_restarting
        self._routers: dict[str, str] = {}
        self._groups: Sequence[RouteGroup] = ()
        self._departures = Departures()
        self._routes_awaited_until = NEVER
        self._farewell: Farewell | None = None

    # --- what is wanted ----------------------------------------------------------------------

    def on_peers(self, settings: Sequence[PeerSettings], now: float) -> list[BgpEffect]:
        """Take what peers there are to be; replaces what was said before."""
        if self._farewell is not None:
            return []
        wanted = {each.name: each for each in settings}
        effects: list[BgpEffect] = []
        for peer in list(self._roster):
            name = peer.settings.name
            if wanted.get(name) != peer.settings:
                is_removed = name not in wanted
                code = CeaseCode.DECONFIGURED if is_removed else CeaseCode.CONFIGURATION
                peer.close(cease(code), "removed" if is_removed else "changed", now)
                effects += self._roster.settle(peer, now)
                self._roster.forget(name)
        fresh = [name for name in wanted if self._roster.get(name) is None]
        interfaces = {each.interface for each in settings if each.interface}
        effects += self._roster.discover(interfaces)
        self._routers = {one: at for one, at in self._routers.items() if one in interfaces}
        for name in fresh:
            peer = Peer(wanted[name], self._house, now, is_restarting=self._is_restarting)
            self._roster.add(peer)
            if router := self._routers.get(wanted[name].interface):
                peer.on_discovered(router, now)
            effects += self._roster.settle(peer, now)
        self._await_routes(now, is_wanted=bool(settings))
        self._roster.arrange(settings)
        return effects

    def on_routes(self, groups: Sequence[RouteGroup], now: float) -> list[BgpEffect]:
        """Take what is to be announced; replaces what was said before."""
        if self._farewell is not None:
            return []
        self._groups = groups
        self._house.book.replace(self._departures.remaining(groups, now))
        self._know_routes()
        return self._roster.pull(now)

    def _await_routes(self, now: float, *, is_wanted: bool) -> None:
        if not is_wanted or self._house.has_routes:
            self._routes_awaited_until = NEVER
        elif self._routes_awaited_until == NEVER:
            self._routes_awaited_until = now + ROUTES_AWAITED_S
        if is_wanted:
            self._is_restarting = False

    def _know_routes(self) -> None:
        if not self._house.has_routes:
            self._house.has_routes = True
            self._routes_awaited_until = NEVER
            for peer in self._roster:
                peer.on_routes_known()

    # --- connections -------------------------------------------------------------------------

    def on_connected(self, connection: int, ends: Ends, now: float) -> list[BgpEffect]:
        """Take a connection that `Connect` asked for."""
        peer = self._roster.dialling(connection)
        if peer is None:
            return []
        peer.on_connected(connection, ends, now)
        return self._roster.settle(peer, now)

    def on_connect_failed(self, connection: int, reason: str, now: float) -> list[BgpEffect]:
        """Note that a connection that `Connect` asked for did not come to be."""
        peer = self._roster.dialling(connection)
        if peer is None:
            return []
        peer.on_connect_failed(reason, now)
        return self._roster.settle(peer, now)

    def match(self, remote: str, *, interface: str = "", vrf: str = "") -> str | None:
        """Name the peer that a connection from that address belongs to."""
        return self._roster.match(remote, interface=interface, vrf=vrf)

    def allocate(self) -> int:
        """Give the number of a connection that was accepted."""
        return self._house.allocate()

    def on_accepted(self, peer: str, connection: int, ends: Ends, now: float) -> list[BgpEffect]:
        """Take an incoming connection of a peer (RFC 4271 6.8); no peer is an empty name."""
        known = self._roster.get(peer)
        if known is None or self._farewell is not None:
            return [Send(connection, encode(cease(CeaseCode.REJECTED))), Close(connection)]
        known.on_accepted(connection, ends, now)
        return self._roster.settle(known, now)

    def on_received(self, connection: int, octets: bytes, now: float) -> list[BgpEffect]:
        """Take what a connection brought."""
        peer = self._roster.talking(connection)
        if peer is None:
            return []
        peer.on_received(connection, octets, now)
        return self._react(peer, now)

    def on_closed(self, connection: int, reason: str, now: float) -> list[BgpEffect]:
        """Note that the other side, or the kernel, ended a connection."""
        peer = self._roster.talking(connection)
        if peer is None:
            return []
        peer.on_closed(connection, reason, now)
        return self._react(peer, now)

    def on_drained(self, connection: int, now: float) -> list[BgpEffect]:
        """Note that everything that was sent has left."""
        peer = self._roster.talking(connection)
        if peer is None:
            return []
        peer.on_drained(connection)
        return self._react(peer, now)

    # --- what else is known ------------------------------------------------------------------

    def on_bfd(self, peer: str, *, is_up: bool, reason: str, now: float) -> list[BgpEffect]:
        """Note that the BFD session with a peer came up or went down (not: by an administrator)."""
        known = self._roster.get(peer)
        if known is None:
            return []
        known.on_bfd(now, is_up=is_up, reason=reason)
        return self._react(known, now)

    def on_discovered(self, interface: str, link_local: str, now: float) -> list[BgpEffect]:
        """Take the address of the router behind an interface; empty if it is gone."""
        if self._farewell is not None:
            return []
        self._routers[interface] = link_local
        effects: list[BgpEffect] = []
        for peer in self._roster:
            if peer.settings.interface == interface:
                peer.on_discovered(link_local, now)
                effects += self._roster.settle(peer, now)
        return effects

    def on_retry(self, peer: str, now: float) -> list[BgpEffect]:
        """Dial a peer now that waits for its next attempt; something it lacked is there."""
        known = self._roster.get(peer)
        if known is None:
            return []
        known.retry(now)
        return self._roster.settle(known, now)

    def on_reset(self, peer: str, now: float, *, is_soft: bool = False) -> list[BgpEffect]:
        """Begin a session anew; softly by sending everything once more."""
        known = self._roster.get(peer)
        if known is None or self._farewell is not None:
            return []
        if is_soft:
            known.refresh()
        else:
            known.restart("reset by the operator", now, CeaseCode.RESET)
        return self._roster.settle(known, now)

    # --- the planned stop --------------------------------------------------------------------

    def on_stop(self, now: float, *, text: str) -> list[BgpEffect]:
        """End all sessions in an orderly way; `Stopped` follows.

        Peers that keep our routes meanwhile are left without a word, so nothing changes for them.
        """
        if self._farewell is not None:
            return []
        effects = self._roster.discover(set())
        self._farewell = Farewell(text, now)
        for peer in self._roster:
            peer.finish()
            if peer.keeps_routes:
                peer.close(Ending.SILENT, "stopped; the peer keeps the routes", now)
            elif peer.established is None:
                self._part(peer, now)
            effects += self._roster.settle(peer, now)
        groups = self._departures.remaining(self._groups, now)
        self._departures.deadline = NEVER
        leaving = [msgspec.structs.replace(group, is_leaving=True) for group in groups]
        self._house.book.replace(leaving)
        return [*effects, *self._roster.pull(now), *self._go_on_leaving(now)]

    def _part(self, peer: Peer, now: float) -> None:
        text = self._farewell.text if self._farewell else ""
        peer.close(cease(CeaseCode.SHUTDOWN, text), "stopped", now)

    def _go_on_leaving(self, now: float) -> list[BgpEffect]:
        """Take the next step of the stop if it is time for it."""
        farewell = self._farewell
        if farewell is None or farewell.is_over:
            return []
        effects: list[BgpEffect] = []
        ribs = self._ribs()
        if farewell.is_to_withdraw(ribs, now):
            self._house.book.replace(())
            effects += self._roster.pull(now)
        if farewell.is_to_part(ribs, now):
            for peer in self._roster:
                self._part(peer, now)
                effects += self._roster.settle(peer, now)
            effects.append(Stopped())
        return effects

    def _ribs(self) -> list[tuple[bool, int]]:
        """Tell of each established session whether all has left, and what the peer has."""
        sessions = (peer.established for peer in self._roster)
        return [
            (session.is_drained and session.is_settled, session.rib.sent_count)
            for session in sessions
            if session is not None and session.rib is not None
        ]

    # --- time --------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Give the time at which `on_deadline` has something to do."""
        earliest = min(
            self._roster.deadline,
            self._routes_awaited_until,
            self._departures.deadline,
            self._farewell.deadline if self._farewell else NEVER,
        )
        return None if earliest == NEVER else earliest

    def on_deadline(self, now: float) -> list[BgpEffect]:
        """Do what is due."""
        effects: list[BgpEffect] = []
        for peer in self._roster.due(now):
            peer.on_deadline(now)
            effects += self._roster.settle(peer, now)
        if now >= self._departures.deadline and self._farewell is None:
            self._house.book.replace(self._departures.remaining(self._groups, now))
            self._roster.pull_at = now
        if now >= self._routes_awaited_until:
            self._know_routes()
            self._roster.pull_at = now
        if now >= self._roster.pull_at:
            effects += self._roster.pull(now)
        return [*effects, *self._go_on_leaving(now)]

    def _react(self, peer: Peer, now: float) -> list[BgpEffect]:
        return [*self._roster.settle(peer, now), *self._go_on_leaving(now)]

    # --- looking at it -----------------------------------------------------------------------

    def reports(self, now: float) -> tuple[SessionReport, ...]:
        """Tell of every peer, by name."""
        peers = sorted(self._roster, key=lambda peer: peer.settings.name)
        return tuple(report(peer, self._house.book, now) for peer in peers)

    def story(self, peer: str) -> tuple[tuple[float, str], ...]:
        """Tell what happened with a peer, the latest last: time and words; bounded."""
        known = self._roster.get(peer)
        return known.desk.story.entries() if known is not None else ()

    def sent(self, peer: str, start: int = 0) -> Iterator[tuple[str, str]]:
        """Give what a peer has, from the given one on: prefix and attributes, in words."""
        known = self._roster.get(peer)
        session = known.established if known is not None else None
        if session is not None and session.rib is not None:
            yield from session.rib.sent(start)

    def validate(self) -> None:
        """Assert what always holds."""
        self._roster.validate()
        if self._farewell is not None and self._farewell.is_over:
            assert not any(peer.sessions for peer in self._roster), (
                "after the stop there are no connections"
            )


__all__ = ["LEAVE_S", "BgpSpeaker"]
