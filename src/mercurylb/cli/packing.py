"""A list of objects as the text of a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mercurylb import __version__
from mercurylb.cli.gathering import MARKER
from mercurylb.cli.manifest import to_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence


def pack(objects: Sequence[dict[str, Any]], *, is_yaml: bool) -> bytes:
    """Give a `v1 List`; what made it stands in its metadata."""
    value = {
        "apiVersion": "v1",
        "kind": "List",
        "metadata": {MARKER: {"version": __version__}},
        "items": list(objects),
    }
    if is_yaml:
        return to_yaml(value).encode()
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
