"""The corpus of broken clusters, as tests load it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mercurylb.cli.documents import parse_documents
from mercurylb.cli.gathering import gather
from mercurylb.cli.inventory import take_inventory

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


def snapshot(name: str) -> Snapshot:
    """Read a cluster: its own objects, and the common ones that it does not replace or lack."""
    documents = [
        document
        for path in (CORPUS / name / "cluster.yaml", CORPUS / "common.yaml")
        for document in parse_documents(path.read_bytes(), source=str(path))
    ]
    inventory = take_inventory(documents)
    without, seen = set(expected(name).without), set[str]()
    for items in (inventory.items, inventory.others):
        kept = []
        for item in items:
            if item.title not in seen | without:
                kept.append(item)
            seen.add(item.title)
        items[:] = kept
    return gather(inventory)
