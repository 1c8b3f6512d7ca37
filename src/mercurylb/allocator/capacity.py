"""How many addresses a pool can give out, counted as the API shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mercurylb.values.address import BITS, IPV4, IPV6
from mercurylb.values.prefix import Prefix, is_buggy

if TYPE_CHECKING:
    from collections.abc import Iterable

COUNTER_MAX: Final = (1 << 63) - 1
"""What the API can hold: capacities saturate here."""

_SATURATING_HOST_BITS: Final = 62
_CLASS_C: Final = 24


def capacity_of(prefixes: Iterable[Prefix], *, avoid_buggy: bool) -> int:
    """Count the addresses of prefixes of one family, at most `COUNTER_MAX`."""
    total = 0
    for prefix in prefixes:
        if BITS[prefix.family] - prefix.length >= _SATURATING_HOST_BITS:
            return COUNTER_MAX
        total += prefix.size - (_count_buggy(prefix) if avoid_buggy else 0)
    return min(total, COUNTER_MAX)


def _count_buggy(prefix: Prefix) -> int:
    if prefix.family == IPV6:
        return 0
    if prefix.length <= _CLASS_C:
        return 2 << _CLASS_C - prefix.length
    return sum(is_buggy(IPV4, number) for number in {prefix.first, prefix.last})
