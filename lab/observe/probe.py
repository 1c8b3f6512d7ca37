"""Try a service again and again and print how each try ended.

``python -m lab.observe.probe http URL`` makes a new TCP connection for each try;
``python -m lab.observe.probe udp ADDRESS PORT`` sends numbered datagrams and waits for their echo;
with ``--flows N`` from so many ports in turn, each of which a router may send another way.
Tries start at a fixed rhythm and overlap, so one that hangs does not hide the next.

Lines: ``{"t": start, "end", "ok", "who" | "error"}``; ``who`` is what the lab's own server says of
itself, so that a report can tell which pod answered; ``flow`` counts them from 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import ssl
import sys
import time
from typing import Any
from urllib.parse import urlsplit


class Target:
    """Where the tries go."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.path = parts.path or "/"
        self.tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self.tls = ssl.create_default_context()
            self.tls.check_hostname = False
            self.tls.verify_mode = ssl.CERT_NONE


async def try_http(target: Target) -> dict[str, Any]:
    """Fetch a page over a new connection; raise when it fails."""
    reader, writer = await asyncio.open_connection(target.host, target.port, ssl=target.tls)
    try:
        name = f"[{target.host}]" if ":" in target.host else target.host
        head = f"GET {target.path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        raw = await reader.read(1 << 20)
        while more := await reader.read(1 << 20):
            raw += more
    finally:
        writer.close()
    top, _, body = raw.partition(b"\r\n\r\n")
    words = top.split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    return {"ok": 200 <= status < 400, "status": status, "who": who(body)}  # noqa: PLR2004


def who(body: bytes) -> str:
    """Return the pod's name from an answer of the lab's own server, else nothing."""
    try:
        told = json.loads(body)
    except ValueError:
        return ""
    return str(told.get("pod", "")) if isinstance(told, dict) else ""


class Echo(asyncio.DatagramProtocol):
    """Numbered datagrams on their way."""

    def __init__(self) -> None:
        self.waiting: dict[int, asyncio.Future[str]] = {}

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:  # noqa: ARG002
        """Match an echo with its try."""
        number, _, rest = data.partition(b" ")
        waiter = self.waiting.pop(int(number), None) if number.isdigit() else None
        if waiter is not None and not waiter.done():
            waiter.set_result(rest.decode(errors="replace"))

    def error_received(self, exc: Exception) -> None:
        """Ignore ICMP errors: the try then ends by its timeout."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to do: the run is over."""


class Prober:
    """The rhythm of the tries."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._running: set[asyncio.Task[None]] = set()
        self._echo = Echo()
        self._transports: list[asyncio.DatagramTransport] = []
        self._number = 0

    async def run(self, given: argparse.Namespace) -> None:
        """Try until the duration is over or the process is told to stop."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        target = Target(given.target) if given.protocol == "http" else None
        if target is None:
            where = (given.target, given.port)
            for _ in range(given.flows):
                made = await loop.create_datagram_endpoint(lambda: self._echo, remote_addr=where)
                self._transports.append(made[0])
        begin = due = time.monotonic()
        while not stop.is_set():
            now = time.monotonic()
            if given.duration_s and now > begin + given.duration_s:
                break
            self._number += 1
            task = asyncio.create_task(self._try(target, self._number))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            due = max(due + given.interval_ms / 1000, now)
            try:
                await asyncio.wait_for(stop.wait(), max(0.0, due - time.monotonic()))
            except TimeoutError:
                continue
        if self._running:
            await asyncio.wait(self._running, timeout=self._timeout_s)

    async def _try(self, target: Target | None, number: int) -> None:
        begin = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                told = await (try_http(target) if target else self._try_udp(number))
        except TimeoutError:
            told = {"ok": False, "error": "timeout"}
        except OSError as failed:
            told = {"ok": False, "error": failed.strerror or type(failed).__name__}
        line = {"t": round(begin, 6), "end": round(time.monotonic(), 6), **told}
        if len(self._transports) > 1:
            line["flow"] = number % len(self._transports)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    async def _try_udp(self, number: int) -> dict[str, Any]:
        waiter: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._echo.waiting[number] = waiter
        self._transports[number % len(self._transports)].sendto(f"{number} ?".encode())
        try:
            return {"ok": True, "who": await waiter}
        finally:
            self._echo.waiting.pop(number, None)


def main() -> None:
    """Probe until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("protocol", choices=("http", "udp"))
    parser.add_argument("target", help="a URL, or an address for udp")
    parser.add_argument("port", type=int, nargs="?", default=0)
    parser.add_argument("--interval-ms", type=float, default=20.0)
    parser.add_argument("--flows", type=int, default=1, help="source ports of udp, in turn")
    parser.add_argument("--timeout-ms", type=float, default=1000.0)
    parser.add_argument("--duration-s", type=float, default=0.0, help="0 means until stopped")
    given = parser.parse_args()
    asyncio.run(Prober(given.timeout_ms / 1000).run(given))


if __name__ == "__main__":
    main()
