"""What a node cannot carry."""

from __future__ import annotations

import pytest

from mercurylb.layer2.ability import DIGESTS_MAX, Carriers, Unable, digest_of, unable_for
from tests.unit.layer2.scene import interface, node


def test_inability_covers_by_name() -> None:
    """All covers everything, digests cover their services, and nothing covers nothing."""
    some = unable_for(["default/a", "default/b"])
    assert [some.covers(f"default/{x}") for x in "abc"] == [True, True, False]
    assert Unable(is_all=True).covers("default/c")
    assert not Unable().covers("default/a")


def test_digest_fits_into_a_note() -> None:
    """Four bytes stand for a name, the same on every node."""
    assert digest_of("default/a").hex() == "9efb3611"


@pytest.mark.parametrize(
    ("count", "is_all"), [(0, False), (DIGESTS_MAX, False), (DIGESTS_MAX + 1, True)]
)
def test_inability_is_bounded(
    count: int,
    is_all: bool,  # noqa: FBT001 (a parameter of the table)
) -> None:
    """More services than a note can hold are all services."""
    word = unable_for(f"default/{number}" for number in range(count))
    assert word.is_all == is_all
    assert len(word.digests) == (0 if is_all else count)


def test_what_runs_at_the_start_is_steady_at_once() -> None:
    """Nobody waits for interfaces that may have run for ever."""
    carriers = Carriers()
    carriers.on_interfaces(node(interface(1), interface(2, is_running=False)), 10.0)
    assert carriers.steady == {"eth0"}
    assert carriers.next_deadline() is None


def test_carrier_counts_again_after_a_second_without_a_flap() -> None:
    """Losing it counts at once, and each flap begins the second anew."""
    carriers = Carriers()
    up, down = node(interface(1)), node(interface(1, is_running=False))
    for at, state in ((10.0, up), (20.0, down), (20.1, up), (20.5, down), (20.6, up)):
        carriers.on_interfaces(state, at)
    assert carriers.steady == set()
    assert carriers.next_deadline() == pytest.approx(21.6)
    carriers.on_deadline(21.5)
    assert carriers.steady == set()
    carriers.on_deadline(21.6)
    assert carriers.steady == {"eth0"}


@pytest.mark.parametrize(
    ("chosen", "can_carry"),
    [(None, True), (("eth0",), True), (("eth7", "eth0"), True), (("eth7",), False), ((), False)],
)
def test_one_chosen_interface_is_enough(
    chosen: tuple[str, ...] | None,
    can_carry: bool,  # noqa: FBT001 (a parameter of the table)
) -> None:
    """A service is carried as long as any of its interfaces runs."""
    carriers = Carriers()
    carriers.on_interfaces(node(interface(1)), 0.0)
    assert carriers.can_carry(chosen) == can_carry
