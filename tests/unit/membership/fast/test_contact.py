"""What the detector knows of one other node."""

from __future__ import annotations

import pytest

from mercurylb.membership.fast.contact import WINDOW_SIZE, Contact, Window

SEQUENCES = [
    ("in order", [1, 2, 3], [True, True, True]),
    ("repeated", [1, 1, 2, 1], [True, False, True, False]),
    ("overtaken", [3, 1, 2, 2], [True, True, True, False]),
    ("far behind", [WINDOW_SIZE + 5, 5, 6], [True, False, True]),
    ("far ahead", [1, 10**12, 10**12 - 1, 1], [True, True, True, False]),
    ("nothing", [0], [False]),
]


@pytest.mark.parametrize(
    ("sequences", "admitted"), [s[1:] for s in SEQUENCES], ids=[s[0] for s in SEQUENCES]
)
def test_window(sequences: list[int], admitted: list[bool]) -> None:
    """Every sequence is admitted once, in any order, unless it is long past."""
    window = Window()
    assert [window.admit(sequence) for sequence in sequences] == admitted
    assert window.highest == max(sequences)


def test_refusals_end_with_a_sign_of_life() -> None:
    """What a kernel said before its process was heard is forgotten, and old signs are no news."""
    contact = Contact("b", "10.0.0.2", 0, sequence=0, now=10.0)
    contact.refused_at, contact.refusals = 10.5, 2
    contact.take_sign(10.4)
    assert (contact.sign_at, contact.refusals) == (10.4, 2)
    contact.take_sign(10.2)
    assert contact.sign_at == 10.4
    contact.take_sign(10.6)
    assert contact.refusals == 0
