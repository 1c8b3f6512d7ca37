"""Carry frames between two interfaces and hold each back for a while.

Run inside the LAN's namespace as ``python -m lab.relay IFACE IFACE DELAY_S JITTER_S``.  Frames keep
their order (a frame never leaves before an earlier one of its direction), so jitter does not
reorder.  Checksum and segmentation hints travel along in the packet socket's own header.
"""

from __future__ import annotations

import random
import selectors
import socket
import sys
import time
from collections import deque
from typing import Final

_SOL_PACKET: Final = 263
_PACKET_IGNORE_OUTGOING: Final = 23
_PACKET_VNET_HDR: Final = 15
_ETH_P_ALL: Final = 3
_FRAME_MAX: Final = 70_000
_QUEUE_MAX: Final = 20_000

Queue = deque[tuple[float, bytes]]


def open_port(interface: str) -> socket.socket:
    """Open a packet socket that sees what arrives on the interface, not what is sent there."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    port.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    port.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    port.bind((interface, _ETH_P_ALL))
    port.setblocking(False)
    return port


class Direction:
    """Frames on their way from one port to the other."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self._target = target
        self._queue: Queue = deque()
        self._last = 0.0

    def take(self, delay_s: float, jitter_s: float) -> None:
        """Read every waiting frame and set the moment it may leave; a full queue loses frames."""
        while True:
            try:
                frame = self.source.recv(_FRAME_MAX)
            except (BlockingIOError, OSError):
                return
            if len(self._queue) < _QUEUE_MAX:
                leave = time.monotonic() + delay_s + random.uniform(0.0, jitter_s)
                self._last = max(self._last, leave)
                self._queue.append((self._last, frame))

    def send_due(self, now: float) -> None:
        """Send every frame whose time has come."""
        while self._queue and self._queue[0][0] <= now:
            try:
                self._target.send(self._queue.popleft()[1])
            except OSError:
                continue

    def next_deadline(self) -> float | None:
        """Return when the next frame may leave."""
        return self._queue[0][0] if self._queue else None


def main() -> None:
    """Relay until killed."""
    one, other = open_port(sys.argv[1]), open_port(sys.argv[2])
    delay_s, jitter_s = float(sys.argv[3]), float(sys.argv[4])
    directions = [Direction(one, other), Direction(other, one)]
    selector = selectors.DefaultSelector()
    for direction in directions:
        selector.register(direction.source, selectors.EVENT_READ, direction)
    while True:
        deadlines = [d for x in directions if (d := x.next_deadline()) is not None]
        timeout = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        for key, _ in selector.select(timeout):
            key.data.take(delay_s, jitter_s)
        now = time.monotonic()
        for direction in directions:
            direction.send_due(now)


if __name__ == "__main__":
    main()
