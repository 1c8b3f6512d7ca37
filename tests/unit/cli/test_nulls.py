"""A property that is null is one that is not there, as the API server has it."""

from __future__ import annotations

from typing import Any, cast

import pytest

from mercurylb.cli.documents import Document
from mercurylb.cli.inventory import read_item

NO_LINES = cast("Any", None)
PEER = {"myASN": 1, "peerASN": 2, "peerAddress": "192.0.2.1"}


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2"])
@pytest.mark.parametrize(
    "nulls",
    [
        {"password": None, "holdTime": None, "peerPort": None},
        {"nodeSelectors": None},
        {"nodeSelectors": [{"matchLabels": None}]},
        {"nodeSelectors": [{"matchLabels": {"a": None}}]},
    ],
    ids=str,
)
def test_a_null_is_an_absence(version: str, nulls: dict[str, Any]) -> None:
    """What the API server would take is readable, at any depth."""
    raw = {"apiVersion": f"metallb.io/{version}", "kind": "BGPPeer", "spec": PEER | nulls}
    raw["metadata"] = {"name": "a", "labels": None}
    item = read_item(Document(raw, "f.yaml", 1, NO_LINES, raw), raw)
    assert item.problem is None
    assert item.value is not None


def test_a_null_in_a_list_is_a_mistake() -> None:
    """The API server refuses it as well."""
    raw = {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": "a"},
        "spec": {"addresses": ["192.0.2.0/24", None]},
    }
    problem = read_item(Document(raw, "f.yaml", 1, NO_LINES, raw), raw).problem
    assert problem is not None
    assert problem.field == "spec.addresses[1]"
