"""The sockets towards routers: carries out what `RoutingCore` decides, feeds it what happens.

It has a driver of its own, so that its effects queue behind its own only; what peers send is read
in fair turns (`net.turns`). Facts are taken in as they come, without looking first at what is
overdue: when the process stood still, a keepalive that waits in a socket is news that the peer
lives, and must be heard before its silence is judged.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import msgspec

from mercurylb.announcer.answers import answer
from mercurylb.announcer.core import Observe, Tell
from mercurylb.announcer.discovery import CloseRouterPort, OpenRouterPort, SendRouterMessage
from mercurylb.announcer.listeners import Listeners, tcp_settings
from mercurylb.announcer.routing import Finished, Listen, RoutingCore, RoutingEffect
from mercurylb.bfd.effect import ClosePort, OpenPort, SendPacket
from mercurylb.bgp.effect import Close, Connect, Send
from mercurylb.errors import LinkError
from mercurylb.net.bfd_port import BfdPorts
from mercurylb.net.driver import Driver
from mercurylb.net.router_port import RouterPort
from mercurylb.net.tcp import Connection, Dial
from mercurylb.net.tcp_option import set_minimum_ttl, set_user_timeout
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from mercurylb.announcer.settings import AnnouncerSettings
    from mercurylb.bfd.effect import Arrival, BfdKey
    from mercurylb.bgp.settings import PeerSettings
    from mercurylb.layer2.interface import Link
    from mercurylb.net.turns import Turns
    from mercurylb.plan.desired import BrainMessage, Observation
    from mercurylb.plan.desk import Question

RETRY_S = 2.0
"""Between two attempts to open what the kernel does not give."""
LAST_WORDS_S = 0.3
"""How long the end of a planned stop waits for peers to close; what was sent leaves anyway."""


class RoutingWire:
    """Own the sockets of BGP, BFD and router discovery; must be made on a running loop."""

    def __init__(
        self,
        settings: AnnouncerSettings,
        turns: Turns,
        *,
        on_observe: Callable[[], None],
        on_tell: Callable[[Tell], None],
        on_finished: Callable[[], None],
    ) -> None:
        self._on_observe = on_observe
        self._on_tell = on_tell
        self._on_finished = on_finished
        self._loop = asyncio.get_running_loop()
        self.core = RoutingCore(
            settings.node,
            chance=random.SystemRandom(),
            lease_s=settings.lease_s,
            has_listener=bool(settings.bgp_listen_port),
        )
        self._driver: Driver[RoutingEffect] = Driver(self.core, self._perform)
        self._turns = turns
        self._dials: dict[int, Dial] = {}
        self._connections: dict[int, Connection] = {}
        self._leaving_count = 0
        self._has_finished = False
        self._bfd = BfdPorts(self._on_arrival, self._on_send_failed)
        self._routers: dict[int, RouterPort] = {}
        self._wanted_routers: dict[int, OpenRouterPort] = {}
        self._router_retry: asyncio.Handle = self._loop.call_soon(lambda: None)
        self._router_failed = ""
        self._router_dropped_count = 0
        self._listeners = Listeners(
            settings.bgp_listen_port, self.core.speaker.match, self._on_accepted
        )

    def on_brain_message(self, message: BrainMessage) -> None:
        """Take over what the brain wants."""
        self._driver.take(self.core.on_brain_message(message, time.monotonic()))

    def on_links(self, links: Sequence[Link]) -> None:
        """Take over the node's links."""
        self._bfd.on_links(links)
        self._listeners.on_links(links)
        self._retry_router_ports()
        self._driver.take(self.core.on_links(links, time.monotonic()))

    def stop(self) -> None:
        """Begin the planned stop."""
        self._driver.take(self.core.on_stop(time.monotonic()))

    def drops(self) -> dict[str, int]:
        """Return what was not believed or accepted, by reason."""
        found = self.core.drops()
        strangers = self._router_dropped_count
        strangers += sum(port.dropped_count for port in self._routers.values())
        found["router discovery not from this link"] = strangers
        found["bgp connections of strangers"] = self._listeners.strangers_count
        return found

    def answer(self, question: Question) -> object:
        """Answer an operator's question."""
        return answer(self.core, question, time.monotonic())

    def observed(self, observation: Observation, now: float) -> Observation:
        """Add what the brain should know of routers."""
        return msgspec.structs.replace(
            observation, sessions=self.core.sessions(now), bfd=self.core.bfd_reports(now)
        )

    def take_lag(self) -> float:
        """Return the longest the timer was late since this was asked last."""
        return self._driver.take_lag()

    def close(self) -> None:
        """Close every socket, at once."""
        self._driver.close()
        for dial in self._dials.values():
            dial.give_up()
        for connection in self._connections.values():
            connection.close(is_silent=True)
        self._listeners.close()
        self._router_retry.cancel()
        self._bfd.close()
        for port in self._routers.values():
            port.close()

    # --- effects -----------------------------------------------------------------------------

    def _perform(self, effect: RoutingEffect) -> None:  # noqa: C901, PLR0912 (a flat table)
        match effect:
            case SendPacket():
                self._bfd.send(effect.key, effect.octets)
            case Send():
                connection = self._connections.get(effect.connection)
                if connection is not None:
                    connection.send(effect.octets)
            case Connect():
                self._dial(effect)
            case Close():
                self._close_one(effect)
            case OpenPort():
                self._bfd.open(effect.key)
            case ClosePort():
                self._bfd.close_one(effect.key)
            case OpenRouterPort():
                self._open_router_port(effect)
            case CloseRouterPort():
                self._close_router_port(effect.index)
            case SendRouterMessage():
                port = self._routers.get(effect.index)
                if port is not None:
                    port.send(effect.group, effect.octets)
            case Listen():
                self._listeners.take(effect.peers)
            case Observe():
                self._on_observe()
            case Tell():
                self._on_tell(effect)
            case Finished():
                self._has_finished = True
                self._loop.call_later(LAST_WORDS_S, self._finish)
                self._consider_finished()

    def _dial(self, effect: Connect) -> None:
        number = effect.connection
        address, _, zone = effect.remote.partition("%")
        self._dials[number] = Dial(
            tcp_settings(effect.settings, address, zone),
            on_connected=lambda sock: self._on_connected(number, sock),
            on_failed=lambda reason: self._on_dial_failed(number, reason),
        )

    def _close_one(self, effect: Close) -> None:
        dial = self._dials.pop(effect.connection, None)
        if dial is not None:
            dial.give_up()
        connection = self._connections.pop(effect.connection, None)
        if connection is not None:
            self._leaving_count += 1
            connection.close(is_silent=effect.is_silent, on_gone=self._on_gone)

    def _on_gone(self) -> None:
        self._leaving_count -= 1
        self._consider_finished()

    def _consider_finished(self) -> None:
        """Be finished once the peers have taken the last NOTIFICATION, or soon anyway."""
        if self._has_finished and not self._leaving_count:
            self._finish()

    def _finish(self) -> None:
        if self._has_finished:
            self._has_finished = False
            self._on_finished()

    def _open_router_port(self, effect: OpenRouterPort) -> None:
        self._wanted_routers[effect.index] = effect
        self._retry_router_ports()

    def _retry_router_ports(self) -> None:
        """Open what is not open yet, and again a little later what cannot be."""
        for index, effect in self._wanted_routers.items():
            if index in self._routers:
                continue
            try:
                port = RouterPort(effect.interface, index, self._on_router_message)
            except LinkError as error:
                if self._router_failed != str(error):
                    self._router_failed = str(error)
                    log.error("bgp.discovery_failed", interface=effect.interface, error=str(error))
                self._router_retry.cancel()
                self._router_retry = self._loop.call_later(RETRY_S, self._retry_router_ports)
            else:
                self._routers[index] = port

    def _close_router_port(self, index: int) -> None:
        self._wanted_routers.pop(index, None)
        port = self._routers.pop(index, None)
        if port is not None:
            self._router_dropped_count += port.dropped_count
            port.close()

    # --- facts -------------------------------------------------------------------------------

    def _on_connected(self, number: int, sock: socket.socket) -> None:
        del self._dials[number]
        ends = self._open(number, sock)
        if ends is None:
            reason = "closed by the peer"
            self._driver.take(self.core.on_connect_failed(number, reason, time.monotonic()))
            return
        local, remote, scope = ends
        told = self.core.ends(local, remote, scope)
        self._driver.take(self.core.on_connected(number, told, time.monotonic()))

    def _on_dial_failed(self, number: int, reason: str) -> None:
        del self._dials[number]
        self._driver.take(self.core.on_connect_failed(number, reason, time.monotonic()))

    def _on_accepted(self, sock: socket.socket, peer: PeerSettings) -> None:
        set_minimum_ttl(sock, peer.gtsm_hops)
        set_user_timeout(sock, tcp_settings(peer, peer.address, "").user_timeout_ms)
        number = self.core.speaker.allocate()
        ends = self._open(number, sock)
        if ends is None:
            return
        told = self.core.ends(*ends)
        self._driver.take(self.core.on_accepted(peer.name, number, told, time.monotonic()))

    def _open(self, number: int, sock: socket.socket) -> tuple[str, str, int] | None:
        """Read and write a connection from now on; None when it is gone already."""
        try:
            local, remote = sock.getsockname(), sock.getpeername()
        except OSError:
            sock.close()
            return None
        self._connections[number] = Connection(
            sock,
            self._turns,
            on_received=lambda octets: self._on_received(number, octets),
            on_closed=lambda reason: self._on_closed(number, reason),
            on_drained=lambda: self._on_drained(number),
        )
        scope = local[3] if len(local) > 2 else 0  # noqa: PLR2004
        return local[0].partition("%")[0], remote[0].partition("%")[0], scope

    def _on_received(self, number: int, octets: bytes) -> None:
        self._driver.take(self.core.on_received(number, octets, time.monotonic()))

    def _on_closed(self, number: int, reason: str) -> None:
        del self._connections[number]
        self._driver.take(self.core.on_closed(number, reason, time.monotonic()))

    def _on_drained(self, number: int) -> None:
        self._driver.take(self.core.on_drained(number, time.monotonic()))

    def _on_arrival(self, arrival: Arrival) -> None:
        self._driver.take(self.core.on_packet(arrival, time.monotonic()))

    def _on_send_failed(self, key: BfdKey, reason: str) -> None:
        self._driver.take(self.core.on_send_failed(key, reason, time.monotonic()))

    def _on_router_message(self, index: int, source: str, octets: bytes) -> None:
        now = time.monotonic()
        self._driver.take(self.core.on_router_message(index, source, octets, now))
