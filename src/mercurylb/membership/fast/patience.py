"""How long silence is borne: the times of the detector, measured loss, and our own lateness.

The rule for loss: a verdict needs evidence that chance alone would fake less than once in
10 ** `doubt`. Every beat that is missed, every ping and every probe of a kernel that stays without
an answer is worth the logarithm of how probable that is at the loss that was measured on the link.
On a link without loss that is reached long before `verdict_s`; at 30 % in about half a second.
"""

from __future__ import annotations

import collections
import math

import msgspec

STALLS_MAX = 16
_LOSS_WEIGHT = 1 / 32
_GAP_MAX = 4
"""A longer gap is an outage, not loss."""


class FastTiming(msgspec.Struct, frozen=True):
    """How quick and how patient the detector is."""

    interval_s: float = 0.1
    question_s: float = 0.22
    """Silence after which a node is asked, and others about it."""
    question_interval_s: float = 0.03
    gone_s: float = 0.2
    """Silence after which a kernel is believed that nobody listens."""
    verdict_s: float = 0.36
    """Silence after which a node is dead whose kernel is silent too."""
    report_wait_s: float = 0.42
    """Until then the other observers are waited for."""
    no_link_s: float = 1.0
    """The same where its kernel can never be probed: there is no common link."""
    ill_s: float = 1.5
    """Silence after which a node is dead even if its kernel answers: longer than any stall."""
    told_s: float = 0.15
    """How long a verdict that nobody else bears witness to is checked."""
    fresh_s: float = 0.2
    """What was heard not longer ago was heard just now."""
    doubt: float = 9.0
    loss_min: float = 0.02
    """What the loss of a link is taken for at least."""
    answer_s: float = 0.025
    """A question younger than this is not unanswered yet."""
    unanswered_min: int = 3
    lateness_min_s: float = 0.03
    """Our timer being later than this counts as a stall of our own."""
    extension_max_s: float = 0.4
    """Our own stalls extend the patience with somebody by no more than this."""
    settle_s: float = 0.03
    """After a stall of our own, first what has come in meanwhile is read."""
    stall_max_s: float = 0.75
    """After a longer one we may have been replaced: shorter than the `no_link_s` of the others."""
    kernel_interval_s: float = 2.0
    """Kernels of neighbours are probed in good times too, to know whether they can be."""
    kernel_memory_s: float = 20.0
    notice_interval_s: float = 0.05
    notice_s: float = 1.0
    """How long what everybody must know is repeated to those who have not answered."""
    is_strict: bool = True
    """Whether a verdict without a witness is checked before it is believed."""


class Loss:
    """How many datagrams of a link are lost, as an average that forgets."""

    __slots__ = ("_highest", "share")

    def __init__(self) -> None:
        self.share = 0.0
        self._highest: int | None = None

    def on_sequence(self, sequence: int) -> None:
        """Take in the number of a datagram that arrived."""
        if self._highest is None:
            self._highest = sequence
        gap = min(sequence - self._highest - 1, _GAP_MAX)
        if gap < 0:
            return
        self._highest = sequence
        for _ in range(gap):
            self.share += (1 - self.share) * _LOSS_WEIGHT
        self.share -= self.share * _LOSS_WEIGHT


def weigh(loss: float, *, beat_count: int, ping_count: int, probe_count: int) -> float:
    """Return how improbable it is that chance alone lost all of these, as a power of ten."""
    one_way = -math.log10(loss)
    both_ways = -math.log10(1 - (1 - loss) ** 2)
    return beat_count * one_way + (ping_count + probe_count) * both_ways


class Stalls:
    """When and for how long we ourselves stood still."""

    def __init__(self) -> None:
        self._stalls: collections.deque[tuple[float, float]] = collections.deque(maxlen=STALLS_MAX)
        self.latest_at = -math.inf

    def add(self, ended_at: float, seconds: float) -> None:
        """Remember one that has just ended."""
        self._stalls.append((ended_at, seconds))
        self.latest_at = ended_at

    def lost_since(self, since: float) -> float:
        """Return the time lost to stalls that ended after a time."""
        return sum(seconds for ended_at, seconds in self._stalls if ended_at > since)
