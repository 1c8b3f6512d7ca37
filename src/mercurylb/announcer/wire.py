"""The announcer on real sockets: carries out what the core decides and feeds it what happens."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from mercurylb.announcer.core import AnnouncerCore, CoreEffect, Finish, Observe, PortEffect, Tell
from mercurylb.errors import LinkError
from mercurylb.layer2.effect import (
    ChangeFilter,
    CloseInterface,
    JoinGroup,
    LeaveGroup,
    OpenInterface,
    SendFrame,
)
from mercurylb.layer2.interface import Interface, Link, NodeInterfaces, select_interfaces
from mercurylb.layer2.responder import Responder
from mercurylb.membership.disabled import DisabledMembership
from mercurylb.membership.heartbeat import HeartbeatMembership
from mercurylb.membership.member import Exchange, Membership, ProbeKernel, SendDatagram
from mercurylb.net.channel import Channel
from mercurylb.net.datagram import DatagramPort
from mercurylb.net.driver import Driver
from mercurylb.net.links import LinkWatch
from mercurylb.net.packet import PacketPort
from mercurylb.plan.desired import BrainMessage, DesiredState
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mercurylb.announcer.settings import AnnouncerSettings

RETRY_S = 0.5
OBSERVE_DELAY_S = 0.005
"""Observations within this time are one."""
OBSERVE_INTERVAL_S = 2.0
"""Counters change without any event; this is how fresh the brain's are."""

_WRITERS = {"debug": log.debug, "info": log.info, "warn": log.warning, "error": log.error}


