"""Network namespaces: make, list, remove, and act inside them.

A namespace is named by a file below ``/run/netns``, as ``ip netns`` does it.  Programs enter with
``nsenter --net`` rather than ``ip netns exec``, which would remount ``/sys`` and hide the cgroups.
A socket belongs for ever to the namespace it was made in, so ``inside`` is enough for the driver to
talk into a lab without starting a program there.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lab.errors import CommandError, LabError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NETNS_DIR: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


def path(name: str) -> Path:
    """Return the file that names the namespace."""
    return NETNS_DIR / name


def exists(name: str) -> bool:
    """Tell whether the namespace exists."""
    return path(name).exists()


def names(prefix: str) -> list[str]:
    """List the namespaces whose name starts with ``prefix``, sorted."""
    if not NETNS_DIR.is_dir():
        return []
    return sorted(entry.name for entry in NETNS_DIR.iterdir() if entry.name.startswith(prefix))


def enter_argv(name: str) -> list[str]:
    """Return the words that, put before a command line, run it inside the namespace."""
    return [tool("nsenter"), f"--net={path(name)}", "--"]


def tool(name: str) -> str:
    """Return the full path of a system program, searching the sbin folders too."""
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin"
    found = shutil.which(name, path=search)
    if found is None:
        raise LabError(f"program {name} is missing on this machine; install it (apt) and try again")
    return found


def command(  # noqa: PLR0913  (mirrors subprocess.run)
    argv: Sequence[str],
    *,
    netns: str | None = None,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 60.0,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a short program to its end, inside a namespace when one is named."""
    whole = [*(enter_argv(netns) if netns else []), *argv]
    done = subprocess.run(
        whole,
        input=stdin if stdin is not None else "",
        env=dict(env) if env is not None else None,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if check and done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr or done.stdout)
    return done


def create(name: str) -> None:
    """Make a namespace with its loopback up."""
    command([tool("ip"), "netns", "add", name])


def delete(name: str) -> None:
    """Remove a namespace and with it every interface in it; a missing one is fine."""
    if exists(name):
        command([tool("ip"), "netns", "del", name], check=False)


def ip(netns: str, *words: str) -> None:
    """Run one ``ip`` command inside the namespace."""
    command([tool("ip"), "-n", netns, *words])


def ip_batch(netns: str, lines: Sequence[str]) -> None:
    """Run many ``ip`` commands inside the namespace in one program."""
    if lines:
        command([tool("ip"), "-n", netns, "-batch", "-"], stdin="\n".join(lines) + "\n")


def ip_json(netns: str | None, *words: str) -> list[dict[str, Any]]:
    """Run an ``ip`` query and return its JSON; an empty answer is an empty list."""
    where = ["-n", netns] if netns else []
    out = command([tool("ip"), "-json", *where, *words]).stdout.strip()
    return [row for row in json.loads(out) if row] if out else []


def sysctl(netns: str, settings: Mapping[str, str | int]) -> None:
    """Set sysctls inside the namespace."""
    pairs = [f"{key}={value}" for key, value in settings.items()]
    command([tool("sysctl"), "-q", "-w", *pairs], netns=netns)


def nft(netns: str, script: str) -> None:
    """Load an nftables script inside the namespace, atomically."""
    command([tool("nft"), "-f", "-"], netns=netns, stdin=script)


def pids(name: str) -> list[int]:
    """List every process that lives in the namespace."""
    if not exists(name):
        return []
    out = command([tool("ip"), "netns", "pids", name], check=False).stdout
    return [int(word) for word in out.split()]


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Move the calling thread into the namespace for the length of the block.

    Only this thread moves.  Make sockets inside; they keep working outside.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            there = os.open(path(name), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as missing:
            raise LabError(f"network namespace {name} does not exist") from missing
        try:
            _set_namespace(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _set_namespace(home)
    finally:
        os.close(home)


def _set_namespace(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), "setns")
