"""Any JSON in any field of any kind is read, or refused in order: nothing else is raised."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.api.bgp_peer_v1beta1 import BGPPeerV1Beta1
from mercurylb.api.conversion import convert_bgp_peer
from mercurylb.errors import ParseError
from mercurylb.kube import kinds
from mercurylb.kube.reflector import Applied, Reflector, Unreadable
from mercurylb.kube.resource import Resource
from mercurylb.kube.store import Store

RESOURCES: list[Resource[Any]] = [
    *(one for one in vars(kinds).values() if isinstance(one, Resource)),
    Resource("metallb.io", "v1beta1", "bgppeers", "BGPPeer", BGPPeerV1Beta1),
]
WRONG: list[Any] = [
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    -(2**63) - 1,
    2**64,
    10**400,
    0.5,
    -0.0,
    1e308,
    "",
    "\u0000",
    "\N{PILE OF POO}\u202e" * 50,
    "x" * 100_000,
    [],
    [None],
    [[[]]],
    [{}],
    ["a"] * 10_000,
    [{"name": str(number)} for number in range(10_000)],
    {},
    {"": ""},
    {"a": None},
    {str(number): "v" for number in range(10_000)},
]
ENCODED = [json.dumps(wrong).encode() for wrong in WRONG]
HERE = "here"
HALF_A_CHARACTER: list[Any] = ["\ud800", ["\ud800"], {"\ud800": "\ud800"}]
"""JSON can say it, but no API server does: half of a surrogate pair."""
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def paths_of(kind: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """List the way to every field of a struct, through lists and maps by their first element."""
    if isinstance(kind, msgspec.inspect.UnionType):
        return [below for one in kind.types for below in paths_of(one, path)]
    if isinstance(kind, msgspec.inspect.StructType):
        found = []
        for field in kind.fields:
            below = (*path, field.encode_name)
            found += [below, *paths_of(field.type, below)]
        return found
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return [(*path, 0), *paths_of(kind.item_type, (*path, 0))]
    if isinstance(kind, msgspec.inspect.DictType):
        return [(*path, "key"), *paths_of(kind.value_type, (*path, "key"))]
    return []


def put(item: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """Give a copy of an object with a value at a path, whatever has to be made on the way."""
    if not path:
        return value
    step, *rest = path
    if isinstance(step, int):
        return [put(None, tuple(rest), value)]
    inside = dict(item) if isinstance(item, dict) else {}
    inside[step] = put(inside.get(step), tuple(rest), value)
    return inside


def line(item: Any) -> bytes:
    """Write the line of a watch that shows an object."""
    return json.dumps({"type": "MODIFIED", "object": item}).encode()


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: f"{one.kind}-{one.version}")
def test_any_field_may_hold_anything(resource: Resource[Any]) -> None:
    """A watch goes on whatever one object holds: it is shown, or named with the reason."""
    reflector: Reflector[Any] = Reflector(resource)
    reflector.on_page(b'{"metadata":{"resourceVersion":"1"},"items":[]}')
    reflector.on_opened()
    store: Store[Any] = Store()
    good = {"metadata": {"name": "a", "namespace": "n", "resourceVersion": "2"}}
    for path in paths_of(msgspec.inspect.type_info(resource.type)):
        if path[0] == "metadata" and resource is not kinds.SERVICES:
            continue
        before, _, after = line(put(good, path, HERE)).partition(json.dumps(HERE).encode())
        for wrong in ENCODED:
            for output in reflector.on_line(before + wrong + after):
                assert isinstance(output, Applied | Unreadable), (path, output)
                assert not isinstance(output, Unreadable) or output.message
                store.apply(output)
    store.apply(*reflector.on_line(line(good)))
    assert "n/a" in store
    assert "n/a" not in store.problems
    assert reflector.is_watching


@given(item=JSON, resource=st.sampled_from(RESOURCES))
def test_any_json_is_an_object_or_unreadable(item: Any, resource: Resource[Any]) -> None:
    """What stands where an object should stand does not matter either."""
    reflector: Reflector[Any] = Reflector(resource)
    for output in reflector.on_line(line(item)):
        assert isinstance(output, Applied | Unreadable)


PEER_SPECS = [
    path[1:]
    for struct in (BGPPeerV1Beta1, kinds.BGP_PEERS.type)
    for path in paths_of(msgspec.inspect.type_info(struct))
    if path[0] == "spec"
]
VERSIONS = st.sampled_from(["v1beta1", "v1beta2"])


def convert_or_refuse(item: Any, version: str) -> dict[str, object] | None:
    """Convert an object; nothing for one that is refused, with the field and a short reason."""
    refusal = ""
    try:
        return convert_bgp_peer(item, to_version=version)
    except ParseError as error:
        refusal = str(error)
    assert ": " in refusal
    assert len(refusal) < 1_000
    return None


@pytest.mark.parametrize(("source", "target"), [("v1beta1", "v1beta2"), ("v1beta2", "v1beta1")])
def test_conversion_takes_or_refuses_anything(source: str, target: str) -> None:
    """What it takes it can also take back."""
    head = {"apiVersion": f"metallb.io/{source}", "kind": "BGPPeer", "metadata": {"name": "a"}}
    for path in PEER_SPECS:
        for wrong in (*WRONG, *HALF_A_CHARACTER):
            converted = convert_or_refuse({**head, "spec": put(None, path, wrong)}, target)
            if converted is not None:
                assert convert_or_refuse(converted, source) is not None


@given(item=st.dictionaries(st.text(max_size=5), JSON, max_size=3), spec=JSON, version=VERSIONS)
def test_conversion_of_any_json(item: dict[str, Any], spec: Any, version: str) -> None:
    """Neither a stray field nor a strange spec makes it fail otherwise."""
    head = {"apiVersion": "metallb.io/v1beta1", "kind": "BGPPeer", "metadata": {}, "spec": spec}
    for whole in (item, item | head, {**head, **item}):
        convert_or_refuse(whole, version)


LABELS = st.dictionaries(st.text(max_size=4), st.text(max_size=4), min_size=1, max_size=2)
EXPRESSIONS = st.fixed_dictionaries(
    {
        "key": st.text(max_size=4),
        "operator": st.sampled_from(["In", "NotIn", "Exists", ""]),
        "values": st.lists(st.text(max_size=4), min_size=1, max_size=2),
    }
)
V1BETA1_SPECS = st.fixed_dictionaries(
    {
        "myASN": st.integers(0, 2**32 - 1),
        "peerASN": st.integers(0, 2**32 - 1),
        "peerAddress": st.text(max_size=9),
        "holdTime": st.sampled_from(["0s", "90s", "1m30s", "1.5h"]),
        "keepaliveTime": st.sampled_from(["0s", "30s", "500ms"]),
    },
    optional={
        "peerPort": st.integers(1, 16384),
        "password": st.text(max_size=4),
        "sourceAddress": st.text(max_size=4),
        "routerID": st.text(max_size=4),
        "bfdProfile": st.text(max_size=4),
        "ebgpMultiHop": st.booleans(),
        "nodeSelectors": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "matchLabels": LABELS,
                    "matchExpressions": st.lists(EXPRESSIONS, min_size=1, max_size=2),
                },
            ),
            min_size=1,
            max_size=3,
        ),
    },
)


@given(spec=V1BETA1_SPECS)
@pytest.mark.rule("api-3.3.case-lossless")
def test_every_v1beta1_peer_survives_v1beta2(spec: dict[str, Any]) -> None:
    """There and back is where one was."""
    head = {"kind": "BGPPeer", "metadata": {"name": "a"}}
    item = {"apiVersion": "metallb.io/v1beta1", **head, "spec": spec}
    stored = convert_bgp_peer(item, to_version="v1beta2")
    assert convert_bgp_peer(stored, to_version="v1beta1") == item
