"""The kinds of frr-k8s as we install them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

GROUP: Final = "frrk8s.metallb.io"
FOLDER: Final = Path(__file__).resolve().parents[2] / "config/frr-k8s-daemon/crd"


def definition(plural: str) -> dict[str, Any]:
    """Read the definition of a kind."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{plural}.yaml").read_text())
    return found


DEFINITIONS: Final = (definition("frrconfigurations"), definition("bgpsessionstates"))
