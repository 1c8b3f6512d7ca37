"""Named draws: every choice of a script has a name, and its chance depends on nothing else.

Pure.  A draw that is added or left out does not shift the others of the same seed, so a seed keeps
telling the same story while the author learns new ones.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")


class Draws:
    """The choices of one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._counts: Counter[str] = Counter()

    def _random(self, name: str) -> random.Random:
        self._counts[name] += 1
        return random.Random(f"{self._seed}/{name}/{self._counts[name]}")

    def pick(self, name: str, options: Sequence[T]) -> T:
        """Pick one of several options."""
        return self._random(name).choice(options)

    def weigh(self, name: str, options: Mapping[T, float]) -> T:
        """Pick one of several options by their weights."""
        return self._random(name).choices(list(options), list(options.values()))[0]

    def some(self, name: str, options: Sequence[T], count: int) -> list[T]:
        """Pick several different options, in random order."""
        return self._random(name).sample(options, min(count, len(options)))

    def number(self, name: str, low: int, high: int) -> int:
        """Pick a whole number, both ends included."""
        return self._random(name).randint(low, high)

    def chance(self, name: str, share: float) -> bool:
        """Say yes in a share of the cases."""
        return self._random(name).random() < share
