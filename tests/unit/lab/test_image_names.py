"""Names of images, and the names that a chart asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import chartrepo, images
from lab.build import archive

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("web", "docker.io/library/web:latest"),
        ("web:1", "docker.io/library/web:1"),
        ("someone/web:1", "docker.io/someone/web:1"),
        ("localhost/web:1", "localhost/web:1"),
        ("registry.example:5000/web", "registry.example:5000/web:latest"),
        ("images.example/a/b:0.1.0", "images.example/a/b:0.1.0"),
    ],
)
def test_a_name_is_spelled_out_as_a_runtime_does(name: str, full: str) -> None:
    """Registry, folder and tag that a short name leaves out are the usual ones."""
    assert chartrepo.full_image_name(name) == full


def test_a_missing_chart_names_no_images(tmp_path: Path) -> None:
    """Without a chart the image keeps its own name."""
    assert chartrepo.image_names(tmp_path / "helm", tmp_path / "chart") == []


def test_images_are_found_in_every_kind_of_workload() -> None:
    """Containers and init containers count, wherever the pod template stands."""
    pod = {"containers": [{"image": "a:1"}, {"image": "b:1"}], "initContainers": [{"image": "c:1"}]}
    documents = [
        {"kind": "Deployment", "spec": {"template": {"spec": pod}}},
        {"kind": "ConfigMap", "data": {"image": "not this"}},
        None,
    ]
    found = set().union(*(chartrepo._images_in(document) for document in documents))
    assert found == {"a:1", "b:1", "c:1"}


def test_a_bundle_is_written_once_per_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another name or another layer is another bundle; the same images are the same one."""
    monkeypatch.setenv("MERCURYLB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MERCURYLB_QUIET", "1")
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_text("1")
    layer = archive.pack_layer(root, tmp_path / "1.tar")
    (root / "file").write_text("2")
    other = archive.pack_layer(root, tmp_path / "2.tar")
    bundles = [
        images.write_bundle([archive.Image(("localhost/a:1",), (layer,))]),
        images.write_bundle([archive.Image(("localhost/b:1",), (layer,))]),
        images.write_bundle([archive.Image(("localhost/a:1",), (other,))]),
    ]
    assert len(set(bundles)) == 3
    assert images.write_bundle([archive.Image(("localhost/a:1",), (layer,))]) == bundles[0]


def test_the_web_application_s_manifests_use_images_of_the_lab() -> None:
    """Whatever the walk-through runs is among the images that nodes import."""
    names = {images.BUSYBOX, images.WEB, images.NGINX}
    folder = chartrepo.paths.REPOSITORY / "lab" / "manifests" / "walkthrough"
    for file in folder.glob("*.yaml"):
        for line in file.read_text().splitlines():
            if line.strip().startswith("image:"):
                assert line.split("image:", 1)[1].strip() in names, file.name
