"""`python -m lab image`: our image as files, with its size and its papers.

Written are a docker-archive (`podman load`, `docker load`, `ctr image import`), a CycloneDX bill of
materials, a provenance statement in the form of in-toto and SLSA, and SHA256SUMS over all three.
With ``--twice`` everything is built a second time from nothing and must be equal in every byte.
"""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab import images, paths
from lab.build import archive, papers
from lab.errors import LabError
from lab.progress import say, step

if TYPE_CHECKING:
    import argparse

BUDGET_MB: Final = 90.0
MB: Final = 1_000_000


@dataclass(frozen=True)
class Files:
    """What a build leaves."""

    image: Path
    bill: Path
    provenance: Path
    sums: Path

    def all(self) -> tuple[Path, ...]:
        """List them."""
        return (self.image, self.bill, self.provenance, self.sums)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.set_defaults(run=run)
    default = paths.REPOSITORY / "build" / "image"
    parser.add_argument("--output", type=Path, default=default, metavar="FOLDER")
    parser.add_argument("--tag", action="append", metavar="NAME", help="instead of localhost/…")
    parser.add_argument("--twice", action="store_true", help="build it again and compare")


def run(given: argparse.Namespace) -> int:
    """Build, measure, tell; 1 when the image is larger than it may be."""
    image = images.our_image(given.tag or ())
    with step(f"writing {given.output}"):
        files = write(image, given.output)
    if given.twice:
        check_twice(image, files)
    for layer, what in zip(image.layers, ("interpreter", "dependencies", "code"), strict=True):
        print(f"{what:13} {size_mb([layer]):6.1f} MB")
    whole = size_mb(image.layers)
    met = whole <= BUDGET_MB
    verdict = "met" if met else "MISSED"
    print(f"uncompressed  {whole:6.1f} MB (at most {BUDGET_MB:g} MB: {verdict})")
    print(f"digest        sha256:{papers.config_digest(image)}")
    for file in files.all():
        print(f"{file.stat().st_size / MB:9.2f} MB  {file}")
    return 0 if met else 1


def write(image: archive.Image, folder: Path) -> Files:
    """Write the image and its papers into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    version = images.our_version()
    stem = f"mercurylb-{version}-{image.architecture}"
    files = Files(
        folder / f"{stem}.tar",
        folder / f"{stem}.cdx.json",
        folder / f"{stem}.provenance.json",
        folder / "SHA256SUMS",
    )
    archive.write_archive([image], files.image)
    found = papers.of_image(image)
    digest = archive.file_digest(files.image)
    _write_json(files.bill, papers.bill_of_materials(image, found, version))
    _write_json(files.provenance, papers.provenance(image, found, digest))
    sums = [f"{archive.file_digest(file)}  {file.name}\n" for file in files.all()[:-1]]
    files.sums.write_text("".join(sums))
    return files


def check_twice(image: archive.Image, files: Files) -> None:
    """Build everything anew, in an empty cache, and raise LabError where it is not the same."""
    with tempfile.TemporaryDirectory(prefix="mercurylb-again-") as name:
        before = os.environ.get("MERCURYLB_CACHE")
        os.environ["MERCURYLB_CACHE"] = str(Path(name) / "cache")
        try:
            again = write(images.our_image(image.names), Path(name) / "image")
        finally:
            if before is None:
                del os.environ["MERCURYLB_CACHE"]
            else:
                os.environ["MERCURYLB_CACHE"] = before
        for first, second in zip(files.all(), again.all(), strict=True):
            if first.read_bytes() != second.read_bytes():
                raise LabError(f"{first.name} differs when it is built a second time")
    say("built a second time from nothing: equal in every byte")


def size_mb(layers: tuple[archive.Layer, ...] | list[archive.Layer]) -> float:
    """Return how much the files of `layers` take when unpacked, in MB of 1 000 000 bytes."""
    total = 0
    for layer in layers:
        with tarfile.open(layer.tar) as tar:
            total += sum(entry.size for entry in tar)
    return total / MB


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
