"""Write container images without an image builder: layers and docker-archives as plain tar files.

A docker-archive is a tar of ``<digest>/layer.tar`` files, one ``<digest>.json`` configuration per
image and a ``manifest.json`` that names them. One archive may hold several images, and images may
share layers, which are then stored once.

Everything written here is reproducible: the same input tree gives the same bytes. Owner, group and
time stamps are zeroed and names are sorted; only the permission bits are taken from the disk.

It does not fetch, run or unpack images.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

EPOCH = "1970-01-01T00:00:00Z"
CHUNK_BYTES = 1 << 20
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Layer:
    """One file-system layer: an uncompressed tar and the SHA-256 of its bytes in hex."""

    tar: Path
    digest: str


@dataclass(frozen=True)
class Image:
    """What an image consists of; `names` are full references such as ``localhost/web:1``."""

    names: tuple[str, ...]
    layers: tuple[Layer, ...]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = "/"
    labels: Mapping[str, str] = field(default_factory=dict)
    architecture: str = ARCHITECTURES.get(os.uname().machine, os.uname().machine)


def pack_layer(root: Path, target: Path) -> Layer:
    """Pack the tree below `root` into the tar `target`, replacing it at once when complete.

    Sockets, devices and fifos are left out; hard links become separate files.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in _walk(root):
            _add(tar, path, path.relative_to(root).as_posix())
    layer = Layer(target, file_digest(partial))
    partial.rename(target)
    return layer


def load_layer(tar: Path) -> Layer:
    """Describe a layer that was packed earlier."""
    return Layer(tar, file_digest(tar))


def write_archive(images: Sequence[Image], target: Path) -> None:
    """Write `images` as one docker-archive, replacing `target` at once when complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as tar:
        for layer in _distinct_layers(images):
            entry = _file_entry(f"{layer.digest}/layer.tar", layer.tar.stat().st_size, 0o644)
            with layer.tar.open("rb") as stream:
                tar.addfile(entry, stream)
        manifest = []
        for image in images:
            config = encode(image_config(image))
            config_name = f"{hashlib.sha256(config).hexdigest()}.json"
            _add_bytes(tar, config_name, config)
            manifest.append(
                {
                    "Config": config_name,
                    "RepoTags": list(image.names),
                    "Layers": [f"{layer.digest}/layer.tar" for layer in image.layers],
                }
            )
        _add_bytes(tar, "manifest.json", encode(manifest))
    partial.rename(target)


def image_config(image: Image) -> dict[str, Any]:
    """Build the OCI image configuration of `image`."""
    config: dict[str, Any] = {
        "Env": [f"{name}={value}" for name, value in sorted(image.env.items())],
        "Entrypoint": list(image.entrypoint) or None,
        "Cmd": list(image.command) or None,
        "WorkingDir": image.workdir,
        "User": image.user,
        "Labels": dict(sorted(image.labels.items())),
    }
    return {
        "architecture": image.architecture,
        "os": "linux",
        "created": EPOCH,
        "config": {key: value for key, value in config.items() if value},
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{layer.digest}" for layer in image.layers],
        },
        "history": [{"created": EPOCH} for _ in image.layers],
    }


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def tree_digest(roots: Iterable[Path], *, suffixes: tuple[str, ...] = ()) -> str:
    """Return one digest over names and contents of all files below `roots`.

    With `suffixes` only files that end so are counted. A root may be a file.
    """
    digest = hashlib.sha256()
    for root in roots:
        files = [root] if root.is_file() else [p for p in _walk(root) if p.is_file()]
        for path in files:
            if suffixes and not path.name.endswith(suffixes):
                continue
            name = path.relative_to(root).as_posix()
            digest.update(f"{name}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()


def _walk(root: Path) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    status = path.lstat()
    mode = stat.S_IMODE(status.st_mode)
    entry = _file_entry(name, 0, mode)
    if stat.S_ISLNK(status.st_mode):
        entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        tar.addfile(entry)
    elif stat.S_ISDIR(status.st_mode):
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    elif stat.S_ISREG(status.st_mode):
        entry.size = status.st_size
        with path.open("rb") as stream:
            tar.addfile(entry, stream)


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    tar.addfile(_file_entry(name, len(content), 0o644), io.BytesIO(content))


def _file_entry(name: str, size_bytes: int, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime, entry.uid, entry.gid = size_bytes, mode, 0, 0, 0
    return entry


def _distinct_layers(images: Iterable[Image]) -> list[Layer]:
    return list({layer.digest: layer for image in images for layer in image.layers}.values())


def encode(value: object) -> bytes:
    """Write JSON in the one way that gives equal digests."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
