"""The handover of certificates: at no moment the API server cannot verify us."""

from __future__ import annotations

import pytest

from mercurylb.webhook.handover import (
    LINGER_S,
    PATIENCE_S,
    SETTLE_S,
    Handover,
    Inject,
    Serve,
    Target,
)
from mercurylb.webhook.rotation import Material

OLD, NEW, FOREIGN = b"old", b"new", b"foreign"
FIRST = Material(b"pair 1", (OLD,))
RENEWED = Material(b"pair 2", (OLD,))
SECOND = Material(b"pair 3", (NEW,))
HOOKS, DEFINITION = "hooks", "definition"


def holding(*bundle: bytes, count: int = 2, is_clean: bool = True) -> Target:
    """Make a target whose fields all hold one bundle."""
    return Target((bundle,) * count, is_clean)


def serving(*targets: str) -> Handover:
    """Make a replica that serves by the old authority, which all targets hold."""
    machine = Handover()
    machine.on_targets(dict.fromkeys(targets, holding(OLD)), 0.0)
    assert machine.on_material(FIRST, 0.0) == [Serve(FIRST)]
    return machine


def test_the_first_certificate_is_served_at_once() -> None:
    """Nobody is worse off by an answer that is not trusted yet; and every target is told."""
    machine = Handover()
    assert machine.on_targets({HOOKS: holding(b"", count=1), DEFINITION: Target(((),))}, 0.0) == []
    assert machine.on_material(FIRST, 1.0) == [
        Serve(FIRST),
        Inject(DEFINITION, (OLD,)),
        Inject(HOOKS, (OLD, b"")),
    ]


def test_what_is_as_it_should_be_is_left_alone() -> None:
    """Nothing is written while nothing changes."""
    machine = serving(HOOKS, DEFINITION)
    assert machine.on_deadline(1e9) == []
    assert machine.next_deadline() is None


def test_a_renewed_pair_of_the_same_authority_is_served_at_once() -> None:
    """It is trusted already."""
    machine = serving(HOOKS)
    assert machine.on_material(RENEWED, 5.0) == [Serve(RENEWED)]


@pytest.mark.rule("config-11.3.no-window")
def test_a_new_authority_comes_before_its_certificate_and_the_old_one_goes_last() -> None:
    """Injected beside the old one, seen and settled, served, and only then alone."""
    machine = serving(HOOKS, DEFINITION)
    both = (NEW, OLD)
    assert machine.on_material(SECOND, 10.0) == [Inject(DEFINITION, both), Inject(HOOKS, both)]
    half = {HOOKS: holding(*both), DEFINITION: holding(OLD)}
    assert machine.on_targets(half, 11.0) == [Inject(DEFINITION, both)]
    done = dict.fromkeys(half, holding(*both))
    assert machine.on_targets(done, 12.0) == []
    assert machine.next_deadline() == 12.0 + SETTLE_S
    assert machine.on_deadline(12.0 + SETTLE_S - 0.1) == []
    assert machine.served == FIRST
    assert machine.on_deadline(12.0 + SETTLE_S) == [Serve(SECOND)]
    switched_at = 12.0 + SETTLE_S
    assert machine.next_deadline() == switched_at + LINGER_S
    assert machine.on_deadline(switched_at + LINGER_S - 0.1) == []
    alone = (NEW,)
    assert machine.on_deadline(switched_at + LINGER_S) == [
        Inject(DEFINITION, alone),
        Inject(HOOKS, alone),
    ]
    assert machine.on_targets(dict.fromkeys(done, holding(NEW)), 99.0) == []
    assert machine.next_deadline() is None


@pytest.mark.rule("config-11.3.no-window")
def test_trust_that_is_taken_away_again_starts_anew() -> None:
    """The time to settle counts from the last moment that a target lacked the authority."""
    machine = serving(HOOKS)
    machine.on_material(SECOND, 0.0)
    machine.on_targets({HOOKS: holding(NEW, OLD)}, 1.0)
    assert machine.on_targets({HOOKS: holding(OLD)}, 3.0) == [Inject(HOOKS, (NEW, OLD))]
    machine.on_targets({HOOKS: holding(NEW, OLD)}, 4.0)
    assert machine.on_deadline(1.0 + SETTLE_S) == []
    assert machine.on_deadline(4.0 + SETTLE_S) == [Serve(SECOND)]


