"""A real release of the original, if somebody gives its chart and programs from outside.

MERCURYLB_ORIGINAL_CHART is a folder with a chart, MERCURYLB_ORIGINAL_CONTROLLER and
MERCURYLB_ORIGINAL_SPEAKER are programs; images are made of them, with a C library beneath.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from lab.build import archive, runtime

if TYPE_CHECKING:
    from lab.full import FullLab

CHART: Final = os.environ.get("MERCURYLB_ORIGINAL_CHART", "")
PROGRAMS: Final = {
    "controller": os.environ.get("MERCURYLB_ORIGINAL_CONTROLLER", ""),
    "speaker": os.environ.get("MERCURYLB_ORIGINAL_SPEAKER", ""),
}
TAG: Final = "lab"
LEFT_BEHIND: Final = {"Secret metallb metallb-memberlist"}
"""What an original leaves when it is uninstalled."""


def prepare(lab: FullLab, folder: Path) -> tuple[Path, str]:
    """Give every node the images; return the chart, and the words that make it use them."""
    if not (CHART and all(PROGRAMS.values())):
        pytest.skip("no original was given: MERCURYLB_ORIGINAL_{CHART,CONTROLLER,SPEAKER}")
    words = ["--set frrk8s.enabled=false"]
    images = []
    for name, program in PROGRAMS.items():
        root = folder / name
        root.mkdir()
        shutil.copy(program, root / name)
        (root / name).chmod(0o755)
        layer = archive.pack_layer(root, folder / f"{name}.tar")
        layers = (runtime.base_layer(), layer)
        image = f"localhost/original-{name}"
        images.append(archive.Image((f"{image}:{TAG}",), layers, entrypoint=(f"/{name}",)))
        words += [f"--set {name}.image.repository={image}", f"--set {name}.image.tag={TAG}"]
    archive.write_archive(images, folder / "originals.tar")
    lab.import_images(folder / "originals.tar")
    return Path(CHART), " ".join(words)
