"""Install the Debian packages that the lab stands on, if they are missing.

No service is started by an installation: where the machine has no ``policy-rc.d`` of its own, one
that says no is put there for the time of the run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab.build import cache
from lab.errors import CommandError, LabError
from lab.progress import say, step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIGHT_PACKAGES: Final = (
    "ca-certificates",
    "conntrack",
    "curl",
    "iproute2",
    "nftables",
    "openssl",
    "procps",
    "util-linux",
)
"""What a lab without kubelets needs."""

FULL_PACKAGES: Final = (
    *LIGHT_PACKAGES,
    "busybox-static",
    "containerd",
    "containernetworking-plugins",
    "gcc",
    "iputils-arping",
    "iputils-ping",
    "libc6-dev",
    "runc",
)
"""What a lab with real kubelets needs."""

ROUTER_PACKAGES: Final = ("frr",)
"""What a router that speaks BGP needs in addition."""

PROMETHEUS_PACKAGES: Final = ("prometheus",)
"""Prometheus itself, and promtool."""

_POLICY: Final = Path("/usr/sbin/policy-rc.d")
_LOCK_TIMEOUT_S: Final = 300
_OPTIONS: Final = ("-qq", "-y", "-o", f"DPkg::Lock::Timeout={_LOCK_TIMEOUT_S}")


def ensure_packages(packages: Sequence[str]) -> None:
    """Install those of `packages` that are missing; one index update, and only when needed."""
    if not missing_packages(packages):
        return
    with cache.lock("apt", "Debian packages"):
        missing = missing_packages(packages)
        if not missing:
            return
        _check_possible(missing)
        with (
            step(f"installing {len(missing)} Debian packages: {' '.join(missing)}"),
            _no_services(),
        ):
            if not _has_candidates(missing):
                update_index()
            install = ("install", "--no-install-recommends", *missing)
            if _apt_get(*install, check=False) != 0:
                update_index()
                _apt_get(*install)


def missing_packages(packages: Sequence[str]) -> list[str]:
    """List those of `packages` that are not installed."""
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n"]
    if shutil.which("dpkg-query") is None:
        raise LabError(
            "this machine has no dpkg: the lab installs Debian packages; "
            f"install these by hand and put them on PATH: {' '.join(packages)}"
        )
    done = subprocess.run([*query, *packages], capture_output=True, text=True, check=False)
    return parse_missing(packages, done.stdout)


def parse_missing(packages: Sequence[str], listing: str) -> list[str]:
    """List those of `packages` that the ``name status`` lines do not call installed."""
    rows = [line.split() for line in listing.splitlines()]
    installed = {row[0] for row in rows if row[1:] == ["installed"]}
    return [package for package in packages if package not in installed]


def update_index() -> None:
    """Fetch the package lists; a source that fails is only told, as others may suffice."""
    with step("apt-get update"):
        if _apt_get("update", check=False) != 0:
            say("some package sources could not be read; going on with the others")


def download_packages(packages: Sequence[str], folder: Path) -> list[Path]:
    """Download the .deb files of `packages` (not their dependencies) into `folder`."""
    if not _has_candidates(packages):
        update_index()
    argv = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *packages]
    for attempt in (1, 2):
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return sorted(folder.glob("*.deb"))
        if attempt == 1:
            update_index()
    raise CommandError(argv, done.returncode, done.stderr)


def identity(deb: Path) -> str:
    """Return name, version and architecture of a .deb file, separated by tabs."""
    form = "${Package}\t${Version}\t${Architecture}"
    argv = ["dpkg-deb", "--show", f"--showformat={form}", str(deb)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def unpack_packages(debs: Sequence[Path], root: Path) -> None:
    """Unpack .deb files into one tree, without running their scripts."""
    for deb in debs:
        argv = ["dpkg-deb", "--extract", str(deb), str(root)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CommandError(argv, done.returncode, done.stderr)


def _check_possible(missing: Sequence[str]) -> None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise LabError(
            "these Debian packages are missing and only root can install them: "
            f"run `apt-get install {' '.join(missing)}` first"
        )


def _has_candidates(packages: Sequence[str]) -> bool:
    done = subprocess.run(
        ["apt-cache", "show", "--no-all-versions", *packages],
        capture_output=True,
        text=True,
        check=False,
    )
    known = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("Package: ")}
    return known.issuperset(packages)


def _apt_get(*words: str, check: bool = True) -> int:
    argv = ["apt-get", *_OPTIONS, *words]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    done = subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if check and done.returncode != 0:
        raise CommandError(argv, done.returncode, done.stderr or done.stdout)
    return done.returncode


@contextmanager
def _no_services() -> Iterator[None]:
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
