"""The chart's life on real nodes, with three files of values, and in place of an original.

(a) the defaults, (b) a value for every key, (c) the defaults of MetalLB 0.16's chart.  Each time
the walk-through passes, `helm test` does, and what is left after `helm uninstall` is what was there
before.  Cutting a node off is part of (c) here, and of (a) in `test_install`;
MERCURYLB_WHOLE_WALK makes it part of all three.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from lab import Lab, chartrepo
from tests.lab import originals, stand_in
from tests.lab.helm_scene import CHART, READY_S, RELEASE, HelmScene, is_set, leaves

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

NODE_COUNT = 3
VALUES = Path(__file__).parent / "values"
IS_WHOLE = bool(os.environ.get("MERCURYLB_WHOLE_WALK"))
CORE = {"metallb-controller": 1, "metallb-speaker": NODE_COUNT}
FRR_K8S = {"metallb-frr-k8s": NODE_COUNT, "metallb-frr-k8s-statuscleaner": 1}


@pytest.fixture(scope="module")
def scene() -> Iterator[HelmScene]:
    """Bring up a full lab with the walk-through's application and nothing that gives addresses."""
    with Lab.full(name="helm", nodes=NODE_COUNT, has_frr=True) as lab:
        made = HelmScene(lab)
        made.prepare()
        yield made


def test_the_file_with_every_key_has_every_key() -> None:
    """No key of the chart is missing in it."""
    chart = yaml.safe_load((chartrepo.CHART / "values.yaml").read_text())
    given = yaml.safe_load((VALUES / "every-key.yaml").read_text())
    assert sorted(path for path in leaves(chart) if not is_set(path, given)) == []


@pytest.mark.rule("install-5.ready", "install-5.idle", "install-6.labels", "install-7.crds")
@pytest.mark.parametrize(
    ("name", "pods", "resilience"),
    [
        pytest.param("", CORE, IS_WHOLE, id="defaults"),
        pytest.param("every-key.yaml", CORE, IS_WHOLE, id="every-key"),
        pytest.param("metallb-defaults.yaml", CORE | FRR_K8S, True, id="metallb-defaults"),
    ],
)
def test_a_release_lives_and_leaves_nothing(
    scene: HelmScene,
    name: str,
    pods: dict[str, int],
    resilience: bool,  # noqa: FBT001  (a column of the table)
) -> None:
    """All pods are ready, the walk-through and `helm test` pass, an upgrade and its return too."""
    before = scene.inventory()
    values = VALUES / name if name else None
    scene.install(values)
    assert scene.await_pods() == pods
    scene.walk_through(resilience=resilience)
    scene.helm(f"test {RELEASE} --timeout 120s")
    file = f" --values {values}" if values else ""
    level = " --set speaker.logLevel=warn --set controller.logLevel=warn"
    scene.helm(f"upgrade {RELEASE} {CHART}{file}{level} --wait --timeout {READY_S}s")
    assert scene.await_pods() == pods
    scene.pages()
    scene.helm(f"rollback {RELEASE} 1 --wait --timeout {READY_S}s")
    assert scene.await_pods() == pods
    scene.pages()
    scene.uninstall()
    scene.lab.wait_for(
        lambda: scene.inventory() == before,
        timeout_s=40,
        what=f"nothing left; more: {sorted(scene.inventory() - before)}",
        interval_s=1.0,
    )


@pytest.mark.rule("install-7.crds")
@pytest.mark.parametrize("original", ["stand-in", "given"])
def test_an_installed_original_is_replaced_in_place_and_comes_back(
    scene: HelmScene, tmp_path: Path, original: str
) -> None:
    """`helm upgrade` makes it ours, objects and addresses stay; `helm rollback` undoes it."""
    before = scene.inventory()
    if original == "given":
        chart, words = originals.prepare(scene.lab, tmp_path)
    else:
        chart, words = stand_in.write_chart(tmp_path / "metallb"), ""
    scene.helm(f"install {RELEASE} {chart} {words} --wait --timeout {READY_S}s")
    scene.await_pods()
    out = scene.console
    out.until(
        "kubectl apply -f pool.yaml -f advertisement.yaml",
        lambda _: True,
        what="the webhooks answer",
        timeout_s=60,
    )
    kept = [("ipaddresspool", "main-pool"), ("l2advertisement", "l2-main-pool")]
    kept += [("deployment", "metallb-controller"), ("daemonset", "metallb-speaker")]
    identities = [scene.identity(*what) for what in kept]
    scene.helm(f"upgrade {RELEASE} {CHART} --reset-values --wait --timeout {READY_S}s")
    assert scene.await_pods() == CORE
    scene.walk.look()
    scene.helm(f"test {RELEASE} --timeout 120s")
    assert [scene.identity(*what) for what in kept] == identities
    scene.helm(f"rollback {RELEASE} 1 --wait --timeout {READY_S}s")
    scene.await_pods()
    assert [scene.identity(*what) for what in kept] == identities
    scene.uninstall()
    scene.lab.wait_for(
        lambda: scene.inventory() <= before | originals.LEFT_BEHIND,
        timeout_s=40,
        what=f"nothing left; more: {sorted(scene.inventory() - before)}",
        interval_s=1.0,
    )
