"""What the chart looks up in a cluster before it changes anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab import binaries
from lab.build.helm import ensure_helm
from lab.chartrepo import CHART
from lab.console import Console

if TYPE_CHECKING:
    from lab.light import LightLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

RELEASE = "kept"
DEFINITION = CHART / "charts" / "frr-k8s" / "files" / "crd" / "frrconfigurations.yaml"
NAME = "frrconfigurations.frrk8s.metallb.io"


def configuration(name: str) -> dict[str, object]:
    """Give an FRRConfiguration."""
    metadata = {"name": name, "namespace": RELEASE}
    return {
        "apiVersion": "frrk8s.metallb.io/v1beta1",
        "kind": "FRRConfiguration",
        "metadata": metadata,
        "spec": {"bgp": {"routers": [{"asn": 64512}]}},
    }


def test_what_users_told_frr_themselves_is_not_lost(bare_lab: LightLab) -> None:
    """A release that would take FRRConfigurations with it is refused, and names them."""
    lab = bare_lab
    console = Console(lab.site, binaries.kube_dir(), ensure_helm())
    lab.kubectl("create", "namespace", RELEASE)
    lab.apply(DEFINITION)
    lab.kubectl("wait", "--for=condition=Established", f"crd/{NAME}", "--timeout=60s")
    upgrade = (
        f"helm upgrade --install {RELEASE} {CHART} -n {RELEASE} --dry-run=server "
        "--set crds.enabled=false"
    )
    try:
        lab.apply([configuration("metallb-n1"), configuration("own")])
        console.quiet(upgrade)
        lab.kubectl(
            *("annotate", "crd", NAME, f"meta.helm.sh/release-name={RELEASE}"),
            f"meta.helm.sh/release-namespace={RELEASE}",
        )
        told = console.fails(upgrade)
        assert f"with them your FRRConfigurations {RELEASE}/own;" in told
        lab.kubectl("-n", RELEASE, "delete", "frrconfiguration", "own")
        console.quiet(upgrade)
    finally:
        lab.kubectl("delete", f"crd/{NAME}", f"namespace/{RELEASE}")