class Wire:
    """Own every socket towards the network; must be made on a running loop."""

    def __init__(
        self,
        settings: AnnouncerSettings,
        *,
        on_desired: Callable[[], None],
        on_finished: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._on_desired = on_desired
        self._on_finished = on_finished
        self._loop = asyncio.get_running_loop()
        now = time.monotonic()
        self.core = AnnouncerCore(
            settings.node,
            _membership(settings),
            Responder(settings.node, periodic_interval_s=settings.gratuitous_interval_s, now=now),
            lease_s=settings.lease_s,
        )
        self._driver: Driver[CoreEffect] = Driver(self.core, self._perform)
        self._ports: dict[int, PacketPort] = {}
        self._found = NodeInterfaces()
        self._broken: set[int] = set()
        self._datagrams: DatagramPort | None = None
        self._channel: Channel[BrainMessage] | None = None
        self._is_observation_due = False
        self._links = LinkWatch(self._links_changed)
        self._open_datagrams()
        self._observe_regularly()

    def attach_brain(self, sock: socket.socket) -> None:
        """Listen to a brain instead of the one before."""
        if self._channel is not None:
            self._channel.close()
        self._channel = Channel(sock, BrainMessage, on_message=self._on_brain_message)
        self._schedule_observation()

    def stop(self) -> None:
        """Begin the planned stop."""
        self._driver.take(self.core.on_stop(time.monotonic()))

    def close(self) -> None:
        """Close every socket."""
        self._driver.close()
        self._links.close()
        if self._datagrams is not None:
            self._datagrams.close()
        for port in self._ports.values():
            port.close()
        self._ports.clear()
        if self._channel is not None:
            self._channel.close()

    # --- facts -------------------------------------------------------------------------------

    def _on_brain_message(self, message: BrainMessage) -> None:
        self._driver.take(self.core.on_brain_message(message, time.monotonic()))
        if isinstance(message, DesiredState):
            self._on_desired()

    def _on_datagram(self, source: str, port: int, payload: bytes) -> None:
        self._driver.take(self.core.on_datagram(source, port, payload, time.monotonic()))

    def _links_changed(self, links: list[Link]) -> None:
        self._found = select_interfaces(links, self._settings.excluded_interfaces)
        self._driver.take(self.core.on_links(self._found, time.monotonic()))

    def _open_datagrams(self) -> None:
        membership = self._settings.membership
        if membership is not None:
            try:
                self._datagrams = DatagramPort(
                    membership.bind_address, membership.bind_port, self._on_datagram
                )
            except LinkError as error:
                log.error("membership.socket_failed", error=str(error))
                self._loop.call_later(RETRY_S, self._open_datagrams)
                return
        self._driver.take(self.core.on_transport(time.monotonic()))

    # --- effects -----------------------------------------------------------------------------

    def _perform(self, effect: CoreEffect) -> None:
        match effect:
            case SendFrame():
                port = self._ports.get(effect.interface)
                if port is not None:
                    port.send(effect.frame)
            case SendDatagram():
                if self._datagrams is not None:
                    self._datagrams.send(effect.address, effect.payload, effect.port)
            case Observe():
                self._schedule_observation()
            case Tell():
                _WRITERS[effect.level](effect.event, **effect.fields)
            case Finish():
                self._on_finished()
            case Exchange() | ProbeKernel():
                return
            case _:
                self._perform_on_port(effect)

    def _perform_on_port(self, effect: PortEffect) -> None:
        match effect:
            case OpenInterface():
                self._open_port(effect.interface)
            case CloseInterface():
                closed = self._ports.pop(effect.interface, None)
                if closed is not None:
                    closed.close()
            case ChangeFilter() | JoinGroup() | LeaveGroup():
                self._change_port(effect)

    def _open_port(self, interface: Interface) -> None:
        responder = self.core.responder
        try:
            self._ports[interface.index] = PacketPort(
                interface, answer_arp=responder.answer_arp, answer_ndp=responder.answer_ndp
            )
        except LinkError as error:
            self._port_failed(interface.index, error)

    def _change_port(self, effect: ChangeFilter | JoinGroup | LeaveGroup) -> None:
        port = self._ports.get(effect.interface)
        if port is None:
            return
        try:
            match effect:
                case ChangeFilter():
                    port.filter(arp=effect.arp, ndp=effect.ndp)
                case JoinGroup():
                    port.join(effect.group)
                case LeaveGroup():
                    port.leave(effect.group)
        except OSError as error:
            self._port_failed(
                effect.interface, LinkError(port.interface.name, str(error), errno=error.errno)
            )
        except LinkError as error:
            self._port_failed(effect.interface, error)

    def _port_failed(self, index: int, error: LinkError) -> None:
        """Try an interface again from the start a little later."""
        if index in self._broken:
            return
        log.error("layer2.interface_failed", interface=error.interface, error=str(error))
        self._broken.add(index)
        self._loop.call_later(RETRY_S, self._retry_ports)

    def _retry_ports(self) -> None:
        broken, self._broken = self._broken, set()
        without = NodeInterfaces(
            names=self._found.names,
            interfaces=tuple(i for i in self._found.interfaces if i.index not in broken),
        )
        now = time.monotonic()
        self._driver.take(self.core.on_links(without, now))
        self._driver.take(self.core.on_links(self._found, now))

    # --- observations ------------------------------------------------------------------------

    def _schedule_observation(self) -> None:
        if not self._is_observation_due:
            self._is_observation_due = True
            self._loop.call_later(OBSERVE_DELAY_S, self._observe)

    def _observe_regularly(self) -> None:
        self._schedule_observation()
        self._loop.call_later(OBSERVE_INTERVAL_S, self._observe_regularly)

    def _observe(self) -> None:
        self._is_observation_due = False
        if self._channel is not None and not self._channel.is_closed:
            self._channel.send(
                self.core.observation(time.monotonic(), loop_lag_s=self._driver.take_lag())
            )


def _membership(settings: AnnouncerSettings) -> Membership:
    if settings.membership is None:
        return DisabledMembership(settings.node)
    return HeartbeatMembership(
        settings.node,
        incarnation=time.time_ns() // 1_000_000,
        secret=settings.membership.secret,
    )
