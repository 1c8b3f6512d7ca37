"""Compiling takes any objects and gives a sound configuration or problems, never an exception."""

from __future__ import annotations

import builtins
import random
import types
import typing
from functools import cache
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

WORDS: Final = (
    *("a", "b", "c", "", "team", "x y", "internal", "password", "frr", "eth0", "ZQ==", "Z", "é\n"),
    *("In", "NotIn", "Exists", "DoesNotExist", "kubernetes.io/basic-auth", "\ud800", "x" * 70),
    *("1:2", "1:2:3", "large:1:2:3", "large:x:1:1", "9s", "2s", "-1h", "0", "10.0.0.1", "::1"),
)
LETTERS: Final = "0123456789.:/- af\u202e"
NUMBERS: Final = (-1, 0, 1, 2, 24, 32, 33, 100, 128, 65536, 1 << 32, 1 << 64)


PLAIN: Final[dict[Any, tuple[Any, ...]]] = {
    int: NUMBERS,
    bool: (True, False),
    type(None): (None,),
}


class Garbage:
    """Makes structs whose every field holds something that a decoder would let through.

    Seeds rather than strategies: thousands of fields cost Hypothesis seconds for each example.
    """

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.tameness = self.dice.choice([0.0, 0.9])
        """How likely it leaves out what may be left out, so that something is accepted too."""

    def objects(self, kind: type[Any], most: int = 3) -> tuple[Any, ...]:
        """Make some objects; few of those that are wrong unless much is right."""
        if self.tameness and kind in (BGPPeer, BFDProfile) and self.dice.random() < self.tameness:
            return ()
        return tuple(self.object(kind) for _ in range(self.dice.randint(0, most)))

    def object(self, kind: type[Any]) -> Any:
        """Make a struct; metadata has one of a few names, so that objects meet."""
        if kind is ObjectMeta:
            labels = {self.word(): self.word()} if self.dice.random() < 0.5 else None
            return ObjectMeta(name=self.dice.choice("abcd"), namespace="metallb", labels=labels)
        return kind(**{name: self.value(hint, name) for name, hint in hints_of(kind).items()})

    def value(self, hint: Any, name: str) -> Any:
        """Make a value of a field's type."""
        arguments = typing.get_args(hint)
        match typing.get_origin(hint) or hint:
            case typing.Union | types.UnionType:
                can_be_none = type(None) in arguments and name != "spec"
                if can_be_none and self.dice.random() < self.tameness:
                    return None
                made = self.value(self.dice.choice(arguments), name)
            case builtins.tuple:
                count = self.dice.randint(0, 3)
                made = tuple(self.value(arguments[0], name) for _ in range(count))
            case builtins.dict:
                made = {self.word(): self.value(arguments[1], name)}
            case builtins.str:
                made = self.address() if name == "addresses" else self.word()
            case kind if kind in PLAIN:
                made = self.dice.choice(PLAIN[kind])
            case kind:
                made = self.object(kind)
        return made

    def word(self) -> str:
        """Make a text."""
        if self.dice.random() < 0.9:
            return self.dice.choice(WORDS)
        return "".join(self.dice.choices(LETTERS, k=self.dice.randint(0, 9)))

    def address(self) -> str:
        """Make an entry of a pool, which is valid more often than not."""
        number, length = self.dice.randint(0, 9), self.dice.randint(23, 33)
        forms = (f"10.0.{number}.0/{length}", f"2001:db8::{number}-2001:db8::9", self.word())
        return self.dice.choice(forms)

    def resources(self) -> Resources:
        """Make a cluster."""
        lists: dict[str, Any] = {FIELDS[name]: self.objects(kind) for name, kind in KINDS.items()}
        return Resources(
            **lists,
            backend=self.dice.choice(["native", "frr", "frr-k8s", ""]),
            bgp_extras=self.word(),
            passes_secrets=self.dice.random() < 0.5,
        )

    def configured(self) -> Any:
        """Make an object that admission is asked about."""
        return self.object(KINDS[self.dice.choice(list(KINDS)[:6])])


@cache
def hints_of(kind: type[Any]) -> dict[str, Any]:
    """Give the types of a struct's fields."""
    return typing.get_type_hints(kind)


GARBAGE = st.builds(Garbage, st.integers(0, 1 << 32))
RESOURCES = GARBAGE.map(Garbage.resources)
CONFIGURED = GARBAGE.map(Garbage.configured)


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


@given(resources=RESOURCES, node=GARBAGE.map(lambda garbage: garbage.object(Node)))
def test_whoever_sees_less_finds_less_wrong(resources: Resources, node: Node) -> None:
    """The controller's and the speakers' problems are among those of the whole."""
    everything = msgspec.structs.replace(resources, nodes=(*resources.nodes, node))
    found = {problem.code for problem in compile_config(everything)[1]}
    assert {problem.code for problem in compile_config(for_controller(everything))[1]} <= found
    assert {problem.code for problem in compile_config(for_speaker(everything, node))[1]} <= found


@given(garbage=GARBAGE)
def test_any_objects_are_sorted_into_place(garbage: Garbage) -> None:
    """Nothing that takes part is lost, and nothing else gets in."""
    items: list[Any] = [
        item for kind in (*KINDS.values(), ConfigMap) for item in garbage.objects(kind)
    ]
    items = garbage.dice.sample([*items, "text", None], len(items) + 2)
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