@pytest.mark.rule("config-11.3.no-window")
def test_what_is_still_served_is_defended_while_another_authority_comes() -> None:
    """Whoever takes the old authority out too early is corrected."""
    machine = serving(HOOKS)
    machine.on_material(SECOND, 0.0)
    assert machine.on_targets({HOOKS: holding(NEW)}, 1.0) == [Inject(HOOKS, (NEW, OLD))]


@pytest.mark.rule("config-11.3.injection")
@pytest.mark.parametrize(
    "target",
    [
        Target(((OLD,), ())),
        Target(((), ())),
        Target(((OLD,), (OLD,)), is_clean=False),
    ],
)
def test_whoever_resets_a_target_is_corrected(target: Target) -> None:
    """One empty field of several, all of them, or rubbish beside the authority."""
    machine = serving(HOOKS)
    assert machine.on_targets({HOOKS: target}, 5.0) == [Inject(HOOKS, (OLD,))]


@pytest.mark.rule("config-11.3.injection")
def test_a_foreign_authority_is_replaced_and_goes_after_a_while() -> None:
    """It might be another replica's; after a minute it is nobody's."""
    machine = serving(HOOKS)
    assert machine.on_targets({HOOKS: holding(FOREIGN)}, 5.0) == [Inject(HOOKS, (OLD, FOREIGN))]
    assert machine.on_targets({HOOKS: holding(OLD, FOREIGN)}, 6.0) == []
    assert machine.on_deadline(5.0 + LINGER_S) == [Inject(HOOKS, (OLD,))]


def test_two_replicas_agree() -> None:
    """One that switched earlier does not take the other one's authority away."""
    early, late = serving(HOOKS), serving(HOOKS)
    for machine in (early, late):
        machine.on_material(SECOND, 0.0)
    both = {HOOKS: holding(NEW, OLD)}
    early.on_targets(both, 1.0)
    late.on_targets(both, 3.0)
    assert early.on_deadline(1.0 + SETTLE_S) == [Serve(SECOND)]
    assert late.on_deadline(1.0 + SETTLE_S) == []
    assert late.on_deadline(3.0 + SETTLE_S) == [Serve(SECOND)]
    assert early.on_deadline(3.0 + SETTLE_S) == []


def test_a_target_that_does_not_exist_holds_nothing_up() -> None:
    """Without objects that name us there is nobody to convince."""
    machine = serving()
    machine.on_material(SECOND, 0.0)
    assert machine.on_deadline(SETTLE_S) == [Serve(SECOND)]


def test_a_target_that_cannot_be_read_is_waited_for_but_not_for_ever() -> None:
    """An old certificate that ends is worse than a new one that may not be trusted."""
    machine = serving(HOOKS)
    machine.on_targets({HOOKS: None}, 0.0)
    assert machine.on_material(SECOND, 0.0) == []
    assert machine.on_deadline(PATIENCE_S - 1) == []
    assert machine.next_deadline() == PATIENCE_S
    assert machine.on_deadline(PATIENCE_S) == [Serve(SECOND, is_forced=True)]


def test_a_definition_without_webhook_has_nothing_to_hold() -> None:
    """No field, no write."""
    machine = serving(HOOKS)
    machine.on_targets({HOOKS: holding(OLD), DEFINITION: Target(())}, 0.0)
    assert machine.on_deadline(1.0) == []
    machine.on_material(SECOND, 2.0)
    machine.on_targets({HOOKS: holding(NEW, OLD), DEFINITION: Target(())}, 3.0)
    assert machine.on_deadline(3.0 + SETTLE_S) == [Serve(SECOND)]
