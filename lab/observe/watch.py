"""Start observers on a host and read their lines: the library's side of this package."""

from __future__ import annotations

import itertools
import os
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from lab import binaries, netns
from lab.observe import report

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from lab.process import Process
    from lab.site import Site

R = TypeVar("R")
_COUNTER: Final = itertools.count(1)
_URGENCY: Final = 40


class Watch(Generic[R]):
    """A running observer; leave the ``with`` block or call ``stop`` to end it."""

    def __init__(self, process: Process, summarise: Callable[[list[dict[str, Any]]], R]) -> None:
        self.process = process
        self._summarise = summarise

    def __enter__(self) -> Self:
        """Go on watching inside the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching."""
        self.stop()

    def lines(self) -> list[dict[str, Any]]:
        """Return what was observed so far."""
        return self.process.lines()

    def report(self) -> R:
        """Summarise what was observed so far."""
        return self._summarise(self.lines())

    def stop(self) -> R:
        """End the observer and return its summary."""
        self.process.stop(3.0)
        return self.report()


@cache
def urgent_argv() -> list[str]:
    """Return the words that let a command run before ordinary processes; none if not permitted."""
    words = [netns.tool("chrt"), "--rr", str(_URGENCY)]
    done = netns.command([*words, "true"], check=False)
    return words if done.returncode == 0 else []


class Observers:
    """The observers of one lab; each runs on the LAN client unless told otherwise.

    Urgent ones run before all ordinary processes, where that is permitted: an observer stands for a
    machine of its own, whose questions do not wait for the processors of the nodes.
    """

    def __init__(self, site: Site, *, urgent: bool = False) -> None:
        self._site = site
        self._before = urgent_argv() if urgent else []

    def owner(
        self, address: str, *, host: str = "client", interval_ms: float = 10.0
    ) -> Watch[report.OwnerReport]:
        """Watch who answers ARP or NDP for an address."""
        quiet_s = max(0.05, interval_ms * 5 / 1000)
        words = [address, "--interval-ms", str(interval_ms)]
        process = self._start("neighbour", host, words)
        return Watch(process, lambda lines: report.owners(lines, quiet_s=quiet_s))

    def http(
        self,
        url: str,
        *,
        host: str = "client",
        interval_ms: float = 20.0,
        timeout_ms: float = 1000.0,
    ) -> Watch[report.ProbeReport]:
        """Fetch a page again and again, each time over a new connection."""
        words = ["http", url, "--interval-ms", str(interval_ms), "--timeout-ms", str(timeout_ms)]
        quiet_s = max(0.1, interval_ms * 5 / 1000)
        process = self._start("probe", host, words)
        return Watch(process, lambda lines: report.probes(lines, quiet_s=quiet_s))

    def udp(
        self,
        address: str,
        port: int,
        *,
        host: str = "client",
        interval_ms: float = 10.0,
        flows: int = 1,
    ) -> Watch[report.ProbeReport]:
        """Send numbered datagrams to an echo service, from several ports in turn if asked."""
        words = ["udp", address, str(port), "--interval-ms", str(interval_ms)]
        words += ["--flows", str(flows)]
        quiet_s = max(0.1, interval_ms * 5 / 1000)
        process = self._start("probe", host, words)
        return Watch(process, lambda lines: report.probes(lines, quiet_s=quiet_s))

    def capture(
        self,
        *,
        host: str = "client",
        interface: str = "eth0",
        only: str = "",
        address: str | None = None,
    ) -> Watch[list[dict[str, Any]]]:
        """Capture frames and take them apart."""
        words = ["--interface", interface, "--only", only]
        words += ["--address", address] if address else []
        return Watch(self._start("capture", host, words), lambda lines: lines)

    def _start(self, module: str, host: str, words: list[str]) -> Process:
        name = f"observe-{module}-{os.getpid()}-{next(_COUNTER)}"
        argv = [*self._before, *binaries.helper_argv(f"lab.observe.{module}", *words)]
        self._site.processes.log_path(name).unlink(missing_ok=True)
        return self._site.start(name, host, argv, env=binaries.helper_env())
