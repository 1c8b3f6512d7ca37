"""`lab compare` without a lab: scripts, pictures, and what may differ."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lab.compare import author, view
from lab.compare.command import parse_seeds
from lab.compare.deviations import COMPETED, RULES, WAITED, judge
from lab.compare.draws import Draws
from lab.compare.play import Before, Verdict
from lab.compare.script import (
    COMMUNITY,
    HOME,
    NAMESPACE,
    POOL,
    RESTART,
    SERVICE,
    Step,
    dump,
    is_spoiled,
    load,
)
from lab.compare.world import Terms
from lab.errors import LabError
from scripts.rule_coverage import first_cells

SEEDS = range(1, 151)
ALL = Terms(restarts=("b", ""))
ORDERED = Terms(ordered=True, retires=False)


@pytest.fixture(scope="module")
def scripts() -> list[list[Step]]:
    """Write many scripts once."""
    return [author.write(seed, ALL) for seed in SEEDS]


# --- scripts -------------------------------------------------------------------------------------


def test_a_seed_is_a_script(scripts: list[list[Step]]) -> None:
    """The same seed tells the same story, another one another."""
    assert [author.write(seed, ALL) for seed in SEEDS] == scripts
    assert len({dump(steps) for steps in scripts}) == len(SEEDS)


def test_a_draw_depends_on_its_name_only() -> None:
    """A choice that comes or goes does not shift the other ones."""
    alone, among = Draws(7), Draws(7)
    among.number("other", 1, 6)
    assert [alone.number("this", 1, 9) for _ in range(9)] == [
        among.number("this", 1, 9) for _ in range(9)
    ]


def test_a_script_is_written_and_read(scripts: list[list[Step]]) -> None:
    """What a failing run prints can be played again."""
    for steps in scripts[:20]:
        assert load(dump(steps)) == steps


def test_scripts_act_on_what_exists(scripts: list[list[Step]]) -> None:
    """Nothing is made twice, and nothing is changed or deleted that is not there."""
    for steps in scripts:
        present: set[str] = set()
        for step in steps:
            if step.verb == "create":
                assert step.path not in present
                present.add(step.path)
            elif step.kind not in ("", NAMESPACE):
                assert step.path in present
            if step.verb == "delete":
                present.discard(step.path)


def test_mistakes_are_corrected(scripts: list[list[Step]]) -> None:
    """No script ends with an invalid configuration, and nobody restarts during one."""
    for steps in scripts:
        assert not is_spoiled(steps)
        for number, step in enumerate(steps):
            assert step.verb != RESTART or not is_spoiled(steps[:number])


def test_everything_happens_somewhere(scripts: list[list[Step]]) -> None:
    """The author knows more than one story."""
    steps = [step for script in scripts for step in script]
    kinds = Counter((step.verb, step.kind) for step in steps)
    wanted = {(verb, kind) for verb in ("create", "patch", "delete") for kind in (SERVICE, POOL)}
    wanted |= {("create", COMMUNITY), ("delete", COMMUNITY), ("patch", NAMESPACE), (RESTART, "")}
    assert {kind for kind, count in kinds.items() if count > 2} >= wanted
    text = dump(steps)
    for word in (
        "avoidBuggyIPs",
        "namespaceSelectors",
        "serviceSelectors",
        "priority",
        "PreferDualStack",
        "RequireDualStack",
        '"Local"',
        "metallb.universe.tf/loadBalancerIPs",
        "metallb.io/loadBalancerIPs",
        "metallb.io/address-pool",
        "metallb.io/allow-shared-ip",
        "loadBalancerIP",
        "NodePort",
        '"spoils": true',
    ):
        assert word in text, word


def test_ordered_scripts_leave_nothing_to_chance() -> None:
    """At no time are there two pools between which MetalLB 0.16 would draw lots."""
    for seed in SEEDS:
        pools: dict[str, Any] = {}
        for step in author.write(seed, ORDERED):
            if step.kind != POOL:
                continue
            if step.verb == "delete":
                pools.pop(step.name, None)
            elif not step.spoils:
                pools[step.name] = step.body["spec"]
            ranks = [
                (spec.get("serviceAllocation") or {"priority": "open"}).get("priority")
                for spec in pools.values()
                if spec.get("autoAssign") is not False
            ]
            assert len(ranks) == len(set(ranks)), (seed, pools)


def test_a_mistake_lasts_until_its_object_is_changed_or_gone() -> None:
    """What the author calls spoilt is known after any number of steps."""
    bad = Step("create", POOL, "p1", HOME, spoils=True)
    other = Step("create", POOL, "p2", HOME)
    assert is_spoiled([bad, other])
    assert not is_spoiled([bad, Step("delete", POOL, "p1", HOME)])
    assert not is_spoiled([bad, Step("patch", POOL, "p1", HOME)])


@pytest.mark.parametrize(
    ("text", "seeds"), [("1-3", [1, 2, 3]), ("5", [5]), ("1,4-5", [1, 4, 5]), ("3-2", [])]
)
def test_seeds_are_numbers_and_spans(text: str, seeds: list[int]) -> None:
    """Both forms may be mixed."""
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "x", "1-", "-3", "1-2-3", "1,,2"])
def test_what_is_no_seed_is_refused(text: str) -> None:
    """A typing error is told."""
    with pytest.raises(LabError, match="seeds"):
        parse_seeds(text)


# --- pictures ------------------------------------------------------------------------------------


def test_a_picture_shows_what_a_controller_wrote() -> None:
    """Addresses in their order, the pool, conditions without their times."""
    service = {
        "metadata": {"annotations": {"metallb.io/ip-allocated-from-pool": "p", "x": "y"}},
        "spec": {"type": "LoadBalancer"},
        "status": {
            "loadBalancer": {"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}, {"ip": "1000::"}]},
            "conditions": [
                {"type": "T", "status": "True", "reason": "R", "lastTransitionTime": "now"}
            ],
        },
    }
    assert view.draw_service(service) == {
        "type": "LoadBalancer",
        "addresses": "1.2.3.4 1000::",
        "pool": "p",
        "condition T": "True | R | ",
    }


def test_cluster_addresses_are_left_out() -> None:
    """The twins' differ, and nobody decides by them."""
    text = 'for ["10.96.4.5" "fd00:96::b12"] 10.20.0.1'
    assert view.tidy(text) == 'for ["<clusterIPv4>" "<clusterIPv6>"] 10.20.0.1'


