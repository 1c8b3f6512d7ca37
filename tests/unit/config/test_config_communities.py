"""Communities, as far as a bad one blocks the configuration (spec: config §5)."""

from __future__ import annotations

import msgspec
import pytest

from mercurylb.api.community import Community as CommunityObject
from mercurylb.config.community import parse_community
from mercurylb.config.compilation import Resources, compile_config
from mercurylb.errors import ParseError


@pytest.mark.rule("config-5.1.standard", "config-5.1.large", "config-5.1.named")
@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("0:0", "0:0"),
        ("65535:65535", "65535:65535"),
        ("007:1", "7:1"),
        ("large:1:2:4294967295", "1:2:4294967295"),
    ],
)
def test_reads(text: str, printed: str) -> None:
    """Standard and large communities are read; large ones print without their marker."""
    assert str(parse_community(text)) == printed


@pytest.mark.rule("config-5.1.format", "config-5.1.content")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1234", "invalid community format: 1234"),
        ("1:2:3", "invalid community format: 1:2:3"),
        ("99999999:1", 'invalid community value: invalid section "99999999" of community'),
        ("1:65536", 'invalid section "65536"'),
        ("no-export", "invalid community format: no-export"),
        ("+1:2", 'invalid section "\\+1"'),
        ("0x1:2", 'invalid section "0x1"'),
        ("1_0:2", 'invalid section "1_0"'),
        (":", 'invalid section ""'),
        ("lar:1:2:3", "invalid marker for large community"),
        ("large:1:2:4294967296", 'invalid section "4294967296"'),
    ],
)
def test_refuses(text: str, message: str) -> None:
    """Wrong form and wrong content are told apart."""
    with pytest.raises(ParseError, match=message):
        parse_community(text)


@pytest.mark.rule("config-5.1.order")
def test_orders_standard_before_large_of_equal_first_part() -> None:
    """A standard community compares as (a·65536+b, 0, 0)."""
    assert parse_community("0:7") < parse_community("large:7:0:1") < parse_community("0:8")


def object_of(name: str, *aliases: tuple[str, str]) -> CommunityObject:
    """Make a Community."""
    entries = [{"name": alias, "value": value} for alias, value in aliases]
    return msgspec.convert(
        {"metadata": {"name": name, "namespace": "metallb"}, "spec": {"communities": entries}},
        CommunityObject,
    )


def problems_of(*objects: CommunityObject, backend: str) -> list[str]:
    """Give the texts of the problems."""
    return [
        str(each) for each in compile_config(Resources(communities=objects, backend=backend))[1]
    ]


@pytest.mark.rule("config-5.2.value", "config-5.2.duplicate")
@pytest.mark.rule("api-7.global")
def test_bad_and_repeated_aliases_are_all_told() -> None:
    """A bad value and a name that is taken, in one object or two, are problems."""
    first = object_of("a", ("one", "1:1"), ("bad", "x"), ("one", "1:2"))
    bad = 'parsing community "bad": invalid community format: x (write a:b, or large:a:b:c)'
    taken = 'duplicate definition of community "one" (first defined in Community metallb/a)'
    assert problems_of(first, object_of("b", ("one", "1:3")), backend="frr") == [
        f"Community metallb/a: spec.communities[1].value: {bad}",
        f"Community metallb/a: spec.communities[2].name: {taken}",
        f"Community metallb/b: spec.communities[0].name: {taken}",
    ]


@pytest.mark.rule("config-9.native.communities")
@pytest.mark.parametrize("backend", ["native", "frr", "frr-k8s", ""])
def test_large_communities_are_for_every_backend(backend: str) -> None:
    """The native one sends them too."""
    assert problems_of(object_of("a", ("big", "large:1:2:3")), backend=backend) == []
