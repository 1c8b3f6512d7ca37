"""The one list of component versions the lab is made of.

Caches are keyed by these, so changing one here rebuilds exactly what depends on it.
"""

from __future__ import annotations

from typing import Final

KUBERNETES: Final = "1.36.3"
HELM: Final = "3.17.3"
HELM_WHEEL: Final = "3.17.3.post1"
COREDNS: Final = "1.14.6"
FRRK8S: Final = "0.0.26"

ALL: Final[dict[str, str]] = {
    "kubernetes": KUBERNETES,
    "helm": HELM,
    "coredns": COREDNS,
    "frr-k8s": FRRK8S,
}
