"""When a neighbour is dialled: at once, after a growing delay, or not for want of an address.

A peer waits, dials, or has a connection; never two of these, except that it may be dialled by the
neighbour while it dials itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.bgp.effect import Close, Connect
from mercurylb.bgp.next_hop import is_link_local
from mercurylb.bgp.timer import NEVER, OPENING_S, Backoff

if TYPE_CHECKING:
    from mercurylb.bgp.house import Desk


class Dialler:
    """The dials of one peer."""

    def __init__(self, desk: Desk) -> None:
        self.address = desk.settings.address
        """Empty as long as the router behind the interface is not found."""
        self.connection: int | None = None
        """That is under way."""
        self.until = NEVER
        """Then it has failed; the OPENs have to be there by then as well."""
        self.retry_at = NEVER
        self.backoff = Backoff(desk.settings.connect_time_s, desk.house.chance)
        self.is_active = False
        """Waiting after a connection that did not come to be, rather than after an error."""
        self._desk = desk

    @property
    def is_waiting(self) -> bool:
        """Tell whether the next dial has its time."""
        return self.retry_at != NEVER

    @property
    def deadline(self) -> float:
        """Give the time of the earliest timer."""
        return min(self.retry_at, self.until)

    def wait(self, now: float, *, is_active: bool) -> None:
        """Dial again after a while, which grows."""
        self.is_active = is_active
        self.retry_at = now + self.backoff.next_delay_s() if self.address else NEVER

    def hasten(self, now: float) -> None:
        """Dial at once, if there is an address."""
        self.retry_at = now if self.address else NEVER

    def rest(self) -> None:
        """Neither dial nor wait."""
        self.retry_at = NEVER
        self.is_active = False
        if self.connection is not None:
            self._desk.out.append(Close(self.connection, is_silent=True))
            self.forget()

    def dial(self, now: float) -> None:
        """Ask for a connection to the peer, whatever the timers say; one is under way then."""
        settings, remote = self._desk.settings, self.address
        if settings.interface and is_link_local(remote):
            remote = f"{remote}%{settings.interface}"
        self.retry_at = NEVER
        self.is_active = False
        self.connection = self._desk.house.allocate()
        self.until = now + OPENING_S
        self._desk.out.append(Connect(settings.name, self.connection, settings, remote))

    def forget(self) -> None:
        """Note that the dial has ended, in whatever way."""
        self.connection = None
        self.until = NEVER
