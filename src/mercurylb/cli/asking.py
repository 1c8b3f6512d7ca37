"""Asks the wire who has an address, on packet sockets of its own.

Everything is bounded: rounds of questions, the time to listen, frames per second by a kernel
filter, and machines that are remembered.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mercurylb.cli.question import IPV4_SIZE, choose_links, question, read_claim
from mercurylb.errors import LinkError, MercuryError, WireError
from mercurylb.net.netlink import (
    GET_ADDRESS,
    GET_LINK,
    DumpDone,
    KernelError,
    LinkTable,
    decode,
    dump_request,
)
from mercurylb.net.packet import attach_filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mercurylb.layer2.interface import Link

FRAME_SIZE_MAX: Final = 2048
FRAMES_AT_ONCE: Final = 64
READ_SIZE_BYTES: Final = 65_536
MACHINES_MAX: Final = 64
"""Remembered per address; more claim it in no network that works."""
RECEIVE_BUFFER_BYTES: Final = 1 << 20

ARP: Final = 0x0806
IPV6: Final = 0x86DD

_ANSWERS_ONLY: Final = {
    # Everything that is no ICMPv6 neighbour advertisement is dropped by the kernel.
    IPV6: (
        (0x30, 0, 0, 20),
        (0x15, 0, 3, 58),
        (0x30, 0, 0, 54),
        (0x15, 0, 1, 136),
        (0x06, 0, 0, 0xFFFF),
        (0x06, 0, 0, 0),
    ),
}


class NotPermittedError(MercuryError):
    """Raw sockets are for root and for programs with the capability NET_RAW."""

    def __init__(self) -> None:
        super().__init__(
            "asking the wire needs raw sockets: run this as root (sudo mercurylb who …), or give"
            " the program the capability NET_RAW, on a machine of the nodes' network"
        )


@dataclass(slots=True)
class Machine:
    """Somebody who answers."""

    mac: bytes
    interface: str
    first_at: float
    """Monotonic seconds."""
    last_at: float
    asked_at: float
    """When the question was sent that its first answer followed."""
    count: int = 1


@dataclass(slots=True)
class Answers:
    """Who answered for which address, in the order of the first answers."""

    at: float = 0.0
    """When listening ended."""
    machines: dict[bytes, dict[tuple[str, bytes], Machine]] = field(default_factory=dict)

    def of(self, target: bytes) -> list[Machine]:
        """Give the machines that answered for an address."""
        return list(self.machines.get(target, {}).values())


def find_links() -> list[Link]:
    """Give the links of this machine, as the kernel tells them; raise LinkError if it does not."""
    table = LinkTable()
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
            sock.settimeout(2.0)
            sock.bind((0, 0))
            for sequence, kind in enumerate((GET_LINK, GET_ADDRESS), start=1):
                sock.send(dump_request(kind, sequence))
                _take_dump(sock, table)
    except (OSError, WireError) as error:
        raise LinkError("netlink", str(error)) from error
    return table.links()


def _take_dump(sock: socket.socket, table: LinkTable) -> None:
    while True:
        for event in decode(sock.recv(READ_SIZE_BYTES)):
            if isinstance(event, KernelError):
                raise LinkError("netlink", f"error {event.errno}")
            if isinstance(event, DumpDone):
                return
            table.apply(event)


def ask(  # noqa: PLR0913 (whom, where and for how long)
    links: Iterable[Link],
    target: bytes,
    others: Sequence[bytes] = (),
    *,
    names: Sequence[str] = (),
    count: int = 3,
    timeout_s: float = 1.0,
) -> Answers:
    """Ask for an address, and for others in the same go; listen until the time is over.

    `count` rounds of questions are spread over the first half of the time, others only as often as
    nobody has answered for them. Raises LinkError, or NotPermittedError.
    """
    chosen = [link for link in choose_links(links, target, names) if question(link, target)]
    if not chosen:
        wanted = ", ".join(names) or "this machine"
        raise LinkError(wanted, "no interface is up that could ask for such an address")
    kinds = {ARP if len(each) == IPV4_SIZE else IPV6 for each in (target, *others)}
    with contextlib.ExitStack() as stack:
        ports = [
            (link, {kind: stack.enter_context(_open(link, kind)) for kind in kinds})
            for link in chosen
        ]
        return _Asking(ports, target, others).run(count, timeout_s)


_Port = tuple["Link", dict[int, socket.socket]]


class _Asking:
    """One go: questions out, answers in."""

    def __init__(self, ports: list[_Port], target: bytes, others: Sequence[bytes]) -> None:
        self._ports = ports
        self._target = target
        self._others = others
        self._wanted = frozenset((target, *others))
        self._own = frozenset(link.mac for link, _ in ports)
        self._answers = Answers()
        self._asked_at = 0.0

    def run(self, count: int, timeout_s: float) -> Answers:
        start = time.monotonic()
        rounds = [start + timeout_s / 2 * number / count for number in range(count)]
        end = start + timeout_s
        while (now := time.monotonic()) < end:
            if rounds and now >= rounds[0]:
                rounds.pop(0)
                self._send()
            self._listen(min([*rounds[:1], end]) - time.monotonic())
        self._answers.at = time.monotonic()
        return self._answers

    def _send(self) -> None:
        silent = [each for each in self._others if each not in self._answers.machines]
        self._asked_at = time.monotonic()
        for link, sockets in self._ports:
            for target in (self._target, *silent):
                frame = question(link, target)
                if frame is not None:
                    with contextlib.suppress(OSError):  # A full queue, or the link went down.
                        sockets[int.from_bytes(frame[12:14], "big")].send(frame)

    def _listen(self, seconds: float) -> None:
        by_socket = {sock: link for link, sockets in self._ports for sock in sockets.values()}
        readable, _, _ = select.select(list(by_socket), [], [], max(0.0, seconds))
        for sock in readable:
            for frame in _frames(sock):
                self._take(by_socket[sock], frame)

    def _take(self, link: Link, frame: bytes) -> None:
        claim = read_claim(frame)
        if claim is None or claim.target not in self._wanted or claim.mac in self._own:
            return
        now = time.monotonic()
        machines = self._answers.machines.setdefault(claim.target, {})
        key = link.name, claim.mac
        known = machines.get(key)
        if known is not None:
            known.count += 1
            known.last_at = now
        elif len(machines) < MACHINES_MAX:
            machines[key] = Machine(claim.mac, link.name, now, now, self._asked_at)


def _frames(sock: socket.socket) -> Iterator[bytes]:
    for _ in range(FRAMES_AT_ONCE):
        try:
            yield sock.recv(FRAME_SIZE_MAX)
        except OSError:
            return


def _open(link: Link, kind: int) -> socket.socket:
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError as error:
        raise NotPermittedError from error
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if kind in _ANSWERS_ONLY:
            attach_filter(sock, _ANSWERS_ONLY[kind])
        sock.bind((link.name, kind))
    except OSError as error:
        sock.close()
        if error.errno == errno.EPERM:
            raise NotPermittedError from error
        raise LinkError(link.name, str(error), errno=error.errno) from error
    return sock
