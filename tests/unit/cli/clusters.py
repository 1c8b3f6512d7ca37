"""The corpus of broken clusters, as tests load it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mercurylb.cli.documents import parse_documents
from mercurylb.cli.gathering import gather
from mercurylb.cli.inventory import key_of, take_inventory
from mercurylb.cli.packing import pack

if TYPE_CHECKING:
    from mercurylb.plan.snapshot import Snapshot

CORPUS = Path(__file__).resolve().parents[2] / "corpus"
NAMES = sorted(path.parent.name for path in CORPUS.glob("*/cluster.yaml"))


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `explain` is to find in one cluster."""

    story: str
    service: str
    cause: str
    words: list[str]
    never: list[str] = []
    without: list[str] = []


def expected(name: str) -> Expected:
    """Read what is expected of a cluster."""
    return msgspec.convert(tomllib.loads((CORPUS / name / "expected.toml").read_text()), Expected)


def objects(name: str) -> list[dict[str, Any]]:
    """Read a cluster: its own objects, and the common ones that it does not replace or lack."""
    known = set(expected(name).without)
    found = []
    for path in (CORPUS / name / "cluster.yaml", CORPUS / "common.yaml"):
        for document in parse_documents(path.read_bytes(), source=str(path)):
            raw: Any = document.value
            title = f"{raw['kind']} {key_of(raw)}"
            if title not in known:
                found.append(raw)
            known.add(title)
    return found


def snapshot_of(raws: list[dict[str, Any]]) -> Snapshot:
    """Make a snapshot of objects."""
    return gather(take_inventory(parse_documents(pack(raws, is_yaml=False), source="memory")))


def snapshot(name: str) -> Snapshot:
    """Make a snapshot of a cluster of the corpus."""
    return snapshot_of(objects(name))
