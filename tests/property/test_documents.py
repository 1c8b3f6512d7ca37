"""The loader of manifests under garbage: a value or our error, in bounded time, and no surprise."""

from __future__ import annotations

import contextlib
import math

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from mercurylb.cli.documents import UnreadableDocument, parse_documents
from mercurylb.cli.inventory import take_inventory
from mercurylb.cli.manifest import to_yaml
from mercurylb.cli.validation import validate

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
TRICKY = st.sampled_from(
    [
        "yes",
        "y",
        "~",
        "",
        "64512:1",
        "1e3",
        "0x1F",
        "010",
        "2026-01-01",
        "1_0",
        "- a",
        "a: b",
        "#",
        "<<",
    ]
)
KEYS = TEXT | TRICKY
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT | TRICKY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
PIECES = st.sampled_from(
    [
        *("a: ", "- ", "&x ", "*x", "[", "]", "{", "}", "\n", "  ", "---\n", "...\n", ": ", "? "),
        *("!!str ", "!!binary ", "!<x> ", "'", '"', "|\n", ">-\n", "<<: ", "#", "%YAML 9\n", "\t"),
        *("kind: ", "List", "items: ", "apiVersion: metallb.io/v1beta1\n", "IPAddressPool\n", "é"),
    ]
)


def read(content: bytes) -> list[object]:
    """Read the values of a file."""
    return [document.value for document in parse_documents(content, source="f.yaml")]


@given(VALUES)
def test_what_we_write_is_read_back(value: object) -> None:
    """Every JSON value survives our YAML, whatever its texts look like."""
    assert read(to_yaml({"value": value}).encode()) == [{"value": value}]


@given(VALUES)
def test_json_is_read_back(value: object) -> None:
    """Every JSON value survives as JSON."""
    assert read(msgspec.json.encode({"value": value})) == [{"value": value}]


@given(st.binary(max_size=200) | st.lists(PIECES, max_size=40).map("".join).map(str.encode))
@example(b"a: &x {<<: *x}")
@example(b"? &x a\n: *x")
@example(b"!!int 0x")
@example(b"a: +_")
@example(b"{}{}")
def test_any_bytes_are_documents_or_our_error(content: bytes) -> None:
    """No file, however broken, ends in anything but a refusal; what is read can be checked."""
    documents = []
    with contextlib.suppress(UnreadableDocument):
        documents = parse_documents(content, source="f.yaml")
    for document in documents:
        assert document.line_of("spec.addresses[0]") >= 0
    validation = validate(take_inventory(documents), namespace="metallb-system", backend="native")
    assert validation.checked >= 0


@given(st.integers(1, 40), st.integers(2, 12))
def test_alias_bombs_cost_no_more_than_their_text(depth: int, width: int) -> None:
    """Whatever the aliases multiply to, the file is read only if that is bounded."""
    lines = ["a0: &a0 [x]"]
    for level in range(1, depth):
        aliases = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} [{aliases}]")
    with contextlib.suppress(UnreadableDocument):
        read("\n".join(lines).encode())
        assert depth * math.log(width) < math.log(3_000_000) + 3


KINDS = (
    "IPAddressPool",
    "L2Advertisement",
    "BGPAdvertisement",
    "BGPPeer",
    "BFDProfile",
    "Community",
)


@given(
    st.sampled_from((*KINDS, "Service", "Secret", "Node")),
    st.sampled_from(("metallb.io/v1beta1", "metallb.io/v1beta2", "v1")),
    VALUES,
    VALUES,
)
def test_any_object_is_checked_without_an_exception(
    kind: str, version: str, metadata: object, spec: object
) -> None:
    """Objects with anything in any field are found wrong or right, never a crash."""
    raw = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
    documents = parse_documents(msgspec.json.encode(raw), source="f.json")
    validation = validate(take_inventory(documents), namespace="metallb-system", backend="native")
    assert validation.checked <= 1
