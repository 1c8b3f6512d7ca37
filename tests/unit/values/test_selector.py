"""Label selectors."""

from __future__ import annotations

import pytest

from mercurylb.api.meta import LabelSelectorRequirement
from mercurylb.errors import ParseError
from mercurylb.values.selector import EVERYTHING, Selector, compile_selector, matches_any


def select(key: str, operator: str, *values: str) -> Selector:
    """Compile a selector of one expression."""
    return compile_selector(None, [LabelSelectorRequirement(key, operator, values)])


@pytest.mark.parametrize(
    ("selector", "present", "other", "absent"),
    [
        (select("a", "In", "x", "y"), True, False, False),
        (select("a", "NotIn", "x", "y"), False, True, True),
        (select("a", "Exists"), True, True, False),
        (select("a", "DoesNotExist"), False, False, True),
        (compile_selector({"a": "x"}, None), True, False, False),
        (EVERYTHING, True, True, True),
    ],
    ids=str,
)
@pytest.mark.rule("api-1.2.operators", "api-1.2.empty")
def test_matches(selector: Selector, *, present: bool, other: bool, absent: bool) -> None:
    """Each operator decides as Kubernetes does; NotIn also takes what lacks the key."""
    labels = ({"a": "x"}, {"a": "z"}, {"b": "x"})
    assert [selector.matches(each) for each in labels] == [present, other, absent]


@pytest.mark.rule("api-1.2.and", "api-1.2.or")
def test_requirements_are_anded_and_selectors_ored() -> None:
    """All requirements of one selector must hold; of several selectors one is enough."""
    both = compile_selector({"a": "x"}, [LabelSelectorRequirement("b", "Exists")])
    assert both.matches({"a": "x", "b": ""})
    assert not both.matches({"a": "x"})
    assert matches_any([both, select("c", "Exists")], {"c": "1"})
    assert not matches_any([], {"c": "1"})


def test_same_meaning_is_equal() -> None:
    """Neither the order of keys and values nor the form matters for equality."""
    one = compile_selector({"b": "1"}, [LabelSelectorRequirement("a", "In", ("y", "x", "x"))])
    other = compile_selector(
        None,
        [
            LabelSelectorRequirement("a", "In", ("x", "y")),
            LabelSelectorRequirement("b", "In", ("1",)),
        ],
    )
    assert one == other
    assert str(one) == "a in (x,y),b=1"


@pytest.mark.parametrize(
    ("key", "operator", "values", "message"),
    [
        ("a", "Is", (), "is not a valid label selector operator"),
        ("a", "In", (), "values set can't be empty"),
        ("a", "NotIn", (), "values set can't be empty"),
        ("a", "Exists", ("x",), "values set must be empty"),
        ("a", "DoesNotExist", ("x",), "values set must be empty"),
        ("", "Exists", (), "invalid label key"),
        ("-a", "Exists", (), "invalid label key"),
        ("a/b/c", "Exists", (), "invalid label key"),
        ("UP.example/b", "Exists", (), "invalid label key"),
        ("a" * 64, "Exists", (), "invalid label key"),
        ("a\n", "Exists", (), "invalid label key"),
        ("a", "In", ("x y",), "invalid label value"),
        ("a", "In", ("x" * 64,), "invalid label value"),
        ("a", "In", ("x\n",), "invalid label value"),
    ],
)
@pytest.mark.rule("api-1.2.operators")
def test_refuses(key: str, operator: str, values: tuple[str, ...], message: str) -> None:
    """An invalid selector says what is wrong with it."""
    with pytest.raises(ParseError, match=message):
        select(key, operator, *values)


def test_accepts_the_edges() -> None:
    """Longest names, a domain prefix and the empty value are valid."""
    assert select("example.com/" + "a" * 63, "In", "", "x" * 63, "A_b.c-1")
