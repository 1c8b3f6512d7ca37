"""A host of the simulation: the machine under test with a driver, or somebody who sends garbage."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from mercurylb.bgp import notification, opening
from mercurylb.bgp.capability import Capabilities, GracefulRestart
from mercurylb.bgp.effect import Close, Connect, Ends, Send, SessionChanged, Stopped
from mercurylb.bgp.family import IPV4, IPV6
from mercurylb.bgp.message import KEEPALIVE
from mercurylb.bgp.opening import Open
from mercurylb.bgp.speaker import BgpSpeaker
from tests.sim.bgp.view import View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.bgp.effect import BgpEffect
    from mercurylb.bgp.route import RouteGroup
    from mercurylb.bgp.settings import PeerSettings
    from tests.sim.bgp.stream import End
    from tests.sim.bgp.world import World

SPLITTER_MAX = 65535 + 70000
"""Octets that may wait for the rest of a message: one message and one piece."""
WAITING_MAX = 40_000
"""Octets that a connection may be asked to write before it has written others."""


class Process:
    """A run of the machine; a restart of the host is another one."""

    def __init__(self, host: Host, *, is_restart: bool) -> None:
        self.host = host
        self.world = host.world
        self.is_alive = True
        self.is_stopped = False
        self.ends: dict[int, End] = {}
        self.dials: set[int] = set()
        self.views: dict[int, View] = {}
        chance = random.Random(self.world.chance.random())
        self.speaker = BgpSpeaker(host.name, chance=chance, gr_restarting=is_restart)
        self._timer_at: float | None = None

    # --- the world tells -----------------------------------------------------------------------

    def received(self, connection: int, octets: bytes) -> None:
        if connection in self.ends:
            if not isinstance(self.ends[connection].other.user, Hostile):
                self.views[connection].read(octets)
            self.do(self.speaker.on_received(connection, octets, self.world.now))

    def closed(self, connection: int, reason: str) -> None:
        if self.ends.pop(connection, None) is not None:
            self.do(self.speaker.on_closed(connection, reason, self.world.now))

    def drained(self, connection: int) -> None:
        if connection in self.ends:
            self.do(self.speaker.on_drained(connection, self.world.now))

    def connected(self, connection: int, end: End, remote: str) -> None:
        if connection not in self.dials:
            end.close(is_silent=True)
            return
        self.dials.discard(connection)
        self._adopt(connection, end)
        ends = self.host.ends(remote)
        self.do(self.speaker.on_connected(connection, ends, self.world.now))

    def refused(self, connection: int, reason: str) -> None:
        if self.is_alive and connection in self.dials:
            self.dials.discard(connection)
            self.do(self.speaker.on_connect_failed(connection, reason, self.world.now))

    def accepted(self, end: End, remote: str) -> None:
        connection = end.connection
        self._adopt(connection, end)
        peer = self.speaker.match(remote) or ""
        ends = self.host.ends(remote)
        self.do(self.speaker.on_accepted(peer, connection, ends, self.world.now))

    def _adopt(self, connection: int, end: End) -> None:
        self.ends[connection] = end
        self.views[connection] = View()

    def want(self) -> None:
        """Tell the machine what is wanted now."""
        now = self.world.now
        self.do(self.speaker.on_peers(self.host.peers, now))
        self.do(self.speaker.on_routes(self.host.groups, now))

    def stop(self) -> None:
        self.do(self.speaker.on_stop(self.world.now, text="good night"))

    def kill(self) -> None:
        """Die without a word; the kernel tells the others later, when they write."""
        self.is_alive = False

    # --- the machine wants ---------------------------------------------------------------------

    def do(self, effects: Sequence[BgpEffect]) -> None:
        self.speaker.validate()
        for effect in effects:
            self.world.seen[type(effect).__name__] += 1
            self._carry_out(effect)
        for peer in self.speaker._roster:
            for session in peer.sessions.values():
                assert len(session.splitter) <= SPLITTER_MAX, "input is bounded"
                assert session.connection in self.ends, "sessions have connections"
        for end in self.ends.values():
            assert len(end.waiting) < WAITING_MAX, "output is bounded"
        self._arm()

    def _carry_out(self, effect: BgpEffect) -> None:
        if isinstance(effect, Send):
            self.ends[effect.connection].write(effect.octets)
        elif isinstance(effect, Close):
            self.dials.discard(effect.connection)
            end = self.ends.pop(effect.connection, None)
            if end is not None:
                end.close(is_silent=effect.is_silent)
        elif isinstance(effect, Connect):
            assert effect.connection not in self.ends, "numbers are used once"
            self.dials.add(effect.connection)
            self.world.dial(self, effect)
        elif isinstance(effect, SessionChanged):
            self.world.tell(f"{self.host.name}: {effect.peer} {effect.state} {effect.reason}")
            self.world.seen[f"state {effect.state}"] += 1
        elif isinstance(effect, Stopped):
            self.is_stopped = True

    def _arm(self) -> None:
        at = self.speaker.next_deadline()
        if at is None or at == self._timer_at:
            return
        self._timer_at = at
        delay_s = max(0.0, at - self.world.now)
        self.world.after(delay_s, lambda: self._ring(at))

    def _ring(self, at: float) -> None:
        if self.is_alive and self._timer_at == at:
            if self.host.stalled_until > self.world.now:
                self.world.after(self.host.stalled_until - self.world.now, lambda: self._ring(at))
                return
            self._timer_at = None
            self.do(self.speaker.on_deadline(self.world.now))


class Host:
    """A machine of its own."""

    def __init__(
        self, world: World, name: str, address: str, *, peers: tuple[PeerSettings, ...] = ()
    ) -> None:
        self.world = world
        self.name = name
        self.address = address
        self.peers = peers
        self.groups: tuple[RouteGroup, ...] = ()
        self.listens = True
        self.stalled_until = 0.0
        self.process = Process(self, is_restart=False)

    def ends(self, remote: str) -> Ends:
        return Ends(
            local=self.address,
            remote=remote,
            interface="eth0",
            local_ipv4=self.address if ":" not in self.address else "192.0.2.200",
            local_ipv6=f"2001:db8::{self.name}" if ":" not in self.address else self.address,
            link_local="fe80::1",
        )

    def restart(self) -> None:
        self.process.kill()
        self.process = Process(self, is_restart=True)
        self.process.want()


class Hostile:
    """Listens, answers with OPENs that are right or not, and sends whatever."""

    def __init__(self, world: World, address: str, asn: int) -> None:
        self.world = world
        self.address = address
        self.asn = asn
        self.is_alive = True
        self.listens = True
        self.ends: dict[int, End] = {}
        self._number = 1_000_000

    @property
    def process(self) -> Hostile:
        return self

    def allocate(self) -> int:
        self._number += 1
        return self._number

    def accepted(self, end: End, _: str) -> None:
        self.ends[end.connection] = end
        self._go_on(end, 0)

    def _go_on(self, end: End, step: int) -> None:
        chance = self.world.chance
        if not end.is_open or not self.world.is_troubled:
            if end.is_open:
                end.close(is_silent=True)
            return
        self.world.seen["hostile octets"] += 1
        if step == 0 and chance.random() < 0.8:
            end.write(self._open())
            if chance.random() < 0.8:
                end.write(KEEPALIVE)
        else:
            end.write(self._garbage())
        if chance.random() < 0.1:
            end.close(is_silent=chance.random() < 0.5)
            return
        delay_s = chance.choice((0.0, 0.001, 0.1, 1.0, 5.0))
        self.world.after(delay_s, lambda: self._go_on(end, step + 1))

    def _open(self) -> bytes:
        chance = self.world.chance
        return opening.encode(
            Open(
                self.asn if chance.random() < 0.8 else 1,
                chance.choice((0, 3, 9, 90)),
                "192.0.2.9",
                Capabilities(
                    families=chance.choice(((), (IPV4,), (IPV4, IPV6))),
                    has_route_refresh=True,
                    has_extended_message=chance.random() < 0.5,
                    graceful_restart=GracefulRestart(120) if chance.random() < 0.5 else None,
                    asn=self.asn if chance.random() < 0.5 else None,
                    has_enhanced_refresh=True,
                ),
            )
        )

    def _garbage(self) -> bytes:
        chance = self.world.chance
        kind = chance.randrange(6)
        if kind == 0:
            return chance.randbytes(chance.randrange(1, 3000))
        if kind == 1:
            body = chance.randbytes(chance.randrange(200))
            length = (19 + len(body)).to_bytes(2, "big")
            return b"\xff" * 16 + length + bytes((chance.randrange(7),)) + body
        if kind == 2:
            return notification.encode(
                notification.Notification(chance.randrange(9), chance.randrange(12), b"\x05hello")
            )
        if kind == 3:
            octets = bytearray(_UPDATE * chance.randrange(1, 300))
            if chance.random() < 0.5:
                octets[chance.randrange(len(octets))] ^= 1 << chance.randrange(8)
            return bytes(octets)
        if kind == 4:
            return _REFRESH * chance.randrange(1, 50)
        return KEEPALIVE * chance.randrange(1, 100)

    def received(self, connection: int, octets: bytes) -> None:
        pass

    def drained(self, connection: int) -> None:
        pass

    def closed(self, connection: int, _: str) -> None:
        self.ends.pop(connection, None)


_ATTRIBUTES = bytes.fromhex("40010100 400206 0201 0000fde9 400304 c0000209")
_BODY = b"\0\0" + len(_ATTRIBUTES).to_bytes(2, "big") + _ATTRIBUTES + b"\x18\x0a\x00\x01"
_UPDATE = b"\xff" * 16 + (19 + len(_BODY)).to_bytes(2, "big") + b"\x02" + _BODY
_REFRESH = b"\xff" * 16 + b"\x00\x17\x05\x00\x01\x00\x01"
