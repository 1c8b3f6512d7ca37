"""Programs of our image in real containers of runc, on a host of a light lab.

A container has the image's files as its read-only root, its own mounts, processes and host name,
and the network of the lab's host it is started on, as a pod with ``hostNetwork`` has its node's.
It gets the token of a service account as a kubelet would mount it. What it may do is said to the
letter: its user, and its capabilities.

The launcher that `prepare` writes is a program like any other to the lab: `Site.start` runs it.
"""

from __future__ import annotations

import json
import os
import shlex
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lab import controlplane, images, netns, paths
from lab.build import apt, archive, cache

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lab.light import LightLab

ACCOUNT_FOLDER: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
STARTED: Final = "container.started"
"""Printed with the time, in seconds, at the moment at which the runtime is told to start."""
_MASKED: Final = ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug")
_READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True)
class Container:
    """What runs, and what it may."""

    args: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    user: int = 0
    capabilities: tuple[str, ...] = ()
    """Without the prefix ``CAP_``, as a pod's securityContext has them."""
    account: str = ""
    """The service account, in the lab's namespace of our programs."""
    mounts: Mapping[str, str] = field(default_factory=dict)
    """Folders of this machine by where they appear in the container, read-only."""


def prepare(lab: LightLab, name: str, container: Container, namespace: str = "metallb") -> Path:
    """Write a bundle and return the program that starts it; one container at a time per name."""
    apt.ensure_packages(("runc",))
    bundle = lab.site.folder("containers", name)
    mounts = dict(container.mounts)
    env = dict(container.env)
    if container.account:
        mounts[ACCOUNT_FOLDER] = str(_account(lab, bundle, container.account, namespace))
        env["KUBERNETES_SERVICE_HOST"] = lab.site.plan.control_plane.ipv4
        env["KUBERNETES_SERVICE_PORT"] = str(controlplane.API_PORT)
    image = images.our_image()
    config = runtime_config(container, {**image.env, **env}, mounts)
    (bundle / "config.json").write_text(json.dumps(config, indent=1))
    launcher = bundle / "start"
    launcher.write_text(_script(bundle, trees(image), f"{lab.site.name}-{name}"))
    launcher.chmod(0o755)
    return launcher


def trees(image: archive.Image) -> list[Path]:
    """Return the image's layers unpacked, the lowest first."""
    return [_tree(layer) for layer in image.layers]


def runtime_config(
    container: Container, env: Mapping[str, str], mounts: Mapping[str, str]
) -> dict[str, Any]:
    """Return the configuration of the runtime for a container."""
    held = [f"CAP_{name}" for name in container.capabilities]
    binds = [
        {
            "destination": target,
            "type": "bind",
            "source": source,
            "options": ["rbind", "ro", "nosuid", "nodev"],
        }
        for target, source in mounts.items()
    ]
    quiet = ["nosuid", "noexec", "nodev"]
    return {
        "ociVersion": "1.0.2",
        "hostname": "container",
        "process": {
            "args": list(container.args),
            "env": [f"{key}={value}" for key, value in sorted(env.items())],
            "cwd": "/",
            "user": {"uid": container.user, "gid": container.user},
            "capabilities": {"bounding": held, "effective": held, "permitted": held},
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": quiet},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
            },
            {
                "destination": "/sys",
                "type": "sysfs",
                "source": "sysfs",
                "options": [*quiet, "ro"],
            },
            *binds,
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
            "maskedPaths": list(_MASKED),
            "readonlyPaths": list(_READ_ONLY),
        },
    }


def _account(lab: LightLab, bundle: Path, account: str, namespace: str) -> Path:
    """Write what a kubelet mounts of a service account."""
    folder = bundle / "account"
    folder.mkdir(exist_ok=True)
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    (folder / "token").write_text(lab.api.post(path, request)["status"]["token"])
    (folder / "namespace").write_text(namespace)
    (folder / "ca.crt").write_text((controlplane.pki_dir(lab.site) / "ca.crt").read_text())
    return folder


def _script(bundle: Path, lower: list[Path], name: str) -> str:
    """Return the launcher: mounts that end with it, then the runtime in its place."""
    folders = ":".join(str(tree) for tree in reversed(lower))
    scratch = bundle / "scratch"
    options = f"lowerdir={folders},upperdir={scratch}/upper,workdir={scratch}/work"
    steps = f"""
mkdir -p {scratch} {bundle}/rootfs
mount -t tmpfs tmpfs {scratch}
mkdir {scratch}/upper {scratch}/work
mount -t overlay overlay -o {options} {bundle}/rootfs
{netns.tool("runc")} --root {bundle}/state delete --force {name} 2>/dev/null || true
date -u '+{{"event":"{STARTED}","level":"info","started_s":%s.%N,"ts":"%FT%T.%3NZ"}}'
exec {netns.tool("runc")} --root {bundle}/state run --bundle {bundle} {name}
"""
    unshare = netns.tool("unshare")
    return f"#!/bin/sh\nexec {unshare} --mount --propagation slave sh -ec {shlex.quote(steps)}\n"


def _tree(layer: archive.Layer) -> Path:
    folder = paths.cache_root() / "images" / f"tree-{layer.digest[: cache.KEY_LENGTH]}"

    def fill(root: Path) -> None:
        with tarfile.open(layer.tar) as tar:
            tar.extractall(root, filter="fully_trusted")
        os.utime(root)
        cache.drop_older(folder, "tree-[0-9a-f]*", keep=9)

    return cache.build_once(folder, "unpacking an image layer", fill)
