"""How long to wait: between two attempts, between two messages, and for a peer that is silent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

NEVER: Final = math.inf

DELAYS_S: Final[Sequence[float]] = (0, 1, 2, 4, 8, 16, 32, 64, 120)
"""After the first, second … failed attempt, as MetalLB's native backend (spec: bgp-native 1.3)."""
OPENING_S: Final = 10.0
"""For the connection and both OPENs together (spec: bgp-native 1.2)."""
OPEN_HOLD_S: Final = 240.0
"""The hold time before one is agreed on (RFC 4271 section 8.2.2), where it is to be none."""
LASTED_S: Final = 10.0
"""A session that was established for so long was none that flaps."""
LATE_S: Final = 0.5
"""Whoever looks later than that at the clock did not look at the connections either."""
JITTER: Final = 0.25
"""All times are shortened by up to this share (RFC 4271 section 10)."""
SEND_HOLD_FACTOR: Final = 2
"""The send hold time in hold times (RFC 9687 wants it to be longer than one)."""


class Chance(Protocol):
    """What is needed of a `random.Random`."""

    def random(self) -> float:
        """Give a number from 0 to below 1."""
        ...


def jittered(duration_s: float, chance: Chance) -> float:
    """Give a duration that is up to a quarter shorter."""
    return duration_s * (1.0 - JITTER * chance.random())


class Backoff:
    """The growing delay between attempts; the first failure costs nothing."""

    def __init__(self, connect_time_s: int | None, chance: Chance) -> None:
        self._constant_s = connect_time_s
        self._chance = chance
        self.failure_count = 0

    def next_delay_s(self) -> float:
        """Count a failure and say how long to wait."""
        if self._constant_s is None or self.failure_count == 0:
            delay_s = DELAYS_S[min(self.failure_count, len(DELAYS_S) - 1)]
        else:
            delay_s = float(self._constant_s)
        self.failure_count += 1
        return jittered(delay_s, self._chance)

    def reset(self) -> None:
        """Forget the failures."""
        self.failure_count = 0
