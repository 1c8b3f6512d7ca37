"""The sockets of the membership: datagrams, connections, questions to kernels.

They are had together or not at all: a node that cannot hear the others owns nothing, so until the
port is free `core.on_transport` is not told, and it is tried again and again.
"""

from __future__ import annotations

import asyncio
import collections
import time
from typing import TYPE_CHECKING

from mercurylb.errors import LinkError
from mercurylb.net.datagram import DatagramPort
from mercurylb.net.prober import KernelProber
from mercurylb.net.streams import StreamPort
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mercurylb.announcer.core import AnnouncerCore, CoreEffect
    from mercurylb.announcer.settings import MembershipSettings
    from mercurylb.layer2.interface import Link
    from mercurylb.membership.member import Exchange
    from mercurylb.net.driver import Driver

RETRY_S = 0.5
LOG_INTERVAL_S = 60.0
"""Between two lines about the same thing that stays wrong."""
ORDINARY = frozenset({"idle", "reply", "replayed", "staleSession", "stranger", "too slow"})
"""Last words of reasons that starts and dead nodes give now and then: not worth a line."""


class Gossip:
    """Own the membership's sockets, and feed the core with what they hear."""

    def __init__(
        self, settings: MembershipSettings, core: AnnouncerCore, driver: Driver[CoreEffect]
    ) -> None:
        self._settings = settings
        self._core = core
        self._driver = driver
        self._loop = asyncio.get_running_loop()
        self._datagrams: DatagramPort | None = None
        self._streams: StreamPort | None = None
        self._prober = KernelProber(settings.own_address, self._on_kernel_answer)
        self._is_closed = False
        self._failed = ""
        self._failed_at = float("-inf")
        self._told: collections.Counter[str] = collections.Counter()
        self._told_at = float("-inf")

    def open(self) -> None:
        """Open the sockets, now or as soon as it is possible."""
        if self._is_closed:
            return
        settings = self._settings
        try:
            self._datagrams = DatagramPort(
                settings.bind_address, settings.bind_port, self._on_datagram, self._on_refused
            )
            self._streams = StreamPort(
                settings.bind_address,
                settings.bind_port,
                make_decoder=self._core.stream_decoder,
                on_request=self._on_request,
                on_reply=self._on_reply,
                timeout_s=settings.swim.tcp_timeout_s,
            )
        except LinkError as error:
            self._close_sockets()
            self._say_failed(str(error))
            self._loop.call_later(RETRY_S, self.open)
            return
        self._driver.take(self._core.on_transport(self._driver.catch_up()))

    def on_links(self, links: Sequence[Link]) -> None:
        """Take over the node's links."""
        self._prober.on_links(links)

    def send(self, address: str, payload: bytes, port: int) -> None:
        """Send a datagram."""
        if self._datagrams is not None:
            self._datagrams.send(address, payload, port)

    def exchange(self, effect: Exchange) -> None:
        """Ask over a connection; without sockets there is no reply."""
        if self._streams is None:
            self._loop.call_soon(self._on_reply, effect.id, None)
        else:
            self._streams.exchange(effect)

    def probe(self, address: str) -> None:
        """Ask a kernel."""
        self._prober.probe(address)

    def drops(self) -> dict[str, int]:
        """Return what the sockets refused or could not send, by reason."""
        found: dict[str, int] = {"wire probes not sent": self._prober.send_errors}
        if self._datagrams is not None:
            found["wire datagrams not sent"] = self._datagrams.send_errors
            found["wire ICMP ignored"] = self._datagrams.icmp_ignored
        if self._streams is not None:
            found |= {f"wire {name}": count for name, count in self._streams.refused.items()}
        return found

    def say_refused(self) -> None:
        """Log what was refused since the last time, seldom: somebody may have another secret."""
        now = time.monotonic()
        if now - self._told_at < LOG_INTERVAL_S:
            return
        counts = collections.Counter(self._core.refused())
        if self._streams is not None:
            counts += self._streams.refused
        fresh = counts - self._told
        if any(name.rpartition(".")[2] not in ORDINARY for name in fresh):
            self._told, self._told_at = counts, now
            log.warning("membership.refused", reasons=dict(sorted(fresh.items())))

    def close(self) -> None:
        """Close every socket."""
        self._is_closed = True
        self._close_sockets()
        self._prober.close()

    def _close_sockets(self) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
        if self._streams is not None:
            self._streams.close()
        self._datagrams = self._streams = None

    def _say_failed(self, error: str) -> None:
        now = time.monotonic()
        if error != self._failed or now - self._failed_at >= LOG_INTERVAL_S:
            self._failed, self._failed_at = error, now
            log.error("membership.socket_failed", error=error)

    # --- facts -------------------------------------------------------------------------------

    def _on_datagram(self, source: str, port: int, payload: bytes) -> None:
        now = self._driver.catch_up()
        self._driver.take(self._core.on_datagram(source, port, payload, now))

    def _on_refused(self, address: str) -> None:
        self._driver.take(self._core.on_refused(address, self._driver.catch_up()))

    def _on_kernel_answer(self, address: str) -> None:
        self._driver.take(self._core.on_kernel_answer(address, self._driver.catch_up()))

    def _on_request(self, source: str, message: object) -> bytes | None:
        effects, reply = self._core.on_request(source, message, self._driver.catch_up())
        self._driver.take(effects)
        return reply

    def _on_reply(self, exchange: int, message: object | None) -> None:
        if not self._is_closed:
            self._driver.take(self._core.on_reply(exchange, message, self._driver.catch_up()))
