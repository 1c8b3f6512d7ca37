"""Simulated TCP: two pipes with delay, pieces, cuts, slow readers, and ends that vanish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

RETRY_S = 0.2
LINGER_S = 5.0


class Clock(Protocol):
    now: float

    def after(self, delay_s: float, act: Callable[[], None]) -> None: ...


class User(Protocol):
    """Who has an end of a connection."""

    is_alive: bool

    def received(self, connection: int, octets: bytes) -> None: ...
    def closed(self, connection: int, reason: str) -> None: ...
    def drained(self, connection: int) -> None: ...


class Line:
    """What is between two hosts; every connection over it shares its fate."""

    def __init__(self, clock: Clock, chance: random.Random) -> None:
        self.clock = clock
        self.chance = chance
        self.is_cut = False
        self.delay_s = 0.001
        self.slow_until: dict[int, float] = {}
        """Of users (by id) that read little."""
        self.deaf_until: dict[int, float] = {}
        """Of users that read nothing."""


class End:
    """One end of a connection."""

    def __init__(self, line: Line, user: User, connection: int) -> None:
        self.line = line
        self.user = user
        self.connection = connection
        self.other: End
        self.is_open = True
        self.waiting = bytearray()
        """What was written here and not read there."""
        self.is_closing = False
        self._is_running = False

    def write(self, octets: bytes) -> None:
        """Send, in pieces, some time."""
        if self.is_open:
            self.waiting += octets
            self._run()

    def close(self, *, is_silent: bool) -> None:
        """Close after what waits, or at once."""
        self.is_open = False
        if is_silent:
            self.waiting.clear()
        self.is_closing = True
        self._run()
        self.line.clock.after(LINGER_S, self._give_up)

    def _give_up(self) -> None:
        if self.waiting:
            self.waiting.clear()
            self._run()

    def _run(self) -> None:
        if not self._is_running:
            self._is_running = True
            delay_s = self.line.delay_s * self.line.chance.uniform(0.5, 1.5)
            self.line.clock.after(delay_s, self._step)

    def _step(self) -> None:
        """Let the other side read a piece; what does not get through is tried again."""
        self._is_running = False
        line, now = self.line, self.line.clock.now
        reader = id(self.other.user)
        if line.is_cut or line.deaf_until.get(reader, 0.0) > now:
            if self.waiting or self.is_closing:
                self._again(RETRY_S)
            return
        size_max = 2000 if line.slow_until.get(reader, 0.0) > now else 70000
        size = line.chance.choice((1, 18, 19, 100, size_max, size_max, size_max))
        piece = bytes(self.waiting[:size])
        del self.waiting[:size]
        if piece:
            self._deliver(piece)
        if self.waiting:
            self._again(line.delay_s / 4 if size_max > 2000 else 0.05)
        elif self.is_closing:
            self.is_closing = False
            self.other.hear_end("closed by the other side")
        elif self.is_open and self.user.is_alive:
            self.user.drained(self.connection)

    def _again(self, delay_s: float) -> None:
        self._is_running = True
        self.line.clock.after(delay_s, self._step)

    def _deliver(self, piece: bytes) -> None:
        if not self.other.is_open:
            return
        if self.other.user.is_alive:
            self.other.user.received(self.other.connection, piece)
        else:
            self.line.clock.after(self.line.delay_s, lambda: self.hear_end("connection reset"))

    def hear_end(self, reason: str) -> None:
        """Learn that the other side is gone."""
        if self.is_open:
            self.is_open = False
            self.waiting.clear()
            if self.user.is_alive:
                self.user.closed(self.connection, reason)


def connect(line: Line, dialler: tuple[User, int], listener: tuple[User, int]) -> tuple[End, End]:
    """Make both ends."""
    first, second = End(line, *dialler), End(line, *listener)
    first.other, second.other = second, first
    return first, second
