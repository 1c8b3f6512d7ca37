"""Tables of routes, and what leads from one to another."""

from __future__ import annotations

import random

import pytest

from mercurylb.bgp.attribute import RouteAttributes
from mercurylb.bgp.family import IPV4, IPV6
from mercurylb.bgp.table import EMPTY, Delta, Run, Table, diff, merge

A = RouteAttributes(communities=(1,))
B = RouteAttributes(communities=(2,))
LEAVING = RouteAttributes(communities=(1, 0xFFFF0000), is_leaving=True)


def table(**parts: str) -> Table:
    """Make a table of IPv4: `a` and `b` are attributes, letters are prefixes."""
    attributes = {"a": A, "b": B, "leaving": LEAVING}
    return Table({(attributes[name], IPV4): tuple(text) for name, text in parts.items()})


def runs(delta: Delta) -> list[tuple[str, str]]:
    """Give the runs in short: attributes (or `-`) and prefixes."""
    names = {A: "a", B: "b", LEAVING: "leaving", None: "-"}
    return [(names[run.attributes], "".join(run.prefixes)) for run in delta.runs]


@pytest.mark.parametrize(
    ("old", "new", "removed", "added"),
    [
        ("", "", "", ""),
        ("abc", "abc", "", ""),
        ("", "abc", "", "abc"),
        ("abc", "", "abc", ""),
        ("abc", "ac", "b", ""),
        ("ac", "abc", "", "b"),
        ("abc", "bcd", "a", "d"),
        ("abc", "xyz", "abc", "xyz"),
        ("ace", "bdf", "ace", "bdf"),
    ],
)
def test_differences(old: str, new: str, removed: str, added: str) -> None:
    """In the order of the text."""
    assert diff(tuple(old), tuple(new)) == (list(removed), list(added))


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.02, 0.3, 1.0])
def test_differences_of_large_tables(share: float) -> None:
    """Few or many, found one way or the other, they are the same."""
    chance = random.Random(4)
    everything = sorted(f"{number:05}" for number in range(20_000))
    old = tuple(text for text in everything if chance.random() >= share / 2)
    new = tuple(text for text in everything if chance.random() >= share / 2)
    removed, added = diff(old, new)
    assert removed == sorted(set(old) - set(new))
    assert added == sorted(set(new) - set(old))


@pytest.mark.rule("bgp-native-1.5.order", "bgp-native-2.16.diff")
@pytest.mark.parametrize(
    ("before", "wanted", "expected"),
    [
        (EMPTY, EMPTY, []),
        (EMPTY, table(a="xy", b="z"), [("a", "xy"), ("b", "z")]),
        (table(a="xy"), EMPTY, [("-", "xy")]),
        (table(a="xy", b="z"), EMPTY, [("-", "xyz")]),
        (table(a="wx"), table(a="xy"), [("a", "y"), ("-", "w")]),
        (table(a="xy"), table(b="xy"), [("b", "xy")]),
        (table(a="xyz"), table(a="xz", b="y"), [("b", "y")]),
        (table(a="wxy"), table(a="w", b="xz"), [("b", "xz"), ("-", "y")]),
        (table(a="xy", b="z"), table(a="z", b="xy"), [("a", "z"), ("b", "xy")]),
        (table(a="xy"), table(leaving="xy"), [("leaving", "xy")]),
        (table(a="xy"), table(a="x", leaving="y"), [("leaving", "y")]),
        (EMPTY, table(leaving="xy"), []),
        (table(a="x"), table(leaving="xy"), [("leaving", "x")]),
        (table(leaving="xy"), EMPTY, [("-", "xy")]),
        (table(leaving="xy"), table(a="xy"), [("a", "xy")]),
        (table(a="x", b="y"), table(leaving="xyz"), [("leaving", "xy")]),
    ],
)
def test_what_leads_from_one_table_to_another(
    before: Table, wanted: Table, expected: list[tuple[str, str]]
) -> None:
    """Announcements first; a change is an announcement; nobody hears of new ones leaving."""
    assert runs(Delta(before, wanted)) == expected


def test_what_was_reached_lacks_what_nobody_was_told() -> None:
    """A prefix that was leaving before it was announced is not there afterwards."""
    reached = Delta(table(a="x"), table(leaving="xy")).reached
    assert reached.parts == {(LEAVING, IPV4): ("x",)}
    assert runs(Delta(reached, EMPTY)) == [("-", "x")]


def test_families_are_withdrawn_apart() -> None:
    """Each run has one family."""
    both = Table({(A, IPV6): ("6",), (A, IPV4): ("4",)})
    assert Delta(both, EMPTY).runs == (Run(IPV4, ("4",)), Run(IPV6, ("6",)))


def played(delta: Delta, before: dict[str, str], run_index: int, offset: int) -> dict[str, str]:
    """Do what the runs say up to a place, the plain way."""
    has = dict(before)
    for index, (attributes, prefixes) in enumerate(runs(delta)):
        if index > run_index:
            break
        for prefix in prefixes if index < run_index else prefixes[:offset]:
            if attributes == "-":
                del has[prefix]
            else:
                has[prefix] = attributes
    return has


def flat(of: Table) -> dict[str, str]:
    """Give attributes by prefix."""
    names = {A: "a", B: "b", LEAVING: "leaving"}
    return {prefix: names[key[0]] for key, part in of.parts.items() for prefix in part}


@pytest.mark.parametrize("seed", range(60))
def test_a_delta_stopped_anywhere_tells_what_the_peer_has(seed: int) -> None:
    """As if one had noted each prefix."""
    chance = random.Random(seed)
    before, wanted = (
        table(
            **{
                name: "".join(letter for letter in "abcdefghij" if owners[letter] == name)
                for name in ("a", "b", "leaving")
            }
        )
        for owners in (
            {letter: chance.choice(["a", "b", "leaving", ""]) for letter in "abcdefghij"}
            for _ in range(2)
        )
    )
    delta = Delta(before, wanted)
    for run_index, run in enumerate(delta.runs):
        for offset in range(len(run.prefixes) + 1):
            stopped = delta.stopped_at(run_index, offset)
            assert flat(stopped) == played(delta, flat(before), run_index, offset)
            assert all(list(part) == sorted(part) for part in stopped.parts.values())
    assert flat(delta.reached) == played(delta, flat(before), len(delta.runs), 0)
    told = {prefix: name for prefix, name in flat(wanted).items() if name != "leaving"}
    assert told.items() <= flat(delta.reached).items() <= flat(wanted).items()


def test_a_stop_is_the_same_for_all() -> None:
    """Peers at the same place share the table, and so what comes after it."""
    delta = Delta(EMPTY, table(a="xyz"))
    assert delta.stopped_at(0, 2) is delta.stopped_at(0, 2)
    assert delta.stopped_at(0, 0) is EMPTY


def test_tuples_are_not_copied_without_need() -> None:
    """What the plan made is what is kept."""
    part = ("x", "y")
    assert merge([part]) is part
    assert merge([("b", "d"), ("a", "c")]) == ("a", "b", "c", "d")
    assert Delta(EMPTY, Table({(A, IPV4): part})).runs[0].prefixes is part


def test_parts_of_a_family_stand_in_order() -> None:
    """By attributes."""
    assert table(b="x", a="y").ordered(IPV4) == ((A, ("y",)), (B, ("x",)))
    assert table(b="x").ordered(IPV6) == ()
    assert table(a="").parts == {}
