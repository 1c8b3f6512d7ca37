"""The plug of a node of the light profile.

Such a node is a network namespace and some processes.  Pulling the plug sets its interface down, so
that its kernel answers nobody, and ends all that ran on it at once, its pods' processes too.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from lab.faults import Faults
from lab.process import all_stats, wait_gone

if TYPE_CHECKING:
    from lab.pods import Pods
    from lab.process import Process
    from lab.site import Site


class Power:
    """The plugs of one light lab's nodes."""

    def __init__(self, site: Site, pods: Pods) -> None:
        self._site = site
        self._pods = pods
        self._faults = Faults(site)

    def off(self, node: str) -> list[str]:
        """Pull the plug; return the names of the processes that ran, in the order of their start.

        Children are killed with their parents, in one sweep: nothing gets time to say good-bye.
        """
        ran = [process for process in self._on(node) if process.is_alive()]
        leaders = {process.pid for process in ran}
        stats = [stat for stat in all_stats() if stat.session in leaders]
        self._faults.link_down(node)
        for stat in stats:
            with suppress(ProcessLookupError):
                os.kill(stat.pid, signal.SIGKILL)
        for stat in stats:
            wait_gone(stat.pid, 5.0)
        for process in ran:
            process.kill()
        return [process.name for process in ran]

    def on(self, node: str, names: list[str]) -> None:
        """Plug a node in again and start the named processes."""
        self._faults.link_up(node)
        for name in names:
            process = self._site.processes.get(name)
            if process is not None and not process.is_alive():
                process.start()

    def _on(self, node: str) -> list[Process]:
        """List the node's processes and those of its pods."""
        hosts = {node} | {placed.host for placed in self._pods.all() if placed.node == node}
        return [one for one in self._site.processes.all() if one.record.spec.host in hosts]
