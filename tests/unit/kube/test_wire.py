"""Paths, lines, error answers and waiting times."""

from __future__ import annotations

import random

import pytest

from mercurylb.errors import ApiError, WireError
from mercurylb.kube.answer import error_from
from mercurylb.kube.backoff import CAP_S, Backoff
from mercurylb.kube.operation import Operation, Verb
from mercurylb.kube.resource import Identified, Resource
from mercurylb.kube.watch import LineSplitter

CORE = Resource("", "v1", "services", "Service", Identified)
NODES = Resource("", "v1", "nodes", "Node", Identified, namespaced=False)
GROUP = Resource("metallb.io", "v1beta1", "ipaddresspools", "IPAddressPool", Identified)


def test_paths() -> None:
    """Each kind has the path the API gives it."""
    assert CORE.path() == "/api/v1/services"
    assert CORE.path(namespace="a") == "/api/v1/namespaces/a/services"
    assert NODES.path(namespace="a", name="n") == "/api/v1/nodes/n"
    expected = "/apis/metallb.io/v1beta1/namespaces/a/ipaddresspools/p/status"
    assert GROUP.path(namespace="a", name="p", subresource="status") == expected
    assert CORE.path(namespace="a", name="x/../y") == "/api/v1/namespaces/a/services/x%2F..%2Fy"
    assert (CORE.api_version, GROUP.api_version) == ("v1", "metallb.io/v1beta1")


def test_operations() -> None:
    """A creation goes to the collection; an apply names its manager and is forced."""
    create = Operation(Verb.CREATE, CORE, namespace="a")
    assert (create.verb.method, create.path) == ("POST", "/api/v1/namespaces/a/services")
    apply = Operation(Verb.APPLY, GROUP, "p", "a", field_manager="me")
    assert apply.params == {"fieldManager": "me", "force": "true"}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_lines_whatever_the_chunks(size: int) -> None:
    """The same lines come out however the stream is cut; empty ones do not count."""
    stream = b"one\n\ntwo\nthree is longer\n\nrest"
    splitter = LineSplitter()
    lines = []
    for start in range(0, len(stream), size):
        lines += splitter.feed(stream[start : start + size])
    assert lines == [b"one", b"two", b"three is longer"]
    assert splitter.pending_bytes == 4
    assert splitter.feed(b"\n") == [b"rest"]


@pytest.mark.parametrize(
    "chunks", [[b"x" * 11], [b"x" * 6, b"x" * 6], [b"x" * 6, b"x" * 6 + b"\n"]]
)
def test_lines_are_bounded(chunks: list[bytes]) -> None:
    """A line beyond the bound is refused, and the memory it took is free again."""
    splitter = LineSplitter(10)
    for chunk in chunks[:-1]:
        assert splitter.feed(chunk) == []
    with pytest.raises(WireError, match="more than 10 bytes"):
        splitter.feed(chunks[-1])
    assert splitter.pending_bytes == 0
    assert splitter.feed(b"x" * 10 + b"\n") == [b"x" * 10]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3.0), ("-1", 0.0), ("99999", 60.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("", None)],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    """Seconds are taken, within bounds; anything else counts as not given."""
    error = error_from(429, {"Retry-After": text}, b"{}")
    assert error.retry_after_s == seconds


def test_answer_that_is_no_status() -> None:
    """A proxy's page is quoted, shortened."""
    error = error_from(502, {}, b"<html>" + b"x" * 1000)
    assert type(error) is ApiError
    assert str(error).startswith("502 Unknown: <html>xxx")
    assert len(str(error)) < 300


def test_backoff_grows_to_its_cap() -> None:
    """The first waits are short, none is longer than the cap, and success starts over."""
    backoff = Backoff(random.Random(1))
    delays = [backoff.next_delay_s() for _ in range(200)]
    assert delays[0] <= 0.05
    assert CAP_S * 0.8 < max(delays) <= CAP_S
    backoff.reset()
    assert backoff.next_delay_s() <= 0.05
