"""Start a program in a namespace, see what it says, and end it by its own id."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING

from lab import netns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_END_S = 5.0


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> float:
    """Wait for a condition; return how long it took."""
    started = time.monotonic()
    pause_s = 0.005
    while not condition():
        assert time.monotonic() - started < timeout_s, f"not within {timeout_s} s: {what}"
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.05)
    return time.monotonic() - started


class Daemon:
    """One process of ours; it runs in the foreground and writes to a log file."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        namespace: str,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = argv[0].rsplit("/", 1)[-1]
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [*netns.enter_argv(namespace), *argv],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=dict(env) if env is not None else None,
                cwd=cwd,
            )

    @property
    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return self.process.poll() is None

    def check(self) -> bool:
        """Fail with the end of the log if it has died."""
        assert self.is_alive, f"{self.name} has died: {self.log.read_text()[-2000:]}"
        return True

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def close(self) -> None:
        """End it, by force if it does not follow."""
        if self.is_alive:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            try:
                self.process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
