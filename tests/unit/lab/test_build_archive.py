"""Layers and docker-archives: reproducible, complete, and described as the format wants."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from lab.build import archive

if TYPE_CHECKING:
    from pathlib import Path


def make_tree(root: Path, *, content: str = "hello") -> Path:
    """Make a small tree with every kind of entry a layer may hold."""
    (root / "bin").mkdir(parents=True)
    program = root / "bin" / "tool"
    program.write_text(content)
    program.chmod(0o755)
    (root / "bin" / "alias").symlink_to("tool")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    return root


def test_a_layer_is_reproducible(tmp_path: Path) -> None:
    """Two trees with the same names, contents and modes give the same bytes, whatever their age."""
    one, two = make_tree(tmp_path / "one"), make_tree(tmp_path / "two")
    os.utime(two / "bin" / "tool", (1, 1))
    first = archive.pack_layer(one, tmp_path / "1.tar")
    second = archive.pack_layer(two, tmp_path / "2.tar")
    assert first.digest == second.digest
    assert first.tar.read_bytes() == second.tar.read_bytes()


def test_a_layer_s_digest_is_that_of_its_bytes(tmp_path: Path) -> None:
    """The digest is what a runtime computes over the uncompressed tar."""
    layer = archive.pack_layer(make_tree(tmp_path / "root"), tmp_path / "layer.tar")
    assert layer.digest == hashlib.sha256(layer.tar.read_bytes()).hexdigest()
    assert archive.load_layer(layer.tar) == layer


def test_a_layer_keeps_modes_and_links_and_drops_owners(tmp_path: Path) -> None:
    """Permission bits and link targets survive; owner, group and time are zero; fifos are left."""
    root = make_tree(tmp_path / "root")
    os.mkfifo(root / "fifo")
    layer = archive.pack_layer(root, tmp_path / "layer.tar")
    with tarfile.open(layer.tar) as tar:
        entries = {entry.name: entry for entry in tar.getmembers()}
    assert sorted(entries) == ["bin", "bin/alias", "bin/tool", "tmp"]
    assert entries["bin/tool"].mode == 0o755
    assert entries["tmp"].mode == 0o1777
    assert entries["bin/alias"].linkname == "tool"
    assert {(e.uid, e.gid, e.mtime) for e in entries.values()} == {(0, 0, 0)}


def test_nothing_half_done_is_left_when_packing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target appears only when it is complete."""

    def fail(_path: Path) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(archive, "file_digest", fail)
    with pytest.raises(OSError, match="disk full"):
        archive.pack_layer(make_tree(tmp_path / "root"), tmp_path / "layer.tar")
    assert not (tmp_path / "layer.tar").exists()


def test_an_archive_shares_layers_between_its_images(tmp_path: Path) -> None:
    """Each layer is stored once, and every file the manifest names is in the archive."""
    base = archive.pack_layer(make_tree(tmp_path / "a"), tmp_path / "a.tar")
    own = archive.pack_layer(make_tree(tmp_path / "b", content="other"), tmp_path / "b.tar")
    images = [
        archive.Image(("localhost/one:1",), (base,)),
        archive.Image(("localhost/two:1", "localhost/two:latest"), (base, own)),
    ]
    archive.write_archive(images, tmp_path / "images.tar")
    with tarfile.open(tmp_path / "images.tar") as tar:
        names = tar.getnames()
        manifest = json.loads(read(tar, "manifest.json"))
        configs = [json.loads(read(tar, entry["Config"])) for entry in manifest]
    assert len(names) == len(set(names))
    assert [entry["RepoTags"] for entry in manifest] == [list(image.names) for image in images]
    assert {layer for entry in manifest for layer in entry["Layers"]} <= set(names)
    assert configs[1]["rootfs"]["diff_ids"] == [f"sha256:{base.digest}", f"sha256:{own.digest}"]


def test_an_archive_is_reproducible(tmp_path: Path) -> None:
    """The same images give the same bytes."""
    layer = archive.pack_layer(make_tree(tmp_path / "root"), tmp_path / "layer.tar")
    images = [archive.Image(("localhost/one:1",), (layer,), env={"B": "2", "A": "1"})]
    archive.write_archive(images, tmp_path / "1.tar")
    archive.write_archive(images, tmp_path / "2.tar")
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


def test_a_configuration_says_how_to_run_the_image() -> None:
    """Program, environment and user are what the image was described with; empty ones are left."""
    image = archive.Image(
        ("localhost/one:1",),
        (archive.Layer(tar=None, digest="ab"),),  # type: ignore[arg-type]
        command=("/bin/tool", "-v"),
        env={"B": "2", "A": "1"},
        user="65534:65534",
    )
    config = archive.image_config(image)
    assert config["config"] == {
        "Cmd": ["/bin/tool", "-v"],
        "Env": ["A=1", "B=2"],
        "User": "65534:65534",
        "WorkingDir": "/",
    }
    assert config["os"] == "linux"


def test_a_tree_digest_follows_names_and_contents(tmp_path: Path) -> None:
    """A changed byte or name changes the digest; a file with another ending does not."""
    root = tmp_path / "src"
    root.mkdir()
    (root / "a.py").write_text("1")
    before = archive.tree_digest([root], suffixes=(".py",))
    (root / "a.pyc").write_text("cache")
    assert archive.tree_digest([root], suffixes=(".py",)) == before
    (root / "a.py").write_text("2")
    changed = archive.tree_digest([root], suffixes=(".py",))
    (root / "a.py").rename(root / "b.py")
    assert len({before, changed, archive.tree_digest([root], suffixes=(".py",))}) == 3


def read(tar: tarfile.TarFile, name: str) -> bytes:
    """Read a member whole."""
    stream = tar.extractfile(name)
    assert stream is not None
    return stream.read()
