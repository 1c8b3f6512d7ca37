"""Build the layers of the images with FRR and with frr-k8s, as the lab's pods run them.

FRR comes from Debian's packages, together with what its own scripts and its reload program need: a
shell, the usual small programs, Python. Users and paths are those that manifests written for FRR's
official image count on: user frr is 100:101, tini is /sbin/tini, and /usr/lib/frr/docker-start
starts everything that /etc/frr/daemons asks for.

frr-k8s's image has its programs at the root, and a shell and ``cp`` to copy them with.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab.build import apt, frrk8s, layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.build import archive

RECIPE: Final = 3
"""Raise by one when a rule in this file changes what the layers contain."""

PACKAGES: Final = (
    *("base-files", "bash", "frr", "frr-pythontools", "libaudit1", "libbz2-1.0", "libc-ares2"),
    *("libc6", "libcap-ng0", "libcap2", "libcrypt1", "libdb5.3", "libexpat1", "libffi8"),
    *("libgcc-s1", "libjson-c5", "liblzma5", "libpam-modules", "libpam0g", "libpcre2-8-0"),
    *("libpython3.11-minimal", "libpython3.11-stdlib", "libreadline8", "libselinux1", "libssl3"),
    *("libtinfo6", "libyang2", "python3.11", "python3.11-minimal", "tini", "zlib1g"),
)
FRR_USER: Final = 100
FRR_GROUP: Final = 101

_BUSYBOX: Final = Path("/bin/busybox")
_DROPPED: Final = (
    *("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/info"),
    *("usr/lib/python3.11/lib2to3", "usr/lib/python3.11/pydoc_data", "usr/share/bash-completion"),
)
_PASSWD: Final = f"""\
root:x:0:0:root:/root:/bin/sh
frr:x:{FRR_USER}:{FRR_GROUP}:FRR:/var/run/frr:/bin/false
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
"""
_GROUP: Final = f"""\
root:x:0:
frr:x:{FRR_GROUP}:
frrvty:x:102:frr
nogroup:x:65534:
"""
_PAM: Final = """\
auth sufficient pam_permit.so
account sufficient pam_permit.so
"""
_START: Final = """\
#!/bin/bash
# Start the watchdog, which starts the daemons and looks after them.
for kind in success warning failure; do
    eval "log_${kind}_msg() { echo \\"\\$@\\" >&2; }"
done
. /usr/lib/frr/frrcommon.sh
exec /usr/lib/frr/watchfrr $(daemon_list)
"""


def frr_layer() -> archive.Layer:
    """Return the one layer of the image with FRR."""
    return _layer("frr", [*PACKAGES, _PASSWD, _GROUP, _PAM, _START], _fill_frr)


def frrk8s_layer() -> archive.Layer:
    """Return the one layer of the image with frr-k8s."""
    return _layer("frrk8s", [frrk8s.ensure_frrk8s().name], _fill_frrk8s)


def _layer(name: str, inputs: Sequence[str], fill: Callable[[Path], None]) -> archive.Layer:
    return layers.build_layer(name, [str(RECIPE), os.uname().machine, *inputs], fill)


def _fill_frr(root: Path) -> None:
    debs = root / ".debs"
    debs.mkdir()
    apt.unpack_packages(apt.download_packages(PACKAGES, debs), root)
    _add_flock(root, debs)
    shutil.rmtree(debs)
    for name in _DROPPED:
        shutil.rmtree(root / name, ignore_errors=True)
    _add_small_programs(root, root / "bin")
    (root / "usr/bin/env").symlink_to("/bin/busybox")
    (root / "usr/bin/python3").symlink_to("python3.11")
    (root / "sbin/tini").symlink_to("/usr/bin/tini")
    start = root / "usr/lib/frr/docker-start"
    start.write_text(_START)
    start.chmod(0o755)
    (root / "etc/passwd").write_text(_PASSWD)
    (root / "etc/group").write_text(_GROUP)
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    (root / "etc/pam.d/frr").write_text(_PAM)
    (root / "var/run").rmdir()
    (root / "var/run").symlink_to("/run")
    for name in ("run/frr", "tmp", "var/lib/frr", "var/log/frr", "var/tmp/frr"):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(0o1777)


def _fill_frrk8s(root: Path) -> None:
    for name in ("bin", "etc", "tmp"):
        (root / name).mkdir()
    (root / "tmp").chmod(0o1777)
    _add_small_programs(root, root / "bin")
    (root / "etc/passwd").write_text(_PASSWD)
    (root / "etc/group").write_text(_GROUP)
    built = frrk8s.ensure_frrk8s()
    for name in (*frrk8s.PROGRAMS.values(), frrk8s.RELOADER):
        shutil.copy(built / name, root / name)


def _add_flock(root: Path, scratch: Path) -> None:
    """Add the one program of util-linux that frr-k8s's reloader needs."""
    util_linux = scratch / "util-linux"
    util_linux.mkdir()
    apt.unpack_packages(apt.download_packages(("util-linux",), util_linux), util_linux)
    shutil.copy(util_linux / "usr/bin/flock", root / "usr/bin/flock")


def _add_small_programs(root: Path, folder: Path) -> None:
    """Add busybox, under all the names that nothing else in the tree has."""
    shutil.copy(_BUSYBOX, folder / "busybox")
    listing = subprocess.run([str(_BUSYBOX), "--list"], capture_output=True, text=True, check=True)
    for name in listing.stdout.split():
        places = [root / part / name for part in ("bin", "sbin", "usr/bin", "usr/sbin")]
        if not any(place.is_symlink() or place.exists() for place in places):
            (folder / name).symlink_to("busybox")
