"""The papers of an image: what it consists of (CycloneDX) and where that came from (in-toto, SLSA).

Both are made from what the build itself took: the list of Debian packages beside the first layer,
pip's report beside the second. Nothing in them depends on the time or the machine, so equal images
have equal papers.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from lab.build import archive, rootfs, runtime

if TYPE_CHECKING:
    from pathlib import Path

BOM_FORMAT: Final = "1.6"
STATEMENT: Final = "https://in-toto.io/Statement/v1"
PROVENANCE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "urn:mercurylb:image:1"
BUILDER: Final = "urn:mercurylb:lab.build.runtime"
_SPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, BUILD_TYPE)


@dataclass(frozen=True, order=True)
class Part:
    """A package in the image: where it is known, its name and version, the digest of its file."""

    kind: str
    name: str
    version: str
    sha256: str
    architecture: str = ""

    @property
    def purl(self) -> str:
        """Return the package URL."""
        version = quote(self.version, safe="")
        if self.kind == "deb":
            return f"pkg:deb/debian/{self.name}@{version}?arch={self.architecture}"
        return f"pkg:pypi/{self.name}@{version}"


def parts(base: Path, dependencies: Path) -> list[Part]:
    """Read what the two layers' folders say they were made of."""
    found = []
    for line in (base / rootfs.INSTALLED).read_text().splitlines():
        name, version, architecture, digest = line.split("\t")
        found.append(Part("deb", name, version, digest, architecture))
    for item in json.loads((dependencies / rootfs.REPORT).read_text())["install"]:
        about = item["metadata"]
        digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
        found.append(Part("pypi", about["name"].lower(), about["version"], digest))
    return sorted(found)


def of_image(image: archive.Image) -> list[Part]:
    """Read what our image's layers were made of."""
    return parts(image.layers[0].tar.parent, image.layers[1].tar.parent)


def bill_of_materials(image: archive.Image, found: list[Part], version: str) -> dict[str, Any]:
    """Say what the image consists of."""
    ours = f"pkg:generic/mercurylb@{version}"
    components = [
        {
            "type": "library",
            "bom-ref": part.purl,
            "name": part.name,
            "version": part.version,
            "purl": part.purl,
            "hashes": [{"alg": "SHA-256", "content": part.sha256}],
        }
        for part in found
    ]
    refs = [part.purl for part in found]
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{BOM_FORMAT}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": BOM_FORMAT,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, config_digest(image))}",
        "version": 1,
        "metadata": {
            "timestamp": archive.EPOCH,
            "component": {
                "type": "container",
                "bom-ref": ours,
                "name": "mercurylb",
                "version": version,
                "purl": ours,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "hashes": [{"alg": "SHA-256", "content": config_digest(image)}],
            },
        },
        "components": components,
        "dependencies": [{"ref": ours, "dependsOn": refs}, *({"ref": ref} for ref in refs)],
    }


def provenance(image: archive.Image, found: list[Part], tar_digest: str) -> dict[str, Any]:
    """Say what the image was made from, and how."""
    sources = {
        "src/mercurylb": runtime.source_digest(),
        rootfs.LOCK.name: archive.file_digest(rootfs.LOCK),
    }
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": name, "digest": {"sha256": config_digest(image)}} for name in image.names
        ]
        + [{"name": "docker-archive", "digest": {"sha256": tar_digest}}],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"names": list(image.names)},
                "internalParameters": {
                    "architecture": image.architecture,
                    "recipe": rootfs.RECIPE,
                    "python": rootfs.PYTHON,
                },
                "resolvedDependencies": [
                    *({"name": k, "digest": {"sha256": v}} for k, v in sources.items()),
                    *({"uri": p.purl, "digest": {"sha256": p.sha256}} for p in found),
                ],
            },
            "runDetails": {"builder": {"id": BUILDER}},
        },
    }


def config_digest(image: archive.Image) -> str:
    """Return the image's own digest, that of its configuration."""
    return hashlib.sha256(archive.encode(archive.image_config(image))).hexdigest()
