"""What Helm says after an installation: what to do next, and what is unlike MetalLB."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.unit.chart.conftest import ROOT

FIRST_SERVICE = ROOT / "docs" / "first-service.md"
FRR = {"speaker": {"frr": {"enabled": True}}}


@pytest.mark.rule("install-5.note")
def test_the_notes_say_what_to_do_next(notes: Any) -> None:
    """With the example of the documents, and the command that checks the installation."""
    text = notes(release="foo")
    assert "installed as release foo in namespace metallb" in text
    example = text.partition("kubectl apply -f:\n")[2].partition("\n\n  helm")[0]
    lines = [line.removeprefix("  ") for line in example.splitlines() if line.startswith("  ")]
    pool, advertisement = yaml.safe_load_all("\n".join(lines))
    assert pool["kind"] == "IPAddressPool"
    assert advertisement["spec"]["ipAddressPools"] == [pool["metadata"]["name"]]
    blocks = re.findall(r"```yaml title=.*\n((?s:.*?))```", FIRST_SERVICE.read_text())
    assert [pool, advertisement] == [yaml.safe_load(block) for block in blocks[:2]]
    told = "helm test foo --namespace metallb || kubectl -n metallb logs foo-metallb-test"
    assert told in text
    assert "kubectl -n metallb get configurationstates" in text


@pytest.mark.rule("install-6.labels")
def test_the_notes_say_what_the_namespace_needs(notes: Any) -> None:
    """Helm's users label it themselves; only speakers are privileged."""
    line = "kubectl label namespace metallb pod-security.kubernetes.io/enforce=privileged"
    assert line in notes()
    without = {"speaker": {"enabled": False}}
    assert line not in notes(without)


@pytest.mark.rule("install-7.default-backend")
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "frrk8s.enabled is false, unlike in MetalLB's chart"),
        ({"frrk8s": {"enabled": True}}, "its metrics begin with frrk8s_"),
        ({"frrk8s": {"external": True, "namespace": "far"}}, "the frr-k8s in namespace far"),
        (FRR, "WARNING: BGP is spoken by FRR beside each speaker"),
    ],
)
def test_the_notes_say_who_speaks_bgp(notes: Any, values: dict[str, Any], told: str) -> None:
    """The default differs from MetalLB's, and one way is deprecated."""
    text = notes(values)
    assert told in text
    assert ("WARNING" in text) == (values == FRR)


def test_the_notes_of_a_shadow_send_nobody_to_configure_it(notes: Any) -> None:
    """It is there to be watched and removed."""
    text = notes({"shadow": True})
    assert "announces and writes nothing" in text
    assert "helm uninstall metallb" in text
    assert "IPAddressPool" not in text


def test_the_notes_of_an_upgrade_send_nobody_to_configure_it(notes: Any) -> None:
    """Whoever upgrades has pools already."""
    text = notes(is_upgrade=True)
    assert "IPAddressPool" not in text
    assert "helm test metallb" in text


@pytest.mark.parametrize(
    ("values", "is_told"),
    [
        ({}, False),
        (FRR, True),
        (FRR | {"global": {"imageRegistry": "registry.example"}}, False),
        (
            {
                "speaker": {
                    "frr": {"enabled": True, "image": {"repository": "registry.example/frr"}}
                }
            },
            False,
        ),
        ({"frrk8s": {"enabled": True}}, True),
    ],
)
def test_images_without_a_registry_are_pointed_out(
    notes: Any, values: dict[str, Any], *, is_told: bool
) -> None:
    """MetalLB's chart names where FRR's images come from, this one leaves it to the user."""
    assert ("have no registry here" in notes(values)) == is_told


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (
            {"repository": "registry.example/mlb", "tag": "v0.16.2"},
            "as MetalLB's versions are called",
        ),
        (
            {"repository": "registry.example/metallb-speaker", "tag": "v0.16.2"},
            "names MetalLB's image",
        ),
    ],
)
def test_metallbs_images_and_tags_are_pointed_out(
    notes: Any, image: dict[str, str], told: str
) -> None:
    """Values written out from MetalLB's chart do not end in an image that cannot be found."""
    assert told in notes({"speaker": {"image": image}})