def test_differences_are_told_line_by_line() -> None:
    """Both sides are shown, a missing one as such."""
    assert view.differences({"x": "1", "y": "2", "z": ""}, {"x": "1", "y": "3"}) == [
        "y",
        "    a: 2",
        "    b: 3",
        "z",
        "    a: (empty)",
        "    b: (nothing)",
    ]


# --- what may differ -----------------------------------------------------------------------------

NOTHING = Before(None, ({}, {}))
EVENT = "events of @-red/x: event "
FAILED = f"{EVENT}Warning | AllocationFailed | Failed: "


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({f"{FAILED}no IPs: pool p: full": "said"}, {f"{FAILED}no IPs": "said"}),
        (
            {f"{FAILED}no IPs: p": "said", f"{FAILED}no IPs: q": "said"},
            {f"{FAILED}no IPs": "said"},
        ),
        (
            {f"{FAILED}no available IPs in pool p: it has no IPv4 addresses": "said"},
            {f'{FAILED}["<nil>"] is not allowed in config': "said"},
        ),
        (
            {"ConfigurationState: errorSummary": "configuration error: a\nb"},
            {"ConfigurationState: errorSummary": "configuration error: c"},
        ),
        ({"Service @-red/x: condition mercurylb.io/Address": "False | No | why"}, {}),
    ],
)
def test_what_is_documented_may_differ(ours: view.Picture, theirs: view.Picture) -> None:
    """Each rule lets its own kind of difference pass."""
    assert judge(ours, theirs, NOTHING).differences == []


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({f"{FAILED}no IPs": "said"}, {}),
        ({}, {f"{FAILED}no IPs": "said"}),
        ({f"{FAILED}no IPs, full": "said"}, {f"{FAILED}no IPs": "said"}),
        ({f"{FAILED}no IPs: full": "said"}, {f"{EVENT}Normal | Other | no IPs": "said"}),
        (
            {"ConfigurationState: errorSummary": "configuration error: a"},
            {"ConfigurationState: errorSummary": ""},
        ),
        ({"ConfigurationState: result": "Valid"}, {"ConfigurationState: result": "Invalid"}),
        ({}, {"Service @-red/x: condition T": "True"}),
        ({"Service @-red/x: addresses": "1.2.3.4"}, {"Service @-red/x: addresses": ""}),
    ],
)
def test_everything_else_is_a_finding(ours: view.Picture, theirs: view.Picture) -> None:
    """No rule lets more pass than it names."""
    assert judge(ours, theirs, NOTHING).differences != []


def test_waiters_may_be_served_in_another_order() -> None:
    """Two services that got each other's address end the script without a finding."""
    one, other = "Service @-red/x: addresses", "Service @-red/y: addresses"
    before = Before(None, ({one: "", other: ""}, {one: "", other: ""}))
    swapped = judge({one: "1.2.3.4", other: ""}, {one: "", other: "1.2.3.4"}, before)
    assert swapped.differences == []
    assert swapped.stop == WAITED
    dual = judge(
        {one: "1.2.3.4", other: "1.2.3.5 ::1"}, {one: "1.2.3.5", other: "1.2.3.4 ::1"}, before
    )
    assert dual.stop == WAITED
    lost = judge({one: "1.2.3.4", other: ""}, {one: "", other: ""}, before)
    assert lost.differences != []


def test_who_comes_too_late_may_be_another() -> None:
    """Where there is not enough for two that lost what they had, the order decides who gets it."""
    one, other = "Service @-red/x: addresses", "Service @-red/y: addresses"
    counters = "IPAddressPool @-home/p: counters"
    before = Before(None, ({one: "1 ::1", other: "2 ::2"}, {one: "1 ::1", other: "2 ::2"}))
    ours = {one: "1 ::ff", other: "", counters: "1"}
    theirs = {one: "2", other: "1 ::ff", counters: "2"}
    assert judge(ours, theirs, before) == Verdict([], stop=COMPETED)
    assert judge(ours, theirs | {"ConfigurationState: result": "Invalid"}, before).differences


def test_a_swap_of_what_was_held_is_a_finding() -> None:
    """Only who waited may be served in another order."""
    one, other = "Service @-red/x: addresses", "Service @-red/y: addresses"
    before = Before(None, ({one: "1", other: "2"}, {one: "1", other: "2"}))
    assert judge({one: "1", other: "2"}, {one: "2", other: "1"}, before).differences != []


def test_each_rule_stands_for_a_row_of_the_document() -> None:
    """What may differ is written down for operators."""
    document = Path(__file__).resolve().parents[3] / "docs" / "compatibility.md"
    assert {rule.row for rule in RULES} <= set(first_cells(document.read_text()))
