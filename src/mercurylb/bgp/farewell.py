"""The planned stop: tell that routes go (RFC 8326), withdraw them, tell why, close.

::

    leaving ──LEAVE_S, or nobody has a route──► withdrawing ──all taken, or WITHDRAW_S──► over
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.bgp.departure import LEAVE_S
from mercurylb.bgp.timer import NEVER

if TYPE_CHECKING:
    from collections.abc import Sequence

WITHDRAW_S: Final = 2.0
"""Peers that have not taken the withdrawals by then see the session end instead."""


class Farewell:
    """How far the stop has come."""

    def __init__(self, text: str, now: float) -> None:
        self.text = text
        self.deadline = now + LEAVE_S
        self.is_over = False
        self._is_withdrawing = False

    def is_to_withdraw(self, ribs: Sequence[tuple[bool, int]], now: float) -> bool:
        """Tell whether to withdraw now; of each session: whether all has left, and routes it has.

        Says so once.
        """
        has_none = all(is_settled and not count for is_settled, count in ribs)
        if self._is_withdrawing or not (has_none or now >= self.deadline):
            return False
        self._is_withdrawing = True
        self.deadline = now + WITHDRAW_S
        return True

    def is_to_part(self, ribs: Sequence[tuple[bool, int]], now: float) -> bool:
        """Tell whether to end the sessions now; says so once."""
        if not self._is_withdrawing or self.is_over:
            return False
        if now < self.deadline and not all(is_settled for is_settled, _ in ribs):
            return False
        self.is_over = True
        self.deadline = NEVER
        return True
