"""Where images come from: one registry for all of them, and none of MetalLB's by accident."""

from __future__ import annotations

from typing import Any

import pytest

OURS = "mercurylb/mercurylb:0.1.0"
FRR = {"speaker": {"frr": {"enabled": True}}}


def images(objects: Any) -> set[str]:
    """Name all images of a release."""
    pods = [objects.pod(component) for component in ("controller", "speaker")]
    return {
        container["image"]
        for pod in pods
        for container in [*pod["containers"], *pod.get("initContainers", [])]
    }


@pytest.mark.rule("install-2.images")
def test_there_are_two_images(render: Any) -> None:
    """One of ours, and FRR's where it is asked for."""
    assert images(render()) == {OURS}
    assert images(render(FRR)) == {OURS, "frrouting/frr:10.5.3"}


@pytest.mark.parametrize("registry", ["mirror.example", "mirror.example/lb/"])
def test_one_value_says_where_all_images_are(render: Any, registry: str) -> None:
    """The chart's defaults name no host."""
    objects = render({**FRR, "global": {"imageRegistry": registry}})
    prefix = registry.rstrip("/")
    assert images(objects) == {f"{prefix}/{OURS}", f"{prefix}/frrouting/frr:10.5.3"}


@pytest.mark.parametrize(
    ("repository", "image"),
    [
        ("other.example/lb", "other.example/lb:1"),
        ("localhost/lb", "localhost/lb:1"),
        ("registry:5000/lb", "registry:5000/lb:1"),
        ("team/lb", "mirror.example/team/lb:1"),
        ("lb", "mirror.example/lb:1"),
    ],
)
def test_an_image_with_a_host_stays_where_it_is(render: Any, repository: str, image: str) -> None:
    """As container runtimes tell hosts: by a dot, a port, or localhost."""
    own = {"image": {"repository": repository, "tag": "1"}}
    objects = render({"global": {"imageRegistry": "mirror.example"}, "controller": own})
    assert objects.container("controller")["image"] == image


@pytest.mark.parametrize("host", ["", "registry.example/"])
def test_images_of_metallb_are_not_run(render: Any, notes: Any, host: str) -> None:
    """Values written out from MetalLB's chart install MercuryLB, and the notes say so."""
    values = {
        component: {"image": {"repository": f"{host}metallb/{component}", "tag": "v0.16.2"}}
        for component in ("controller", "speaker")
    }
    assert images(render(values)) == {OURS}
    text = notes(values)
    for component in values:
        assert f"NOTE: {component}.image names MetalLB's image" in text
    assert f'"{OURS}"' in text
    assert "NOTE" not in notes()
