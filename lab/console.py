"""A person's terminal on the lab's hosts: commands as typed, output as it came.

Each command line runs in a shell in the network namespace of a host, in a folder that holds the
walk-through's manifests, with ``kubectl``, ``helm`` and ``curl`` on the path and the lab's own
configuration, so nothing of the machine's user is read or changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab import netns
from lab.errors import LabError
from lab.process import BASE_PATH

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.site import Site

MANIFESTS: Final = Path(__file__).parent / "manifests" / "walkthrough"
WIDTH: Final = 96
_POLL_S: Final = 0.2


class StepFailed(LabError):  # noqa: N818  (it reads as what happened)
    """A step of a walk-through did not give what it promises."""


def expect(holds: object, promise: str) -> None:
    """Fail the step if what it promises does not hold."""
    if not holds:
        raise StepFailed(promise)


def await_true(condition: Callable[[], bool], what: str, timeout_s: float = 15.0) -> None:
    """Wait for something that no command shows."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise StepFailed(f"no {what} within {timeout_s:.0f} s")
        time.sleep(0.1)


class Console:
    """Terminals on the hosts of one lab."""

    def __init__(self, site: Site, kube: Path, helm: Path) -> None:
        self._site = site
        self.folder = site.folder("console")
        for manifest in sorted(MANIFESTS.glob("*.yaml")):
            shutil.copy(manifest, self.folder)
        self._env = {
            "PATH": f"{site.folder('bin')}:{kube}:{helm.parent}:{BASE_PATH}",
            "HOME": str(self.folder),
            "KUBECONFIG": str(site.kubeconfig()),
            "HELM_CACHE_HOME": str(site.folder("helm", "cache")),
            "HELM_CONFIG_HOME": str(site.folder("helm", "config")),
            "HELM_DATA_HOME": str(site.folder("helm", "data")),
            "LANG": "C.UTF-8",
        }
        self._colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def title(self, text: str) -> None:
        """Print the heading of a step."""
        line = "─" * max(0, WIDTH - len(text) - 4)
        print(f"\n{self._paint('1', f'── {text} {line}')}", flush=True)

    def say(self, text: str) -> None:
        """Print an explanation."""
        print(f"\n{textwrap.fill(' '.join(text.split()), WIDTH)}", flush=True)

    def show(self, file: str) -> None:
        """Print a manifest as `cat` would."""
        self.run(f"cat {file}")

    def run(
        self, line: str, *, host: str = "client", check: bool = True, timeout_s: float = 60.0
    ) -> str:
        """Run a command line on a host, print it and its output, and return the output."""
        self._prompt(host, line)
        status, out = self._execute(line, host, timeout_s)
        self._print(out)
        if check and status != 0:
            raise StepFailed(f"`{line}` ended with status {status}")
        return out

    def fails(self, line: str, *, host: str = "client", timeout_s: float = 30.0) -> str:
        """Run a command line that must not succeed."""
        self._prompt(host, line)
        status, out = self._execute(line, host, timeout_s)
        self._print(out)
        if status == 0:
            raise StepFailed(f"`{line}` succeeded, but it must not")
        return out

    def until(
        self,
        line: str,
        wanted: Callable[[str], bool],
        *,
        what: str,
        host: str = "client",
        timeout_s: float = 60.0,
    ) -> str:
        """Repeat a command quietly until its output is as `wanted`, then print it once."""
        self._prompt(host, line)
        begin = time.monotonic()
        while True:
            status, out = self._execute(line, host, timeout_s)
            if status == 0 and wanted(out):
                break
            if time.monotonic() - begin > timeout_s:
                self._print(out)
                raise StepFailed(f"{what}: not so after {timeout_s:.0f} s of `{line}`")
            time.sleep(_POLL_S)
        self._print(out)
        waited_s = time.monotonic() - begin
        if waited_s > 1.0:
            print(self._paint("2", f"  ({what} after {waited_s:.1f} s)"), flush=True)
        return out

    def quiet(self, line: str, *, host: str = "client", timeout_s: float = 60.0) -> str:
        """Run a command line that is not part of the story; it must succeed."""
        status, out = self._execute(line, host, timeout_s)
        if status != 0:
            raise StepFailed(f"`{line}` ended with status {status}: {out.strip()}")
        return out

    def _execute(self, line: str, host: str, timeout_s: float) -> tuple[int, str]:
        argv = [*netns.enter_argv(self._site.namespace(host)), "/bin/sh", "-c", line]
        try:
            done = subprocess.run(
                argv,
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise StepFailed(f"`{line}` did not end within {timeout_s:.0f} s") from late
        return done.returncode, done.stdout

    def _prompt(self, host: str, line: str) -> None:
        print(f"\n{self._paint('32', f'{host} $')} {self._paint('1', line)}", flush=True)

    def _print(self, out: str) -> None:
        if out.strip():
            print(out.rstrip("\n"), flush=True)

    def _paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour else text
