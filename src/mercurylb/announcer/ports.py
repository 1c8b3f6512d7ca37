"""The interfaces on the wire: opened, filtered, joined as the core says, and again when they fail.

An interface that the kernel refuses something is *broken*: the core is told that it is gone, so
that other nodes take what it would have carried, and that it is there again when it is tried anew.
What is broken for the same reason as before is said once. Where the host refuses packet sockets at
all, it is said in one line for all interfaces, and the rest of the announcer goes on.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Final

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
RETRY_MAX_S = 10.0

_HOST_WIDE: Final = {
    errno.EPERM: "give the speaker the capability NET_RAW",
    errno.EACCES: "give the speaker the capability NET_RAW",
    errno.EAFNOSUPPORT: "use a kernel with packet sockets (CONFIG_PACKET)",
    errno.EPROTONOSUPPORT: "use a kernel with packet sockets (CONFIG_PACKET)",
    errno.ENOPROTOOPT: "use a kernel with socket filters (BPF)",
}
"""What no other interface of this host would get either, and what to do about it."""


class Ports:
    """Own the packet sockets of every interface."""

    def __init__(
        self,
        core: AnnouncerCore,
        driver: Driver[CoreEffect],
        fence: Fence,
        *,
        on_broken: Callable[[], None],
    ) -> None:
        self._core = core
        self._driver = driver
        self._fence = fence
        self._on_broken = on_broken
        self._loop = asyncio.get_running_loop()
        self._ports: dict[int, PacketPort] = {}
        self._broken: set[int] = set()
        self._retry_s = RETRY_S
        self._told: dict[int, str] = {}
        self._has_told_all = False
        self._failed_count = 0
        self._send_errors = 0

    @property
    def broken(self) -> frozenset[int]:
        """Interfaces that cannot be used at present, by index."""
        return frozenset(self._broken)

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
        return {
            "wire frames not sent": send_errors,
            "wire interfaces failed": self._failed_count,
            "wire stale": self._fence.dropped_count,
        }

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
        else:
            self._has_told_all = False
            if self._told.pop(interface.index, ""):
                log.info("layer2.interface_recovered", interface=interface.name)

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
        """Do without an interface, and try it again from the start a little later."""
        if index in self._broken:
            return
        self._failed_count += 1
        self._say(index, error)
        if not self._broken:
            self._loop.call_later(self._retry_s, self._retry)
            self._retry_s = min(self._retry_s * 2, RETRY_MAX_S)
        self._broken.add(index)
        self._loop.call_soon(
            self._on_broken
        )  # Not at once: the core is in the middle of something.

    def _say(self, index: int, error: LinkError) -> None:
        """Say what is news."""
        advice = _HOST_WIDE.get(error.errno or 0)
        if advice is not None:
            if not self._has_told_all:
                self._has_told_all = True
                log.error(
                    "layer2.impossible",
                    msg="no address is announced by layer 2 from this node",
                    error=str(error),
                    todo=advice,
                )
        elif self._told.get(index) != str(error):
            self._told[index] = str(error)
            log.error("layer2.interface_failed", interface=error.interface, error=str(error))

    def _retry(self) -> None:
        self._broken.clear()
        self._on_broken()
        if not self._broken:
            self._retry_s = RETRY_S

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
