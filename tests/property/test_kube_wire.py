"""Whatever the API server, or something in between, sends: our values or our errors."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.errors import ApiError, WireError
from mercurylb.kube.answer import error_from
from mercurylb.kube.reflector import Reflector
from mercurylb.kube.resource import Identified, Resource, key_of
from mercurylb.kube.store import Store
from mercurylb.kube.watch import LineSplitter, decode_line, decode_page

THINGS = Resource("", "v1", "things", "Thing", Identified)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
META = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "b", "c"]) | JSON,
        "namespace": st.sampled_from(["x", "y"]) | JSON,
        "resourceVersion": st.integers(1, 99).map(str) | JSON,
    },
)
OBJECT = st.fixed_dictionaries({}, optional={"metadata": META | JSON}) | JSON
KIND = st.sampled_from(["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]) | st.text()
LINE = (
    st.fixed_dictionaries({"type": KIND, "object": OBJECT}).map(lambda x: json.dumps(x).encode())
    | JSON.map(lambda x: json.dumps(x).encode())
    | st.binary()
)
PAGE = (
    st.fixed_dictionaries(
        {"metadata": st.fixed_dictionaries({"resourceVersion": st.just("5")})},
        optional={"items": st.lists(OBJECT) | JSON},
    ).map(lambda x: json.dumps(x).encode())
    | st.binary()
)


@given(st.binary())
def test_envelopes(data: bytes) -> None:
    """Bytes decode to an envelope or raise WireError, nothing else."""
    for decode in (decode_line, decode_page):
        with contextlib.suppress(WireError):
            assert isinstance(decode(data), msgspec.Struct)


@given(st.integers(400, 599), st.dictionaries(st.just("Retry-After"), st.text()), st.binary())
def test_error_answers(status: int, headers: dict[str, str], body: bytes) -> None:
    """Any error answer becomes an ApiError with its status."""
    error = error_from(status, headers, body)
    assert isinstance(error, ApiError)
    assert error.status == status


@given(st.lists(st.binary(max_size=40)), st.integers(5, 50))
def test_splitter(chunks: list[bytes], bound: int) -> None:
    """No line and no remainder is ever longer than the bound, and no byte is lost within it."""
    splitter = LineSplitter(bound)
    lines: list[bytes] = []
    try:
        for chunk in chunks:
            lines += splitter.feed(chunk)
            assert splitter.pending_bytes <= bound
    except WireError:
        assert splitter.pending_bytes == 0
        assert max(map(len, b"".join(chunks).split(b"\n"))) > bound
        return
    *whole, _ = b"".join(chunks).split(b"\n")
    assert lines == [line for line in whole if line]


@given(PAGE, st.lists(LINE, max_size=12))
def test_reflector_and_store(page: bytes, lines: list[bytes]) -> None:
    """No page and no line raises; keys of the store are those of its objects."""
    reflector = Reflector(THINGS)
    store: Store[Any] = Store()
    outputs = reflector.on_page(page)
    reflector.on_opened()
    for data in lines:
        outputs += reflector.on_line(data)
    for output in outputs:
        store.apply(output)
    assert all(key_of(item.metadata) == key for key, item in store.objects.items())
    assert set(store.objects) | set(store.problems) <= set(store.take_dirty()) | {""}


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=60), st.randoms())
def test_store_is_true_whatever_breaks(changes: list[tuple[bool, int]], chance: Any) -> None:
    """After any mix of lines, lost watches and relists the copy equals the server's objects."""
    server: dict[str, int] = {}
    reflector = Reflector(THINGS)
    store: Store[Any] = Store()
    version = 100

    def item(name: str, at: int) -> dict[str, Any]:
        return {"metadata": {"name": name, "resourceVersion": str(at)}}

    def listed() -> None:
        meta = {"resourceVersion": str(version)}
        body = {"metadata": meta, "items": [item(n, v) for n, v in server.items()]}
        for output in reflector.on_page(json.dumps(body).encode()):
            store.apply(output)
        reflector.on_opened()

    listed()
    for is_put, index in changes:
        version += 1
        name = f"n{index}"
        if is_put:
            server[name] = version
        else:
            server.pop(name, None)
        if chance.random() < 0.2:
            reflector.on_line(b"garbage")
            listed()
        elif reflector.is_watching:
            line = {"type": "MODIFIED" if is_put else "DELETED", "object": item(name, version)}
            for output in reflector.on_line(json.dumps(line).encode()):
                store.apply(output)
    assert {n: o.metadata.resource_version for n, o in store.objects.items()} == {
        n: str(v) for n, v in server.items()
    }
