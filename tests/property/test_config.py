"""Compiling takes any objects and gives a sound configuration or problems, never an exception."""

from __future__ import annotations

import types
import typing
from itertools import combinations
from typing import Any, Final

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mercurylb.api.bfd_profile import BFDProfile
from mercurylb.api.bgp_advertisement import BGPAdvertisement
from mercurylb.api.bgp_peer import BGPPeer
from mercurylb.api.community import Community
from mercurylb.api.config_map import ConfigMap
from mercurylb.api.ip_address_pool import IPAddressPool
from mercurylb.api.l2_advertisement import L2Advertisement
from mercurylb.api.meta import ObjectMeta
from mercurylb.api.namespace import Namespace
from mercurylb.api.node import Node
from mercurylb.api.secret import Secret
from mercurylb.config.admission import Change, Operation, admit, reads
from mercurylb.config.compilation import compile_config
from mercurylb.config.problem import Code, summarize
from mercurylb.config.resources import FIELDS, Resources, for_controller, for_speaker, gather

KINDS: Final = {
    "IPAddressPool": IPAddressPool,
    "L2Advertisement": L2Advertisement,
    "BGPAdvertisement": BGPAdvertisement,
    "BGPPeer": BGPPeer,
    "BFDProfile": BFDProfile,
    "Community": Community,
    "Namespace": Namespace,
    "Node": Node,
    "Secret": Secret,
}

WORDS = st.one_of(
    st.sampled_from(["a", "b", "", "team", "x y", "internal", "In", "NotIn", "Exists", "password"]),
    st.sampled_from(["1:2", "1:2:3", "large:1:2:3", "large:x:1:1", "kubernetes.io/basic-auth"]),
    st.sampled_from(["9s", "2s", "-1h", "0", "10.0.0.1", "::1", "eth0", "frr", "ZQ==", "Z"]),
    st.text(max_size=6),
)
ADDRESSES = st.one_of(
    st.text(alphabet="0123456789.:/- af", max_size=20),
    st.builds("10.0.{}.0/{}".format, st.integers(0, 3), st.integers(22, 33)),
    st.builds("2001:db8::{:x}-2001:db8::{:x}".format, st.integers(0, 99), st.integers(0, 99)),
)
NUMBERS = st.sampled_from([-1, 0, 1, 2, 24, 32, 33, 100, 128, 65536, 1 << 32, 1 << 64])
NAMES = st.sampled_from(["a", "b", "c", "d", ""])


