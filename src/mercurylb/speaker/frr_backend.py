"""The `frr` backend: frr.conf for the reloader beside us, and what becomes of it.

Every change renders the whole file. It is written a moment later, so that changes that come
together cost one reload, and the reloader is told by SIGHUP. What fails is tried again for ever,
always with the newest configuration. FRR goes on with the old one meanwhile.

The file is put in place whole: a reload under way never reads half of the next configuration.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mercurylb.errors import ConfigError, ParseError
from mercurylb.frr.configuration import frr_conf, frr_level
from mercurylb.frr.debounce import Debounce
from mercurylb.frr.reload_status import parse_pid, parse_reload_status
from mercurylb.speaker.frr_intent import sound_intent
from mercurylb.telemetry import logs as log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mercurylb.bgp.report import SessionReport
    from mercurylb.plan.bgp_wanted import BgpWanted

FOLDER: Final = "/etc/frr_reloader"
FILE_ENV: Final = "FRR_CONFIG_FILE"
PID_FILE_ENV: Final = "FRR_RELOADER_PID_FILE"
LEVEL_ENV: Final = "FRR_LOGGING_LEVEL"
STATUS_NAME: Final = ".status"
"""Beside the PID file."""
DEBOUNCE_S: Final = 0.1
"""MetalLB 0.16 waits for 3 s."""
STATUS_INTERVAL_S: Final = 30.0


def debounce_s_of(text: str) -> float:
    """Read the value of --bgp-debounce-timeout, milliseconds; empty is the default."""
    return int(text) / 1000 if text else DEBOUNCE_S


class FrrBackend:
    """Keeps the node's FRR as it is wanted."""

    def __init__(
        self,
        *,
        debounce: str,
        log_level: str,
        environ: Mapping[str, str],
        status_interval_s: float = STATUS_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environ = environ
        self._level = frr_level(log_level)
        self._file = Path(environ.get(FILE_ENV, f"{FOLDER}/frr.conf"))
        self._pid_file = Path(environ.get(PID_FILE_ENV, f"{FOLDER}/reloader.pid"))
        self._status_file = self._pid_file.with_name(STATUS_NAME)
        self._status_interval_s = status_interval_s
        self._clock = clock
        self._debounce = Debounce(debounce_s_of(debounce))
        self._armed = asyncio.Event()
        self._status_seen = ""

    def apply(self, wanted: BgpWanted) -> None:
        """Take what is wanted; what cannot be told FRR leaves the last configuration in force."""
        level = self._environ.get(LEVEL_ENV, self._level)
        try:
            text = frr_conf(sound_intent(wanted), level=level, hostname=socket.gethostname())
        except ConfigError as error:
            log.error("frr.configuration_refused", error=error)
            return
        if self._debounce.on_configuration(text, self._clock()):
            self._armed.set()

    def observe(self) -> tuple[SessionReport, ...]:
        """Give what is known of sessions: nothing, FRR's own exporter knows it."""
        return ()

    async def run(self) -> None:
        """Write and look after what becomes of it, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write())
            group.create_task(self._watch_status())

    async def _write(self) -> None:
        while True:
            deadline = self._debounce.next_deadline()
            if deadline is None:
                await self._armed.wait()
                self._armed.clear()
                continue
            await asyncio.sleep(max(0.0, deadline - self._clock()))
            text = self._debounce.on_deadline(self._clock())
            if text is not None and not self._reload(text):
                self._debounce.on_failed(self._clock())

    def _reload(self, text: str) -> bool:
        """Write the file and have it read; tell whether both could be done."""
        cause, path = "write", self._file
        try:
            write_file(self._file, text)
            cause, path = "signal", self._pid_file
            os.kill(parse_pid(self._pid_file.read_text()), signal.SIGHUP)
        except (OSError, ParseError, UnicodeDecodeError) as error:
            log.error("frr.reload_impossible", op="reload", cause=cause, path=path, error=error)
            return False
        log.info("frr.reload_asked", path=self._file)
        return True

    async def _watch_status(self) -> None:
        while True:
            await asyncio.sleep(self._status_interval_s)
            self.look_at_status()

    def look_at_status(self) -> None:
        """Look at how the last reload ended; one that failed is asked for once more."""
        try:
            status = parse_reload_status(self._status_file.read_text())
        except FileNotFoundError:
            return
        except (OSError, ParseError, UnicodeDecodeError) as error:
            path = self._status_file
            log.error("frr.status_unreadable", op="reload-validate", path=path, error=error)
            return
        if status.timestamp == self._status_seen:
            return
        self._status_seen = status.timestamp
        if not status.has_failed:
            log.info("frr.reloaded", op="reload-validate", success="reloaded config")
            return
        log.error(
            "frr.reload_failed",
            msg="FRR goes on with the configuration before; the reloader's log says why",
            op="reload-validate",
            status=status.result,
        )
        if self._debounce.on_reused(self._clock()):
            self._armed.set()


def write_file(path: Path, text: str) -> None:
    """Put a file in place whole, readable for its owner alone: there are passwords in it."""
    made = path.with_name(f".{path.name}.new")
    made.unlink(missing_ok=True)
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    made.replace(path)
