"""Make new connections at a fixed rate and count what became of each.

``python -m lab.load_program ADDRESS PORT --rate 1000``: every request is a TCP connection of its
own which asks for a page, reads it to its end and is then cut off (RST), so that neither side keeps
it in memory and a long run's connections find room in the tables of the kernels on the way.

A request is *lost* when it was refused, cut off, answered with an error, or not answered within its
time.  One is *resent* when the kernel had to send a packet of it again: nobody lost it, but the
network did, for a moment.  Requests begin when they are due whatever became of the ones before; a
generator that was held up itself makes up for it, and says by how much it was late.

Lines: one for every tenth of a second, ``{"t", "sent", "ok", "lost", "resent", "slowest_ms",
"gap_ms", "late_ms", "waiting_ms"}`` (sums since the last line; ``gap_ms`` is the longest time
without a success that ended in it, ``waiting_ms`` how long the oldest request under way has
waited), and one for every request lost, ``{"t", "end", "error", "port", "state"}``: the client's
port, and the state of its connection by the kernel's number (1 established, 2 SYN sent).
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

TICK_S: Final = 0.1
OPEN_MAX: Final = 8192
"""Requests under way; what is due beyond that counts as lost."""
BURST_MAX: Final = 64
"""Requests begun between two looks at the answers."""
_CUT_OFF: Final = struct.pack("ii", 1, 0)
_TCP_INFO_BYTES: Final = 104
_TOTAL_RETRANSMISSIONS: Final = 100
"""Offset of ``tcpi_total_retrans`` in the kernel's ``struct tcp_info``."""
_GOOD: Final = (b"HTTP/1.1 2", b"HTTP/1.0 2", b"HTTP/1.1 3", b"HTTP/1.0 3")


@dataclass(slots=True)
class Request:
    """One connection under way."""

    channel: socket.socket
    begin: float
    is_asked: bool = False
    answer: bytes = b""


class Generator:
    """The connections of one run."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._where = (given.address, given.port)
        self._family = socket.AF_INET6 if ":" in given.address else socket.AF_INET
        self._interval_s = 1.0 / given.rate
        self._timeout_s = given.timeout_ms / 1000
        self._duration_s = given.duration_s
        name = f"[{given.address}]" if ":" in given.address else given.address
        head = f"GET {given.path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
        self._question = head.encode()
        self._events = select.epoll()
        self._open: dict[int, Request] = {}
        self._sums: Counter[str] = Counter()
        self._slowest_s = self._gap_s = self._late_s = 0.0
        self._success_at = time.monotonic()
        self._is_ending = False

    def stop(self, *_: object) -> None:
        """Begin no more requests; the run ends when those under way have."""
        self._is_ending = True

    def run(self) -> None:
        """Make requests until told to stop or the duration is over."""
        begin = due = self._success_at = time.monotonic()
        tick = begin + TICK_S
        while not self._is_ending or self._open:
            now = time.monotonic()
            if self._duration_s and now >= begin + self._duration_s:
                self._is_ending = True
            if not self._is_ending:
                due = self._begin_due(due, now)
            self._expire(now)
            if now >= tick:
                self._tell(now)
                tick = now + TICK_S
            wake = tick if self._is_ending else min(tick, due)
            for number, _ in self._events.poll(max(0.0, wake - time.monotonic()), 256):
                self._go_on(self._open[number])
        self._tell(time.monotonic())

    def _begin_due(self, due: float, now: float) -> float:
        """Begin what is due; return when the next request is."""
        for _ in range(BURST_MAX):
            if due > now:
                break
            self._late_s = max(self._late_s, now - due)
            self._begin(time.monotonic())
            due += self._interval_s
        return due

    def _begin(self, now: float) -> None:
        self._sums["sent"] += 1
        if len(self._open) >= OPEN_MAX:
            self._lose(now, "too many requests under way")
            return
        channel = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CUT_OFF)
        status = channel.connect_ex(self._where)
        if status not in {0, errno.EINPROGRESS}:
            channel.close()
            self._lose(now, os.strerror(status))
            return
        self._open[channel.fileno()] = Request(channel, now)
        self._events.register(channel, select.EPOLLOUT)

    def _go_on(self, request: Request) -> None:
        """Ask once the connection is there, then read; an error ends the request."""
        channel = request.channel
        if status := channel.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._end(request, os.strerror(status))
            return
        try:
            if not request.is_asked:
                channel.send(self._question)
                request.is_asked = True
                self._events.modify(channel, select.EPOLLIN)
                return
            more = channel.recv(65536)
        except BlockingIOError:
            return
        except OSError as failed:
            self._end(request, failed.strerror or type(failed).__name__)
            return
        request.answer += more
        if not more:
            is_good = request.answer.startswith(_GOOD)
            self._end(request, "" if is_good else f"answer {request.answer[:40]!r}")

    def _end(self, request: Request, error: str) -> None:
        now = time.monotonic()
        channel = request.channel
        info = channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        if len(info) == _TCP_INFO_BYTES:
            (again,) = struct.unpack_from("I", info, _TOTAL_RETRANSMISSIONS)
            self._sums["resent"] += again > 0
        where = {"port": channel.getsockname()[1], "state": info[0]}
        del self._open[channel.fileno()]
        channel.close()
        if error:
            self._lose(request.begin, error, now, **where)
            return
        self._sums["ok"] += 1
        self._slowest_s = max(self._slowest_s, now - request.begin)
        self._gap_s = max(self._gap_s, now - self._success_at)
        self._success_at = now

    def _lose(self, begin: float, error: str, end: float | None = None, **where: int) -> None:
        self._sums["lost"] += 1
        _print({"t": round(begin, 6), "end": round(end or begin, 6), "error": error, **where})

    def _expire(self, now: float) -> None:
        """Give up on requests whose time is over; the oldest one is the first of the table."""
        while self._open:
            oldest = next(iter(self._open.values()))
            if oldest.begin + self._timeout_s > now:
                return
            self._end(oldest, "no answer in time")

    def _tell(self, now: float) -> None:
        line: dict[str, object] = {"t": round(now, 6)}
        line |= {name: self._sums[name] for name in ("sent", "ok", "lost", "resent")}
        line |= {
            "slowest_ms": round(1000 * self._slowest_s, 1),
            "gap_ms": round(1000 * max(self._gap_s, self._silence_s(now)), 1),
            "late_ms": round(1000 * self._late_s, 1),
            "waiting_ms": round(1000 * self._waiting_s(now), 1),
        }
        _print(line)
        self._sums.clear()
        self._slowest_s = self._gap_s = self._late_s = 0.0

    def _waiting_s(self, now: float) -> float:
        """Return for how long the oldest request under way has waited; it is first of the table."""
        return now - next(iter(self._open.values())).begin if self._open else 0.0

    def _silence_s(self, now: float) -> float:
        """Return for how long nothing has succeeded, while requests are under way."""
        return now - self._success_at if self._open else 0.0


def _print(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Make requests until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, default=1000.0, help="requests per second")
    parser.add_argument("--path", default="/")
    parser.add_argument("--timeout-ms", type=float, default=5000.0)
    parser.add_argument("--duration-s", type=float, default=0.0, help="0 means until stopped")
    generator = Generator(parser.parse_args())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, generator.stop)
    generator.run()


if __name__ == "__main__":
    main()
