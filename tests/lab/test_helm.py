"""The chart's life on real nodes, with several files of values, and in place of an original.

(a) the defaults, (b) a value for every key, in two files, as some exclude each other, (c) the
defaults of MetalLB 0.16's chart.  Each time the walk-through passes, a node is cut off in it,
`helm test` passes, and what is left after `helm uninstall` is what was there before.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from lab import Lab, chartrepo
from tests.lab import originals, stand_in
from tests.lab import value_files as files
from tests.lab.helm_scene import BY_HAND, CHART, READY_S, RELEASE, HelmScene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root"),
]

NODE_COUNT = 3
CORE: Final = {"metallb-controller": 1, "metallb-speaker": NODE_COUNT}
QUIETER: Final = "--set speaker.logLevel=warn --set controller.logLevel=warn"
OWN: Final = (
    "rbac.create crds.enabled controller.serviceAccount.create speaker.serviceAccount.create"
)
OWN_OF_FRR_K8S: Final = "rbac.create crds.enabled frrk8s.serviceAccount.create"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A file of values, the pods it makes, and the values of an upgrade.

    What somebody makes by hand is what the chart, with more values, would make of some kinds.
    """

    values: Path | None = None
    pods: dict[str, int]
    controller: str = "metallb-controller"
    service_class: str = ""
    upgrade: str = ""
    hand_values: str = ""
    hand_kinds: set[str] = field(default_factory=set)

    @property
    def words(self) -> str:
        """What tells Helm of the file."""
        return f"--values {self.values}" if self.values else ""


def made_anyway() -> str:
    """Give the words that make the chart render what every-key-more.yaml leaves to others."""
    keys = OWN.split() + [f"frr-k8s.{key}" for key in OWN_OF_FRR_K8S.split()]
    return " ".join(f"--set {key}=true" for key in keys)


CASES: Final = {
    "defaults": Case(
        pods=CORE,
        upgrade=f"--values {files.SWITCHED_OFF}",
        hand_values="--set frrk8s.enabled=true",
        hand_kinds={"CustomResourceDefinition"},
    ),
    "every-key": Case(
        values=files.EVERY_KEY,
        pods={"lb-controller": 2, "lb-speaker": NODE_COUNT},
        controller="lb-controller",
    ),
    "every-key-more": Case(
        values=files.MORE,
        pods=CORE | {"router": NODE_COUNT, "router-statuscleaner": 1},
        service_class="example.com/lb",
        hand_values=made_anyway(),
        hand_kinds=BY_HAND,
    ),
    "metallb-defaults": Case(
        values=files.METALLB_DEFAULTS,
        upgrade=f"--values {files.METALLB_DEFAULTS} --set controller.logLevel=warn",
        pods=CORE | {"metallb-frr-k8s": NODE_COUNT, "metallb-frr-k8s-statuscleaner": 1},
    ),
}


@pytest.fixture(scope="module")
def scene() -> Iterator[HelmScene]:
    """Bring up a full lab with the walk-through's application and nothing that gives addresses."""
    with Lab.full(name="helm", nodes=NODE_COUNT, has_frr=True) as lab:
        made = HelmScene(lab)
        made.prepare()
        yield made


def test_the_file_with_every_key_has_every_key() -> None:
    """No key of the chart is missing in it."""
    missing = object()
    given = files.load(files.EVERY_KEY)
    own = files.leaves(files.load(chartrepo.CHART / "values.yaml"))
    assert [key for key in own if files.value_at(key, given, missing) is missing] == []


def test_the_files_with_every_key_give_each_another_value() -> None:
    """A key that has its default in all of them is one of those that have to, with a reason."""
    given = [files.load(file) for file in (files.EVERY_KEY, files.MORE, files.SWITCHED_OFF)]
    own = files.leaves(files.defaults())
    same = {
        key
        for key, default in own.items()
        if all(files.value_at(key, tree, default) == default for tree in given)
    }
    assert same == set(files.AS_BY_DEFAULT)


@pytest.mark.rule("install-5.ready", "install-5.idle", "install-6.labels", "install-7.crds")
@pytest.mark.parametrize("name", CASES)
def test_a_release_lives_and_leaves_nothing(scene: HelmScene, name: str) -> None:
    """All pods are ready, the walk-through and `helm test` pass, an upgrade and its return too."""
    case = CASES[name]
    before = scene.inventory()
    scene.fresh_service(case.service_class)
    with ExitStack() as stack:
        if case.hand_kinds:
            stack.enter_context(scene.made_by_hand(case.words, case.hand_values, case.hand_kinds))
        scene.install(case.words)
        assert scene.await_pods() == case.pods
        scene.walk_through(case.controller)
        scene.verify()
        words = case.upgrade or f"{case.words} {QUIETER}"
        scene.helm(f"upgrade {RELEASE} {CHART} {words} --wait --timeout {READY_S}s")
        assert scene.await_pods() == case.pods
        scene.pages()
        scene.helm(f"rollback {RELEASE} 1 --wait --timeout {READY_S}s")
        assert scene.await_pods() == case.pods
        scene.pages()
        scene.uninstall()
    await_nothing_more(scene, before)


@pytest.mark.rule("install-7.crds")
@pytest.mark.parametrize("original", ["stand-in", "given"])
def test_an_installed_original_is_replaced_in_place_and_comes_back(
    scene: HelmScene, tmp_path: Path, original: str
) -> None:
    """`helm upgrade` makes it ours, objects and addresses stay; `helm rollback` undoes it.

    A given original serves the page before and afterwards.
    """
    is_given = original == "given"
    before = scene.inventory()
    if is_given:
        chart, words = originals.prepare(scene.lab, tmp_path)
    else:
        chart, words = stand_in.write_chart(tmp_path / "metallb"), ""
    scene.fresh_service()
    scene.helm(f"install {RELEASE} {chart} {words} --wait --timeout {READY_S}s")
    assert scene.await_pods() == CORE
    scene.console.until(
        "kubectl apply -f pool.yaml -f advertisement.yaml",
        lambda _: True,
        what="the webhooks answer",
        timeout_s=60,
    )
    if is_given:
        scene.walk.look()
    kept = [("ipaddresspool", "main-pool"), ("l2advertisement", "l2-main-pool")]
    kept += [("deployment", "metallb-controller"), ("daemonset", "metallb-speaker")]
    identities = [scene.identity(*what) for what in kept]
    scene.helm(f"upgrade {RELEASE} {CHART} --reset-values --wait --timeout {READY_S}s")
    assert scene.await_pods() == CORE
    scene.walk.look()
    scene.pages()
    scene.verify()
    assert [scene.identity(*what) for what in kept] == identities
    scene.helm(f"rollback {RELEASE} 1 --wait --timeout {READY_S}s")
    assert scene.await_pods() == CORE
    assert [scene.identity(*what) for what in kept] == identities
    if is_given:
        scene.walk.look()
        scene.pages()
    scene.uninstall()
    await_nothing_more(scene, before | originals.LEFT_BEHIND)


def await_nothing_more(scene: HelmScene, allowed: set[str]) -> None:
    """Wait until nothing is in the cluster but what may be; what was there before still is."""
    scene.lab.wait_for(
        lambda: allowed - originals.LEFT_BEHIND <= scene.inventory() <= allowed,
        timeout_s=40,
        what=f"only what was there before; more: {sorted(scene.inventory() - allowed)}",
        interval_s=1.0,
    )
