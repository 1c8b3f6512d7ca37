"""Which BGP backend a speaker has, and what it is told (spec: bgp §1, §6)."""

from __future__ import annotations

import random
from typing import Any, cast

import pytest

from mercurylb.speaker.bgp_backend import Backend, make_backend
from mercurylb.speaker.frr_backend import FrrBackend
from mercurylb.speaker.frrk8s_backend import FrrK8sBackend
from mercurylb.speaker.settings import parse_settings


def made(name: str, *argv: str) -> Backend | None:
    """Make a backend of the speaker of node n1 in namespace metallb."""
    return make_backend(
        name,
        parse_settings(("--node-name=n1", *argv), {}),
        {},
        client=cast("Any", None),
        writer=cast("Any", None),
        namespace="metallb",
        random=random.Random(1),
        on_observed=lambda: None,
    )


@pytest.mark.rule("bgp-1.backend", "bgp-1.outside")
def test_the_native_backend_is_the_announcer() -> None:
    """Nothing else is needed; the other two have programs of their own."""
    assert made("native") is None
    assert isinstance(made("frr"), FrrBackend)
    assert isinstance(made("frr-k8s"), FrrK8sBackend)


@pytest.mark.rule("bgp-6.secret-reference")
@pytest.mark.parametrize(
    ("argv", "is_passed"),
    [
        ((), True),
        (("--frrk8s-namespace=metallb",), True),
        (("--frrk8s-namespace=frr",), False),
        (("--frrk8s-namespace=frr", "--frrk8s-secret-passthrough"), True),
    ],
)
def test_who_reads_a_secret(argv: tuple[str, ...], *, is_passed: bool) -> None:
    """frr-k8s does in its own namespace, or where the flag says so; else it gets the password."""
    backend = made("frr-k8s", *argv)
    assert isinstance(backend, FrrK8sBackend)
    assert backend._passes_secrets is is_passed