def values(hint: Any, name: str = "") -> st.SearchStrategy[Any]:
    """Make values of a field's type: anything that the decoder would let through."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is ObjectMeta:
        return st.builds(
            ObjectMeta,
            name=NAMES,
            namespace=st.just("metallb"),
            labels=st.none() | st.dictionaries(WORDS, WORDS, max_size=2),
        )
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(values(each, name) for each in arguments))
    if origin is tuple:
        return st.lists(values(arguments[0], name), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(*(values(each) for each in arguments), max_size=2)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return objects(hint)
    if hint is str:
        return ADDRESSES if name == "addresses" else WORDS
    return {int: NUMBERS, bool: st.booleans(), type(None): st.none()}[hint]


def objects(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Make structs whose every field holds something."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{name: values(hint, name) for name, hint in hints.items()})


OBJECTS = {name: objects(kind) for name, kind in KINDS.items()}
RESOURCES = st.builds(
    Resources,
    **{FIELDS[name]: st.lists(made, max_size=3).map(tuple) for name, made in OBJECTS.items()},
    backend=st.sampled_from(["native", "frr", "frr-k8s", ""]),
    bgp_extras=WORDS,
    passes_secrets=st.booleans(),
)
CONFIGURED = st.one_of(*(OBJECTS[name] for name in list(KINDS)[:6]))


@given(resources=RESOURCES)
def test_any_objects_compile_or_are_refused_with_reasons(resources: Resources) -> None:
    """There is a configuration or a problem, never both; what is accepted has no overlap."""
    config, problems = compile_config(resources)
    assert (config is None) is bool(problems)
    for problem in problems:
        assert problem.object
        assert problem.message
        assert problem.code in list(Code)
        assert len(str(problem)) < 4000
        assert str(problem).isprintable()
    assert len(summarize(problems, 5).splitlines()) <= 6
    if config is not None:
        blocks = [prefix for pool in config.pools for prefix in pool.prefixes]
        assert not any(one.overlaps(other) for one, other in combinations(blocks, 2))
        assert all(pool.prefixes for pool in config.pools)
        profiles = {profile.name for profile in config.bfd_profiles}
        assert all(peer.bfd_profile in profiles | {""} for peer in config.peers)


@given(resources=RESOURCES, seed=st.randoms(use_true_random=False))
def test_the_order_of_objects_does_not_matter(resources: Resources, seed: Any) -> None:
    """Shuffled objects give the same configuration, or are refused as well."""
    fields = FIELDS.values()
    shuffled = {
        field: tuple(seed.sample(getattr(resources, field), len(getattr(resources, field))))
        for field in fields
    }
    config, problems = compile_config(resources)
    config_again, problems_again = compile_config(msgspec.structs.replace(resources, **shuffled))
    lists = [[item.metadata.name for item in getattr(resources, field)] for field in fields]
    if all(len(set(names)) == len(names) for names in lists):
        assert config_again == config
        assert problems_again == problems


@given(resources=RESOURCES, node=OBJECTS["Node"])
def test_whoever_sees_less_finds_less_wrong(resources: Resources, node: Node) -> None:
    """The controller's and the speakers' problems are among those of the whole."""
    everything = msgspec.structs.replace(resources, nodes=(*resources.nodes, node))
    found = {problem.code for problem in compile_config(everything)[1]}
    assert {problem.code for problem in compile_config(for_controller(everything))[1]} <= found
    assert {problem.code for problem in compile_config(for_speaker(everything, node))[1]} <= found


@given(items=st.lists(st.one_of(*OBJECTS.values(), objects(ConfigMap), WORDS), max_size=6))
def test_any_objects_are_sorted_into_place(items: list[Any]) -> None:
    """Nothing that takes part is lost, and nothing else gets in."""
    resources = gather(items)
    placed = [item for field in FIELDS.values() for item in getattr(resources, field)]
    assert len(placed) == sum(type(item).__name__ in FIELDS for item in items)


@given(
    operation=st.sampled_from(Operation),
    new=st.none() | CONFIGURED,
    old=st.none() | CONFIGURED,
    existing=RESOURCES,
)
def test_any_change_is_decided(
    operation: Operation, new: Any, old: Any, existing: Resources
) -> None:
    """Objects that do not even belong together are answered, with problems that do not raise."""
    answer = admit(Change(operation, new=new, old=old), existing=existing, namespace="metallb")
    assert answer.is_allowed is not bool(answer.problems)
    assert not any(problem.is_transient and ":" not in problem.value for problem in answer.problems)


@given(new=CONFIGURED, existing=RESOURCES)
def test_what_makes_an_accepted_configuration_is_admitted(new: Any, existing: Resources) -> None:
    """A refusal always comes from a configuration that is rejected."""
    field = FIELDS[type(new).__name__]
    wanted = {FIELDS[kind] for kind in reads(type(new).__name__, Operation.CREATE)}
    nothing: dict[str, tuple[()]] = {name: () for name in FIELDS.values() if name not in wanted}
    others = [item for item in getattr(existing, field) if item.metadata.name != new.metadata.name]
    whole = msgspec.structs.replace(
        existing, **{**nothing, field: (*others, new)}, passes_secrets=True
    )
    answer = admit(Change(Operation.CREATE, new=new), existing=existing, namespace="metallb")
    if not compile_config(whole)[1]:
        assert answer.is_allowed
    if not compile_config(msgspec.structs.replace(whole, **{field: tuple(others)}))[1]:
        hard = [problem for problem in compile_config(whole)[1] if not problem.is_transient]
        is_unplaced = bool(existing.nodes) and field != "bgp_advertisements"
        if hard and not is_unplaced and not answer.warnings:
            assert not answer.is_allowed


@given(new=CONFIGURED, existing=RESOURCES)
def test_touching_an_object_changes_nothing(new: Any, existing: Resources) -> None:
    """An update that leaves the object as it is passes, however wrong everything is."""
    change = Change(Operation.UPDATE, new=new, old=new)
    assert admit(change, existing=existing, namespace="metallb").is_allowed
