"""FRR as it runs in a pod: its own network, its own /etc/frr and /run, watchfrr and our reloader.

Nothing of the machine's own FRR is touched: the folders that FRR uses lie on file systems that only
the pod sees.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
RELOADER = ROOT / "src/mercurylb/frr_reloader/program.py"

_SETUP = """
set -e
for folder in /run /etc/frr /var/log; do mount -t tmpfs tmpfs $folder; done
mkdir /run/frr /var/log/frr
chown frr:frr /run/frr /var/log/frr /etc/frr
ip link set lo up
touch /run/is-set-up
exec sleep infinity
"""
_DAEMONS = """\
bgpd=yes
bfdd=yes
vtysh_enable=yes
zebra_options="  -A 127.0.0.1 -s 90000000"
bgpd_options="   -A 127.0.0.1 {bgpd} --limit-fds 100000"
staticd_options="-A 127.0.0.1"
bfdd_options="   -A 127.0.0.1"
"""
_RUNNING = ("watchfrr", "bgpd", "bfdd", "staticd", "zebra")


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> float:
    """Wait for a condition; return how long it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - started


class FrrPod:
    """One FRR, and perhaps a reloader beside it."""

    def __init__(self, folder: Path, *, config: str = "", is_listening: bool = False) -> None:
        self.folder = folder
        self._config = config
        self._is_listening = is_listening
        self._children: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        """Start FRR."""
        words = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", _SETUP]
        self.holder = self._start(words, self.folder / "pod.log")
        self.root = Path(f"/proc/{self.holder.pid}/root")
        wait_until((self.root / "run/is-set-up").exists, "the pod's folders")
        self._write_config()
        self.start_frr()
        return self

    def __exit__(self, *_exception: object) -> None:
        """End everything by its own process ID."""
        self.stop_frr()
        for child in reversed(self._children):
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(5)
            if child.poll() is None:
                child.kill()
                child.wait()

    def _start(self, words: list[str], log: Path, **env: str) -> subprocess.Popen[str]:
        with log.open("a") as out:
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env},
                text=True,
            )
        self._children.append(child)
        return child

    def _write_config(self) -> None:
        bgpd = "" if self._is_listening else "-p 0"
        texts = {
            "daemons": _DAEMONS.format(bgpd=bgpd),
            "vtysh.conf": "service integrated-vtysh-config\n",
            "frr.conf": self._config,
        }
        for name, text in texts.items():
            path = self.root / "etc/frr" / name
            path.write_text(text)
            self.run("chown", "frr:frr", f"/etc/frr/{name}")

    def run(self, *words: str, is_checked: bool = True) -> str:
        """Run a command in the pod; return what it says."""
        enter = ["nsenter", "-t", str(self.holder.pid), "--net", "--mount"]
        done = subprocess.run([*enter, *words], check=False, capture_output=True, text=True)
        assert done.returncode == 0 or not is_checked, done.stdout + done.stderr
        return done.stdout + done.stderr

    def start_frr(self) -> None:
        """Start watchfrr, which starts the daemons as FRR's own image has it."""
        enter = ["nsenter", "-t", str(self.holder.pid), "--net", "--mount"]
        watch = ["/usr/lib/frr/watchfrr", "-F", "traditional", "zebra", "bgpd", "staticd", "bfdd"]
        self._start([*enter, *watch], self.folder / "watchfrr.log")
        wait_until(lambda: set(self._daemons()) >= set(_RUNNING), "FRR is up")

    def _daemons(self) -> list[str]:
        return self.run("vtysh", "-c", "show daemons", is_checked=False).split()

    def stop_frr(self) -> None:
        """Kill watchfrr and the daemons."""
        for name in _RUNNING:
            path = self.root / "run/frr" / f"{name}.pid"
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(path.read_text()), signal.SIGKILL)

    def vtysh(self, command: str) -> str:
        """Ask FRR."""
        return self.run("vtysh", "-c", command)

    def show(self, command: str) -> Any:
        """Ask FRR in JSON."""
        return json.loads(self.vtysh(f"{command} json"))

    @property
    def running(self) -> str:
        """Return the configuration that FRR has now."""
        return self.vtysh("show running-config")

    # --- the reloader ---------------------------------------------------------------------------

    @property
    def shared(self) -> Path:
        """Return the folder that speaker and reloader share."""
        return self.folder / "shared"

    @property
    def environ(self) -> dict[str, str]:
        """Return the environment of a speaker beside this FRR."""
        return {
            "FRR_CONFIG_FILE": str(self.shared / "frr.conf"),
            "FRR_RELOADER_PID_FILE": str(self.shared / "reloader.pid"),
        }

    def start_reloader(self) -> subprocess.Popen[str]:
        """Start the reloader as it is copied into FRR's image: one file, and no library of ours."""
        self.shared.mkdir(exist_ok=True)
        installed = self.folder / "frr-reloader"
        subprocess.run([sys.executable, str(RELOADER), "--install", str(installed)], check=True)
        enter = ["nsenter", "-t", str(self.holder.pid), "--net", "--mount"]
        words = [*enter, "/usr/bin/python3", "-I", str(installed)]
        log = self.folder / "reloader.log"
        child = self._start(words, log, SHARED_VOLUME=str(self.shared))
        wait_until((self.shared / "reloader.pid").exists, "the reloader waits")
        return child

    @property
    def reloader_log(self) -> str:
        """Return what the reloader said."""
        return (self.folder / "reloader.log").read_text()

    @property
    def status(self) -> str:
        """Return the result of the last reload; empty before the first."""
        path = self.shared / ".status"
        return path.read_text() if path.exists() else ""

    def forget_status(self) -> None:
        """Take the status away, so that the next one is told from the last."""
        (self.shared / ".status").unlink(missing_ok=True)

    def reload(self, text: str) -> str:
        """Have FRR take over a configuration; return how that ended."""
        self.forget_status()
        (self.shared / "frr.conf").write_text(text)
        os.kill(int((self.shared / "reloader.pid").read_text()), signal.SIGHUP)
        wait_until(lambda: self.status, "the reload ends", 60)
        return self.status.split()[1]


def connect(speaker: FrrPod, router: FrrPod) -> None:
    """Lay a cable `net0` between two pods."""
    ends = (speaker.holder.pid, router.holder.pid)
    cable = f"link add net0 netns {ends[0]} type veth peer name net0 netns {ends[1]}"
    subprocess.run(["ip", *cable.split()], check=True)
    for number, pod in enumerate((speaker, router), start=1):
        pod.run("ip", "addr", "add", f"192.0.2.{number}/24", "dev", "net0")
        pod.run("ip", "addr", "add", f"2001:db8::{number}/64", "dev", "net0", "nodad")
        pod.run("ip", "link", "set", "net0", "up")
