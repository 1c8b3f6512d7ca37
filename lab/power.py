"""The plug of a node of the light profile.

Such a node is a network namespace and some processes.  Pulling the plug sets its interface down, so
that its kernel answers nobody, and ends all that ran on it at once, its pods' processes too.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from lab.faults import Faults
from lab.process import all_stats, wait_gone

if TYPE_CHECKING:
    from pathlib import Path

    from lab.pods import Pods
    from lab.process import Process
    from lab.site import Site


class Power:
    """The plugs of one light lab's nodes."""

    def __init__(self, site: Site, pods: Pods) -> None:
        self._site = site
        self._pods = pods
        self._faults = Faults(site)

    def off(self, node: str) -> None:
        """Pull the plug, and write down what ran.

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
        self._file(node).write_text(json.dumps([process.name for process in ran]))

    def on(self, node: str, *, without: str) -> None:
        """Plug a node in again and start what ran, in the same order, without one of them."""
        self._faults.link_up(node)
        file = self._file(node)
        names = json.loads(file.read_text()) if file.exists() else []
        file.unlink(missing_ok=True)
        for name in names:
            process = self._site.processes.get(name) if name != without else None
            if process is not None and not process.is_alive():
                process.start()

    def _file(self, node: str) -> Path:
        return self._site.folder("power") / f"{node}.json"

    def _on(self, node: str) -> list[Process]:
        """List the node's processes and those of its pods."""
        hosts = {node} | {placed.host for placed in self._pods.all() if placed.node == node}
        return [one for one in self._site.processes.all() if one.record.spec.host in hosts]
