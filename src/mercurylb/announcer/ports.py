"""The interfaces on the wire: opened, filtered, joined as the core says, and again when they fail.

An interface that the kernel refuses something is given up and tried again from the start: the core
is told that it is gone, and that it is there again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mercurylb.errors import LinkError
from mercurylb.layer2.effect import (
    ChangeFilter,
    CloseInterface,
    JoinGroup,
    LeaveGroup,
    OpenInterface,
    SendFrame,
)
from mercurylb.layer2.interface import NodeInterfaces
from mercurylb.net.packet import PacketPort
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Callable

    from mercurylb.announcer.core import AnnouncerCore, CoreEffect, PortEffect
    from mercurylb.layer2.interface import Interface
    from mercurylb.net.driver import Driver
    from mercurylb.net.fence import Fence

RETRY_S = 0.5


class Ports:
    """Own the packet sockets of every interface."""

    def __init__(
        self,
        core: AnnouncerCore,
        driver: Driver[CoreEffect],
        fence: Fence,
        *,
        on_retry: Callable[[frozenset[int]], None],
    ) -> None:
        self._core = core
        self._driver = driver
        self._fence = fence
        self._on_retry = on_retry
        self._loop = asyncio.get_running_loop()
        self._ports: dict[int, PacketPort] = {}
        self._broken: set[int] = set()
        self._send_errors = 0

    def perform(self, effect: PortEffect) -> None:
        """Carry out one effect."""
        match effect:
            case SendFrame():
                port = self._ports.get(effect.interface)
                if port is not None:
                    port.send(effect.frame)
            case OpenInterface():
                self._open(effect.interface)
            case CloseInterface():
                self._close_port(effect.interface)
            case ChangeFilter() | JoinGroup() | LeaveGroup():
                self._change(effect)

    def drops(self) -> dict[str, int]:
        """Return what was not sent or thrown away, by reason."""
        send_errors = self._send_errors + sum(port.send_errors for port in self._ports.values())
        return {"wire frames not sent": send_errors, "wire stale": self._fence.dropped_count}

    def close(self) -> None:
        """Close every socket."""
        for index in list(self._ports):
            self._close_port(index)

    def _open(self, interface: Interface) -> None:
        responder = self._core.responder
        try:
            self._ports[interface.index] = PacketPort(
                interface,
                answer_arp=responder.answer_arp,
                answer_ndp=responder.answer_ndp,
                on_claim=self._on_claim,
                fence=self._fence,
            )
        except LinkError as error:
            self._failed(interface.index, error)

    def _close_port(self, index: int) -> None:
        port = self._ports.pop(index, None)
        if port is not None:
            self._send_errors += port.send_errors
            port.close()

    def _change(self, effect: ChangeFilter | JoinGroup | LeaveGroup) -> None:
        port = self._ports.get(effect.interface)
        if port is None:
            return
        try:
            match effect:
                case ChangeFilter():
                    port.filter(arp=effect.arp, ndp=effect.ndp, has_claims=effect.has_claims)
                case JoinGroup():
                    port.join(effect.group)
                case LeaveGroup():
                    port.leave(effect.group)
        except OSError as error:
            self._failed(
                effect.interface, LinkError(port.interface.name, str(error), errno=error.errno)
            )
        except LinkError as error:
            self._failed(effect.interface, error)

    def _failed(self, index: int, error: LinkError) -> None:
        """Try an interface again from the start a little later."""
        if index in self._broken:
            return
        log.error("layer2.interface_failed", interface=error.interface, error=str(error))
        self._broken.add(index)
        if len(self._broken) == 1:
            self._loop.call_later(RETRY_S, self._retry)

    def _retry(self) -> None:
        broken, self._broken = frozenset(self._broken), set()
        self._on_retry(broken)

    def _on_claim(self, interface: int, frame: bytes) -> None:
        now = self._driver.catch_up()
        self._driver.take(self._core.on_claim(interface, frame, now))


def without(found: NodeInterfaces, indexes: frozenset[int]) -> NodeInterfaces:
    """Return the same node without some of its interfaces."""
    return NodeInterfaces(
        names=found.names,
        interfaces=tuple(one for one in found.interfaces if one.index not in indexes),
        macs=found.macs,
    )
