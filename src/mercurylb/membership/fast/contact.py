"""What the detector knows of one other node."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mercurylb.membership.fast.codec import Status
from mercurylb.membership.fast.patience import Loss

if TYPE_CHECKING:
    from mercurylb.membership.fast.question import Question

WINDOW_SIZE = 64


class Window:
    """Which sequences of a session were seen: those far behind the highest count as seen."""

    __slots__ = ("_highest", "_mask")

    def __init__(self) -> None:
        self._highest = 0
        self._mask = 1

    @property
    def highest(self) -> int:
        """Return the highest sequence seen, 0 before any."""
        return self._highest

    def admit(self, sequence: int) -> bool:
        """Return whether a sequence is new, and remember it."""
        ahead = sequence - self._highest
        if ahead > 0:
            self._mask = (self._mask << min(ahead, WINDOW_SIZE) | 1) & ((1 << WINDOW_SIZE) - 1)
            self._highest = sequence
            return True
        bit = 1 << -ahead if ahead > -WINDOW_SIZE else 0
        if not bit or self._mask & bit:
            return False
        self._mask |= bit
        return True


KERNEL_FIRST_S = 1.0
"""Whether a kernel can be probed is found out quickly: without it silence is borne for longer."""


class Contact:
    """Another of our announcers."""

    __slots__ = (
        "address",
        "greeted_at",
        "heard_at",
        "hears_us",
        "incarnation",
        "is_refused",
        "is_watched",
        "kernel_at",
        "kernel_known_by",
        "kernel_probed_at",
        "loss",
        "mark",
        "node",
        "port",
        "question",
        "reached_at",
        "refusals",
        "refused_at",
        "sequence",
        "session",
        "sign_at",
        "silent_s",
        "spoken_incarnation",
        "status",
        "view_incarnation",
        "view_status",
        "window",
    )

    def __init__(self, node: str, address: str, port: int, *, sequence: int, now: float) -> None:
        self.node = node
        self.address = address
        self.port = port
        self.incarnation = 0
        self.status = Status.UNKNOWN
        """What we believe about it."""
        self.session = 0
        self.spoken_incarnation = 0
        """The highest that this session's own datagrams spoke of; SWIM may know a higher one."""
        self.window = Window()
        self.loss = Loss()
        self.sequence = sequence
        """Of the latest datagram to it."""
        self.is_watched = False
        self.sign_at = now
        """Latest sign of life of its process, heard by us or by another observer; or since when
        such is expected."""
        self.heard_at: float | None = None
        self.silent_s: float | None = None
        """How long it had been silent when we found it dead ourselves, the last time."""
        self.view_status = Status.UNKNOWN
        """What it believes about us."""
        self.view_incarnation = 0
        self.hears_us = False
        self.mark = 0
        """An echo of this sequence or a later one answers what we asked since we were in doubt."""
        self.kernel_at = -math.inf
        self.kernel_known_by = now + KERNEL_FIRST_S
        """Until then a kernel that has never answered is probed with every beat."""
        self.kernel_probed_at = -math.inf
        self.refused_at = -math.inf
        self.refusals = 0
        """How often its kernel said, since the latest sign, that nobody listens."""
        self.is_refused = False
        """It is not knocked at any more, because nobody listens there."""
        self.question: Question | None = None
        self.greeted_at = -math.inf
        self.reached_at = -math.inf

    def take_sign(self, at: float) -> None:
        """Take note that its process lived at a time."""
        if at > self.sign_at:
            self.sign_at = at
            if self.refused_at < at:
                self.refusals = 0

    def is_kernel_due(self, now: float, interval_s: float) -> bool:
        """Return whether its kernel is to be probed although nothing is amiss."""
        if self.kernel_at == -math.inf and now < self.kernel_known_by:
            return True
        return now >= self.kernel_probed_at + interval_s

    def take_session(self, session: int) -> None:
        """Begin anew with another process."""
        self.session = session
        self.spoken_incarnation = 0
        self.window = Window()
        self.loss = Loss()
        self.view_status, self.view_incarnation = Status.UNKNOWN, 0
        self.hears_us = False
        self.is_refused = False
