"""The first process of a node of the full profile: set the node up, run its daemons, reap orphans.

Started inside the node's network namespace as ``python -m lab.nodeinit FILE``. It enters the node's
control groups, unshares mount, UTS, IPC, cgroup and pid namespaces and forks; the child is pid 1 of
the node. With a private ``/run``, ``/var/lib/{kubelet,containerd,cni}`` and ``/var/log`` every
daemon keeps its default paths, and when pid 1 ends the kernel ends everything in the node.

The outer process stays to be found: a SIGTERM to it ends the node, and if it dies so does pid 1.
Daemons that end are started again after a second, as an init system would do.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab import cgroup

if TYPE_CHECKING:
    from types import FrameType

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWCGROUP: Final = 0x02000000
_CLONE_NEWUTS: Final = 0x04000000
_CLONE_NEWIPC: Final = 0x08000000
_CLONE_NEWPID: Final = 0x20000000
_NEW_NAMESPACES: Final = (
    _CLONE_NEWNS | _CLONE_NEWCGROUP | _CLONE_NEWUTS | _CLONE_NEWIPC | _CLONE_NEWPID
)
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_READY_TIMEOUT_S: Final = 60.0
_RESTART_AFTER_S: Final = 1.0
SOCKET: Final = "/run/containerd/containerd.sock"
PRIVATE_SYSCTLS: Final = {
    "vm/overcommit_memory": "1",
    "kernel/panic_on_oops": "1",
    "kernel/panic": "10",
}
"""What a kubelet writes machine-wide; the node gets ordinary files that hold it already."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """All that the first process of a node needs to know.

    `state` holds the folders that outlive a restart of the node, `keep` the folder that must stay
    visible although ``/run`` is private, and `tmpfs_images` says that images go into memory.
    """

    lab: str
    name: str
    state: str
    keep: str
    log: str
    containerd: list[str]
    kubelet: list[str]
    ctr: str
    bundle: str
    tmpfs_images: bool

    def write(self, file: Path) -> None:
        """Write the configuration for `read`."""
        file.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, file: Path) -> NodeConfig:
        """Read what `write` wrote."""
        return cls(**json.loads(file.read_text()))


def main(argv: list[str]) -> int:
    """Run a node until it is told to end."""
    config = NodeConfig.read(Path(argv[0]))
    cgroup.enter(config.lab, config.name)
    _call("unshare", _NEW_NAMESPACES)
    child = os.fork()
    if child == 0:
        _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _Init(config).run()

    def end(_number: int, _frame: FrameType | None) -> None:
        os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    (Path(config.state) / "init.pid").write_text(str(child))
    while True:
        try:
            _, status = os.waitpid(child, 0)
        except InterruptedError:
            continue
        return 0 if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)


class _Init:
    """Pid 1 of a node."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._state = Path(config.state)
        self._daemons: dict[int, tuple[str, list[str]]] = {}

    def run(self) -> None:
        """Set up and serve; never returns."""
        status = 1
        try:
            socket.sethostname(self._config.name)
            self._mount()
            cgroup.settle()
            self._start("containerd", self._config.containerd)
            self._import_images()
            self._start("kubelet", self._config.kubelet)
            self._reap_for_ever()
        except BaseException as error:  # noqa: BLE001  (pid 1 tells and ends, whatever it was)
            print(f"node {self._config.name}: {error!r}", flush=True)
        finally:
            os._exit(status)

    def _mount(self) -> None:
        mount("--make-rprivate", "/")
        for folder in ("kubelet", "containerd", "cni"):
            self._bind_folder(folder, Path("/var/lib") / folder)
        if self._config.tmpfs_images:
            mount("-t", "tmpfs", "tmpfs", "/var/lib/containerd")
        self._bind_folder("log", Path("/var/log"))
        hosts = self._state / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {self._config.name}\n")
        mount("--bind", str(hosts), "/etc/hosts")
        self._mount_run()
        mount("-t", "proc", "proc", "/proc")
        self._mount_sys()
        self._hide_sysctls()
        mount("--make-rshared", "/")

    def _bind_folder(self, name: str, target: Path) -> None:
        source = self._state / name
        source.mkdir(exist_ok=True)
        target.mkdir(parents=True, exist_ok=True)
        mount("--bind", str(source), str(target))

    def _mount_run(self) -> None:
        """Replace /run, keeping the lab's folder visible under its own name."""
        fresh, keep = self._state / "run", Path(self._config.keep)
        fresh.mkdir(exist_ok=True)
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(fresh))
        (fresh / "containerd").mkdir()
        (fresh / "lock").mkdir()
        if keep.is_relative_to("/run"):
            kept = fresh / keep.relative_to("/run")
            kept.mkdir(parents=True)
            mount("--bind", str(keep), str(kept))
        mount("--move", str(fresh), "/run")

    def _mount_sys(self) -> None:
        """Mount sysfs and the control groups as this node's namespaces show them."""
        hierarchies = [(path.name, path) for path in cgroup.hierarchies()]
        version2 = cgroup.is_v2()
        options = {name: _v1_options(path) for name, path in hierarchies if not version2}
        run("umount", "-l", "/sys")
        mount("-t", "sysfs", "sysfs", "/sys")
        if version2:
            mount("-t", "cgroup2", "cgroup2", str(cgroup.ROOT))
            return
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(cgroup.ROOT))
        for name, option in options.items():
            folder = cgroup.ROOT / name
            folder.mkdir()
            if option is None:
                mount("-t", "cgroup2", "cgroup2", str(folder))
            else:
                mount("-t", "cgroup", "-o", option, "cgroup", str(folder))

    def _hide_sysctls(self) -> None:
        folder = self._state / "sysctl"
        folder.mkdir(exist_ok=True)
        for name, value in PRIVATE_SYSCTLS.items():
            file = folder / name.replace("/", ".")
            file.write_text(f"{value}\n")
            mount("--bind", str(file), f"/proc/sys/{name}")

    def _import_images(self) -> None:
        ctr = [self._config.ctr, "--address", SOCKET, "--namespace", "k8s.io"]
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not _succeeds([*ctr, "version"]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"containerd did not answer within {_READY_TIMEOUT_S:.0f} s")
            time.sleep(0.1)
        marker, imported = self._state / "imported", self._config.bundle
        if not self._config.tmpfs_images and marker.exists() and marker.read_text() == imported:
            return
        run(*ctr, "images", "import", "--no-unpack", imported)
        marker.write_text(imported)

    def _start(self, name: str, argv: list[str]) -> None:
        log = os.open(
            f"{self._config.log}/{name}-{self._config.name}.log",
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
            0o644,
        )
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        os.close(log)
        process.returncode = 0  # the loop below reaps it, not this object
        self._daemons[process.pid] = (name, argv)
        (self._state / f"{name}.pid").write_text(str(process.pid))

    def _reap_for_ever(self) -> None:
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid in self._daemons:
                name, argv = self._daemons.pop(pid)
                print(f"{name} ended with {os.waitstatus_to_exitcode(status)}", flush=True)
                time.sleep(_RESTART_AFTER_S)
                self._start(name, argv)


def mount(*words: str) -> None:
    """Mount something, without a note in the machine's own table of mounts."""
    run("mount", "--no-mtab", *words)


def run(*argv: str) -> None:
    """Run a short program and complain with its output when it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")


def _succeeds(argv: list[str]) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _v1_options(hierarchy: Path) -> str | None:
    """Return the mount option that names a hierarchy; None for the version-2 one."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        if fields.split()[4] != str(hierarchy):
            continue
        if kind == "cgroup2":
            return None
        words = [word for word in options.split(",") if word not in {"rw", "ro"}]
        return ",".join(f"none,{w}" if w.startswith("name=") else w for w in words)
    raise OSError(f"{hierarchy} is not a mount point")


def _call(function: str, *args: int) -> None:
    if getattr(_LIBC, function)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
