"""A BFD table with its own sockets and timer, in the namespace of a host of the lab."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from typing import TYPE_CHECKING

from mercurylb.bfd.effect import (
    Arrival,
    BfdChanged,
    BfdEffect,
    BfdKey,
    ClosePort,
    OpenPort,
    SendPacket,
)
from mercurylb.bfd.table import BfdTable
from mercurylb.cli.asking import find_links
from mercurylb.net.bfd_port import BfdPorts
from mercurylb.net.driver import Driver
from tests.lab.wire_lab import inside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mercurylb.bfd.report import BfdReport
    from mercurylb.bfd.settings import BfdSettings
    from tests.lab.wire_lab import Host


class BfdNode:
    """The sessions of a host, in a thread of their own."""

    def __init__(self, host: Host) -> None:
        self.table = BfdTable(random.Random())
        self.changes: list[tuple[float, BfdChanged]] = []
        self._host = host
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def want(self, wanted: Mapping[BfdKey, BfdSettings]) -> None:
        """Begin, change and end sessions."""
        self._loop.call_soon_threadsafe(self._want, wanted)

    def stand_still(self, seconds: float) -> None:
        """Block the loop, as a starved process is."""
        self._loop.call_soon_threadsafe(time.sleep, seconds)

    def report(self, key: BfdKey) -> BfdReport | None:
        """Return how a session is."""
        return self.table.report(key, time.monotonic())

    def is_up(self, key: BfdKey) -> bool:
        """Tell whether a session is up."""
        report = self.report(key)
        return report is not None and report.state == "Up"

    def failures(self) -> list[BfdChanged]:
        """Return the failures that were found."""
        return [change for _, change in self.changes if change.is_failure]

    def close(self) -> None:
        """Stop without a word."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with inside(self._host.namespace):
            self._loop.call_soon(self._begin)
            self._loop.run_forever()
        self._driver.close()
        self._ports.close()
        with contextlib.suppress(RuntimeError):
            self._loop.close()

    def _begin(self) -> None:
        self._driver = Driver(self.table, self._perform)
        self._ports = BfdPorts(self._arrived, self._failed)
        self._ports.on_links(find_links())
        self._ready.set()

    def _want(self, wanted: Mapping[BfdKey, BfdSettings]) -> None:
        self._driver.take(self.table.on_wanted(wanted, self._driver.catch_up()))

    def _arrived(self, arrival: Arrival) -> None:
        self._driver.take(self.table.on_packet(arrival, self._driver.catch_up()))

    def _failed(self, key: BfdKey, reason: str) -> None:
        self._driver.take(self.table.on_send_failed(key, reason, time.monotonic()))

    def _perform(self, effect: BfdEffect) -> None:
        match effect:
            case OpenPort():
                self._ports.open(effect.key)
            case ClosePort():
                self._ports.close_one(effect.key)
            case SendPacket():
                self._ports.send(effect.key, effect.octets)
            case BfdChanged():
                self.changes.append((time.monotonic(), effect))
