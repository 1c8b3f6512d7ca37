"""A snapshot from a file or from the cluster, for the commands that decide with one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mercurylb.cli.documents import Document
from mercurylb.cli.files import read_documents
from mercurylb.cli.gathering import MARKER, gather
from mercurylb.cli.inventory import Inventory, take_inventory
from mercurylb.cli.lines import Lines
from mercurylb.cli.options import say, telling

if TYPE_CHECKING:
    from mercurylb.plan.snapshot import Snapshot


def load_inventory(file: str | None) -> tuple[Inventory, bool]:
    """Give the objects of a file or of the cluster, and whether pods were looked for.

    Raises KubeError or `UnreadableDocument`.
    """
    if file is None:
        from mercurylb.cli.cluster import fetch  # noqa: PLC0415 (files need no HTTP client)

        with telling("reading the cluster"):
            cluster = asyncio.run(fetch())
        for warning in cluster.warnings:
            say(f"warning: {warning}", "warning", to_stderr=True)
        lines = Lines()
        documents = [Document(item, "the cluster", 0, lines, None) for item in cluster.objects]
        return take_inventory(documents), not any("pods" in each for each in cluster.warnings)
    with telling(f"reading {file}"):
        documents = read_documents(file)
        return take_inventory(documents), any(_is_ours(document) for document in documents)


def load_snapshot(file: str | None, *, namespace: str, lb_class: str | None) -> Snapshot:
    """Give the snapshot that decisions are made from."""
    inventory, has_pods = load_inventory(file)
    return gather(inventory, namespace=namespace, lb_class=lb_class, has_pods=has_pods)


def _is_ours(document: Document) -> bool:
    value = document.value
    metadata = value.get("metadata") if isinstance(value, dict) else None
    return isinstance(metadata, dict) and MARKER in metadata
