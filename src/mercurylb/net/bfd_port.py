"""The UDP sockets of BFD (RFC 5881, RFC 5883).

Control packets are received on one socket per family, kind (single hop or several) and VRF, with
the TTL they came with and the interface they came in by; each session sends from a socket of its
own, whose port nobody else has, with a TTL of 255. What the kernel cannot open now, because another
BFD daemon has the port or because a device is not there yet, is tried again every `RETRY_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import socket
import struct
from typing import TYPE_CHECKING

import msgspec

from mercurylb.bfd.effect import Arrival, BfdKey
from mercurylb.errors import LinkError
from mercurylb.net.tcp_option import (
    NETWORK_CONTROL,
    TTL_MAX,
    bind_to_device,
    family_of,
    is_link_local,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mercurylb.layer2.interface import Link

PORTS = 3784, 4784
"""Over one hop, and over several."""
SOURCE_PORTS = 49152, 65535
"""RFC 5881 section 4."""
SOURCE_TRIES_MAX = 64
RETRY_S = 2.0
BATCH_MAX = 32
"""Packets taken in before the loop looks after others: about 1 ms."""
PACKET_SIZE_MAX = 256

_IP_PKTINFO = 8
_IP_RECVTTL = 12
_CONTROL_SIZE = 256
_INT = struct.Struct("=i")
_PKTINFO = struct.Struct("=i4x4s")
_PKTINFO6 = struct.Struct("=16si")
_GONE = {errno.ENODEV, errno.ENXIO, errno.EINVAL}
"""What a socket says whose device went."""

Which = tuple[int, bool, str]
"""Of a receiving socket: its family, whether it is for several hops, its VRF."""


class BfdPorts:
    """Own the sockets of all sessions."""

    def __init__(
        self,
        on_arrival: Callable[[Arrival], None],
        on_send_failed: Callable[[BfdKey, str], None],
        *,
        ports: tuple[int, int] = PORTS,
    ) -> None:
        """`on_send_failed` is told in words why a session cannot send (now)."""
        self._on_arrival = on_arrival
        self._on_send_failed = on_send_failed
        self._ports = ports
        self._loop = asyncio.get_running_loop()
        self._names: dict[int, str] = {}
        self._wanted: dict[BfdKey, None] = {}
        self._senders: dict[BfdKey, socket.socket] = {}
        self._receivers: dict[Which, _Receiver] = {}
        self._retry: asyncio.TimerHandle | None = None

    def open(self, key: BfdKey) -> None:
        """Send and receive for a session from now on."""
        self._wanted[key] = None
        self._try_all([key])

    def close_one(self, key: BfdKey) -> None:
        """Do so no more."""
        self._wanted.pop(key, None)
        sender = self._senders.pop(key, None)
        if sender is not None:
            sender.close()
        used = {_receiver_of(one) for one in self._wanted}
        for which in [which for which in self._receivers if which not in used]:
            self._receivers.pop(which).close()

    def send(self, key: BfdKey, octets: bytes) -> None:
        """Send a packet of a session; what is not taken is lost."""
        sender = self._senders.get(key)
        if sender is None:  # Its failure has been told.
            return
        try:
            sender.send(octets)
        except OSError as error:
            if error.errno == errno.ECONNREFUSED:  # Of an earlier one: nobody listens there (yet).
                with contextlib.suppress(OSError):
                    sender.send(octets)
                return
            self._loop.call_soon(self._on_send_failed, key, str(error))
            if error.errno in _GONE:
                del self._senders[key]
                sender.close()
                self._try_later()

    def on_links(self, links: Iterable[Link]) -> None:
        """Try again at once what could not be opened: a device or an address may be new."""
        self._names = {link.index: link.name for link in links}
        indexes = {name: index for index, name in self._names.items()}
        for which, receiver in list(self._receivers.items()):
            if receiver.device_index not in {0, indexes.get(which[2])}:  # Its device was made anew.
                self._receivers.pop(which).close()
                self._try_later()
        if self._retry is not None:
            self._try_all(list(self._wanted))

    def close(self) -> None:
        """Close every socket."""
        if self._retry is not None:
            self._retry.cancel()
        for key in list(self._wanted):
            self.close_one(key)

    def _try_all(self, keys: Iterable[BfdKey]) -> None:
        for key in keys:
            try:
                self._open_one(key)
            except (OSError, LinkError) as error:
                self._loop.call_soon(self._on_send_failed, key, str(error))
                self._try_later()

    def _try_later(self) -> None:
        if self._retry is None:
            self._retry = self._loop.call_later(RETRY_S, self._retried)

    def _retried(self) -> None:
        self._retry = None
        self._try_all(list(self._wanted))

    def _open_one(self, key: BfdKey) -> None:
        which = _receiver_of(key)
        if which not in self._receivers:
            self._receivers[which] = _Receiver(which, self._ports, self._received)
        if key not in self._senders:
            self._senders[key] = _sender(key, self._ports[key.is_multi_hop])

    def _received(self, which: Which, origin: Origin, source: str, octets: bytes) -> None:
        self._on_arrival(
            Arrival(
                source=source,
                octets=octets,
                ttl=origin.ttl,
                destination=origin.destination,
                interface=self._names.get(origin.index, ""),
                vrf=which[2],
                is_multi_hop=which[1],
            )
        )


class _Receiver:
    """One socket that control packets arrive on."""

    def __init__(
        self,
        which: Which,
        ports: tuple[int, int],
        on_packet: Callable[[Which, Origin, str, bytes], None],
    ) -> None:
        family, is_multi_hop, vrf = self._which = which
        self._on_packet = on_packet
        self._loop = asyncio.get_running_loop()
        self._socket = sock = socket.socket(family, socket.SOCK_DGRAM)
        port = ports[is_multi_hop]
        try:
            sock.setblocking(False)
            bind_to_device(sock, vrf)
            self.device_index = socket.if_nametoindex(vrf) if vrf else 0
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
                sock.bind(("::", port))
            else:
                sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
                sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
                sock.bind(("0.0.0.0", port))  # noqa: S104 (peers on any interface)
        except OSError as error:
            sock.close()
            taken = error.errno == errno.EADDRINUSE
            message = "another BFD daemon has it" if taken else str(error)
            raise LinkError(f"UDP port {port}", message, errno=error.errno) from error
        except LinkError:
            sock.close()
            raise
        self._loop.add_reader(sock, self._read)

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        for _ in range(BATCH_MAX):
            try:
                octets, controls, _, source = self._socket.recvmsg(PACKET_SIZE_MAX, _CONTROL_SIZE)
            except OSError:
                return
            remote = source[0].partition("%")[0]
            self._on_packet(self._which, origin_of(controls), remote, octets)
            if self._socket.fileno() < 0:
                return


class Origin(msgspec.Struct, frozen=True, gc=False):
    """What the kernel told beside a packet; nothing where it did not."""

    ttl: int = 0
    index: int = 0
    """Of the interface that it came in by."""
    destination: str = ""


def origin_of(controls: list[tuple[int, int, bytes]]) -> Origin:
    """Return what the kernel told beside a packet."""
    ttl = index = 0
    destination = ""
    for level, kind, content in controls:
        match level, kind:
            case (socket.IPPROTO_IP, socket.IP_TTL) | (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT):
                (ttl,) = _INT.unpack_from(content)
            case (socket.IPPROTO_IP, 8):  # IP_PKTINFO
                index, packed = _PKTINFO.unpack_from(content)
                destination = socket.inet_ntop(socket.AF_INET, packed)
            case (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                packed, index = _PKTINFO6.unpack_from(content)
                destination = socket.inet_ntop(socket.AF_INET6, packed)
    return Origin(ttl, index, destination)


def _receiver_of(key: BfdKey) -> Which:
    return family_of(key.peer), key.is_multi_hop, key.vrf


def _sender(key: BfdKey, port: int) -> socket.socket:
    """Return a connected socket with a port of RFC 5881's range."""
    family = family_of(key.peer)
    device = key.vrf if key.is_multi_hop else key.interface or key.vrf
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        bind_to_device(sock, device)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, TTL_MAX)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, NETWORK_CONTROL)
            _bind_source_port(sock, key.local_address or "::")
            scope = socket.if_nametoindex(device) if is_link_local(key.peer) else 0
            sock.connect((key.peer, port, 0, scope))
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, TTL_MAX)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, NETWORK_CONTROL)
            _bind_source_port(sock, key.local_address)
            sock.connect((key.peer, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_source_port(sock: socket.socket, local: str) -> None:
    """Bind to a port of the range that is free."""
    chance = random.Random()  # noqa: S311 (any free port will do)
    for tries_left in range(SOURCE_TRIES_MAX, 0, -1):
        try:
            sock.bind((local, chance.randint(*SOURCE_PORTS)))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or tries_left == 1:
                raise
        else:
            return
