"""What the builders read from other programs, and what they pass to them."""

from __future__ import annotations

import pytest

from lab import versions
from lab.build import apt, go, kube, rootfs


@pytest.mark.parametrize(
    ("listing", "missing"),
    [
        ("runc installed\ncurl installed\n", []),
        ("runc installed\n", ["curl"]),
        ("runc not-installed\ncurl config-files\n", ["runc", "curl"]),
        ("", ["runc", "curl"]),
        ("runc installed\nruncible installed\n", ["curl"]),
    ],
)
def test_missing_packages_are_those_not_installed(listing: str, missing: list[str]) -> None:
    """A package counts only when dpkg calls it installed; removed ones with leftovers do not."""
    assert apt.parse_missing(["runc", "curl"], listing) == missing


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.26rc1 linux/amd64", (1, 26)),
        ("go version devel go1.27-abc linux/arm64", (1, 27)),
        ("gcc 12.2.0", None),
        ("", None),
    ],
)
def test_a_go_version_is_read(text: str, version: tuple[int, int] | None) -> None:
    """Major and minor come from what `go version` prints; anything else is no version."""
    assert go.parse_version(text) == version


def test_go_never_fetches_another_toolchain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The flags that enter Go's cache keys are fixed, whatever the user's environment says."""
    monkeypatch.setenv("GOFLAGS", "-race")
    monkeypatch.setenv("CGO_ENABLED", "1")
    env = go.environment()
    assert (env["GOTOOLCHAIN"], env["CGO_ENABLED"], env["GOFLAGS"]) == ("local", "0", "-mod=mod")


def test_the_version_is_stamped_for_server_and_clients() -> None:
    """Without the stamp charts that ask for a version refuse the cluster."""
    flags = kube.ldflags("1.36.3").split()
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        assert f"{package}.gitVersion=v1.36.3" in flags
        assert f"{package}.gitMinor=36" in flags


def test_sources_name_the_version_that_the_list_names() -> None:
    """The module files and the list of versions agree."""
    assert f"k8s.io/kubernetes v{versions.KUBERNETES}" in (kube.SOURCE / "go.mod").read_text()
    coredns = kube.SOURCE.parent / "coredns" / "go.mod"
    assert f"github.com/coredns/coredns v{versions.COREDNS}" in coredns.read_text()


def test_each_program_has_an_entry_point() -> None:
    """The image starts the programs under the names that the chart uses."""
    programs = {"controller", "speaker", "frr-reloader", "frr-metrics"}
    assert set(rootfs.ENTRY_POINTS) == {"mercurylb", *(f"mercurylb-{name}" for name in programs)}
