"""Withdraw before reuse: an address is shown by one service no more before another one shows it.

The book moves an address from one service to another in one step; the two statuses are two writes,
and many writes are on their way at once. If the new holder's came first, two services would show
one address, for a moment or, if the controller dies just then, for longer. So whoever is given an
address waits with showing it until the store proves that the former holder does not.

What a service may show is what its stored status shows, and what was written to it since: a write
names the version it changes, so one made for an older version than the stored one has either been
seen already or never takes effect.

Not here: services that may share an address. Both hold it in the book, so neither is leaving it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.api.service import Service


class Handover:
    """Knows who is leaving which address, and who waits for that."""

    def __init__(self) -> None:
        self._offered: dict[str, tuple[str, tuple[str, ...]]] = {}
        """By service: the version last written to, and the addresses of each write to it."""
        self._leaving: dict[str, frozenset[str]] = {}
        """By service: addresses it may show although it holds them no more."""
        self._leavers: dict[str, set[str]] = {}
        """The same by address."""
        self._waiting: dict[str, dict[str, None]] = {}
        """By service that is leaving something: those that wait for it."""

    def shown(self, service: Service) -> frozenset[str]:
        """Give every address that a service's status may show now."""
        version, offered = self._offered.get(service.metadata.key, ("", ()))
        stored = (entry.ip for entry in service.ingress if entry.ip)
        if version != service.metadata.resource_version:
            return frozenset(stored)
        return frozenset((*stored, *offered))

    def on_write(self, service: Service, addresses: tuple[str, ...]) -> None:
        """Take that a status with these addresses is being written to this version of a service."""
        key, version = service.metadata.key, service.metadata.resource_version
        before, offered = self._offered.get(key, ("", ()))
        self._offered[key] = version, (*offered, *addresses) if before == version else addresses

    def on_write_failed(self, key: str, version: str, addresses: Iterable[str]) -> None:
        """Take that such a write will never take effect."""
        before, offered = self._offered.get(key, ("", ()))
        if before == version:
            left = list(offered)
            for ip in addresses:
                left.remove(ip)
            self._offered[key] = version, tuple(left)

    def on_decided(self, service: Service, addresses: Iterable[str]) -> list[str]:
        """Take what a service is to have from now on; gives those that need not wait any more."""
        return self._set_leaving(service.metadata.key, self.shown(service).difference(addresses))

    def on_changed(self, key: str, service: Service | None) -> list[str]:
        """Take what the store says of a service; gives those that need not wait any more."""
        version, _ = self._offered.get(key, ("", ()))
        if service is None or version != service.metadata.resource_version:
            self._offered.pop(key, None)
        leaving = self._leaving.get(key)
        if not leaving:
            return []
        shown = frozenset[str]() if service is None else self.shown(service)
        return self._set_leaving(key, leaving & shown)

    def former_holders(self, key: str, addresses: Iterable[str]) -> list[str]:
        """Give the other services that may still show one of these addresses."""
        found = {other for ip in addresses for other in self._leavers.get(ip, ())}
        return sorted(found - {key})

    def wait(self, key: str, others: Iterable[str]) -> None:
        """Have a service named again when one of the others has left something."""
        for other in others:
            self._waiting.setdefault(other, {})[key] = None

    def _set_leaving(self, key: str, addresses: frozenset[str]) -> list[str]:
        before = self._leaving.pop(key, frozenset[str]())
        if addresses:
            self._leaving[key] = addresses
        for ip in before - addresses:
            self._leavers[ip].discard(key)
            if not self._leavers[ip]:
                del self._leavers[ip]
        for ip in addresses - before:
            self._leavers.setdefault(ip, set()).add(key)
        return list(self._waiting.pop(key, ())) if before - addresses else []
