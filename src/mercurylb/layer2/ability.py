"""Whether a node can carry a service at all, and how it says so to the others.

A node is *unable* for a service when none of the interfaces chosen for it exists and runs there:
carrier lost, set down, enslaved, unplugged, never there. Others then pass it over, which MetalLB
0.16 does not do. Inability begins at once and ends after `RECOVERY_S` of steady carrier, because
whoever took over meanwhile does no harm, and a port that flaps would.

Services are told by digests of their names, so that the word fits into a member's note. Every
node, the unable one included, decides by the digests and not by the names: two names of one digest
make a service move without need, but all nodes agree on where it is.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.layer2.interface import NodeInterfaces

DIGEST_SIZE = 4
DIGESTS_MAX = 48
"""Services told one by one; with more of them a node says that it is unable for all."""
RECOVERY_S = 1.0


class Unable(msgspec.Struct, frozen=True):
    """The services a node cannot carry."""

    is_all: bool = False
    digests: frozenset[bytes] = frozenset()

    def covers(self, service: str) -> bool:
        """Return whether a service, `namespace/name`, is among them."""
        return self.is_all or (bool(self.digests) and digest_of(service) in self.digests)


ABLE = Unable()


def digest_of(service: str) -> bytes:
    """Return what stands for a service in a note."""
    return hashlib.sha256(service.encode()).digest()[:DIGEST_SIZE]


def unable_for(services: Iterable[str]) -> Unable:
    """Return the inability for these services, as exactly as its bound allows."""
    digests = frozenset(digest_of(service) for service in services)
    return Unable(is_all=True) if len(digests) > DIGESTS_MAX else Unable(digests=digests)


class Carriers:
    """The interfaces that run, and since when."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._steady: frozenset[str] = frozenset()
        self._is_known = False

    @property
    def is_known(self) -> bool:
        """Return whether the interfaces have been told yet."""
        return self._is_known

    @property
    def steady(self) -> frozenset[str]:
        """Return the names of the interfaces that have run for long enough."""
        return self._steady

    def on_interfaces(self, found: NodeInterfaces, now: float) -> None:
        """Take over which interfaces run; what runs when first told is steady at once."""
        began = now if self._is_known else now - RECOVERY_S
        running = [interface.name for interface in found.interfaces if interface.is_running]
        self._since = {name: self._since.get(name, began) for name in running}
        self._is_known = True
        self.on_deadline(now)

    def next_deadline(self) -> float | None:
        """Return when the next interface becomes steady."""
        waiting = [at for name, at in self._since.items() if name not in self._steady]
        return min(waiting) + RECOVERY_S if waiting else None

    def on_deadline(self, now: float) -> None:
        """Count the interfaces that have become steady."""
        self._steady = frozenset(
            name for name, since in self._since.items() if now >= since + RECOVERY_S
        )

    def can_carry(self, chosen: tuple[str, ...] | None) -> bool:
        """Return whether any of the chosen interfaces, of all for None, is steady."""
        if chosen is None:
            return bool(self._steady)
        return any(name in self._steady for name in chosen)
