"""The releases of docs/migrate.md: each renders, and the second one clashes with nothing."""

from __future__ import annotations

import shlex
import subprocess

import pytest
import yaml

from lab.build.helm import ensure_helm
from tests.documents import ROOT, blocks

PAGE = ROOT / "docs" / "migrate.md"
CHART = ROOT / "charts" / "mercurylb"
OF_UPGRADES = {
    "--reset-then-reuse-values",
    "--reuse-values",
    "--reset-values",
    "--take-ownership",
}
RELEASES = [
    shlex.split(line)
    for block in blocks(PAGE)
    if block.language == "sh"
    for line in block.commands
    if line.startswith(("helm install ", "helm upgrade "))
]


def rendered(words: list[str]) -> dict[tuple[str, str], dict[str, object]]:
    """Render what a command would install, by kind and name."""
    kept = [word for word in words[2:] if word not in OF_UPGRADES]
    kept[1] = str(CHART)
    argv = [str(ensure_helm()), "template", *kept]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    objects = [each for each in yaml.safe_load_all(text) if each]
    return {(each["kind"], each["metadata"]["name"]): each for each in objects}


@pytest.mark.parametrize("words", RELEASES, ids=" ".join)
def test_every_release_of_the_page_renders(words: list[str]) -> None:
    """The chart takes the values that the page sets."""
    assert rendered(words)


@pytest.mark.parametrize("first", ["shadow", "mercurylb"])
def test_a_second_release_makes_nothing_that_is_there_already(first: str) -> None:
    """What is installed beside MetalLB's chart has names of its own, so that Helm takes it."""
    words = next(each for each in RELEASES if each[1:3] == ["install", first])
    there = rendered(["helm", "install", "metallb", "mercurylb/mercurylb", "-n", "metallb-system"])
    assert rendered(words).keys() & there.keys() == set()


def test_the_second_releases_speakers_wait_for_labelled_nodes() -> None:
    """They use the key that is there, look for the others' pods, and stay off other nodes."""
    words = next(each for each in RELEASES if each[1:3] == ["install", "mercurylb"])
    speakers = yaml.safe_dump(rendered(words)["DaemonSet", "mercurylb-speaker"])
    assert "mercurylb.io/speaker: 'yes'" in speakers
    assert "secretName: memberlist" in speakers
    assert "app.kubernetes.io/name=metallb,app.kubernetes.io/component=speaker" in speakers
