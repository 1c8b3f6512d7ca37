"""Finding the router behind an interface, and being found by it (RFC 4861; pure).

A peer that is named by an interface has no address in the configuration. Both sides tell the link
by router advertisements that they are there, and dial the link-local address that the other one's
came from. For each wanted interface that runs:

* an advertisement every `INTERVAL_S`, and every `FAST_INTERVAL_S` for the first `FAST_COUNT`;
* one solicitation at the start, and an advertisement as the answer to a solicitation, at most every
  `ANSWER_INTERVAL_S`;
* the router found is forgotten when its lifetime is over or when it says that it is none any more;
* at the end an advertisement with lifetime 0, several times at a stop being left to the caller.

With several routers on a link the first one found stays until it goes. It does not do: routes,
prefixes, anything with the kernel's own configuration.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

import msgspec

from mercurylb.errors import WireError
from mercurylb.layer2.interface import IFF_RUNNING
from mercurylb.net.router_message import (
    ALL_NODES,
    ALL_ROUTERS,
    Advertisement,
    decode,
    encode_advertisement,
    encode_solicitation,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.layer2.interface import Link

INTERVAL_S = 10.0
LIFETIME_S = 30
"""Three intervals, as RFC 4861 section 6.2.1 has it."""
FAST_INTERVAL_S = 1.0
FAST_COUNT = 5
ANSWER_INTERVAL_S = 0.5


class OpenRouterPort(msgspec.Struct, frozen=True):
    """Send and receive on an interface."""

    interface: str
    index: int


class CloseRouterPort(msgspec.Struct, frozen=True):
    """Do so no more."""

    index: int


class SendRouterMessage(msgspec.Struct, frozen=True):
    """Send a message to a group of the link."""

    index: int
    group: str
    octets: bytes


class RouterFound(msgspec.Struct, frozen=True):
    """The router behind an interface has this address now."""

    interface: str
    link_local: str
    """Canonical text; empty if it is gone."""


DiscoveryEffect = OpenRouterPort | CloseRouterPort | SendRouterMessage | RouterFound


class _Interface:
    """One wanted interface that runs."""

    def __init__(self, link: Link, now: float) -> None:
        self.link = link
        self.fast_left = FAST_COUNT
        self.advertise_at = now
        self.advertised_at = float("-inf")
        self.router = ""
        self.router_until = float("inf")

    def deadline(self) -> float:
        return min(self.advertise_at, self.router_until)


class Discovery:
    """All interfaces of unnumbered peers."""

    def __init__(self) -> None:
        self.malformed_count = 0
        self._wanted: set[str] = set()
        self._links: dict[str, Link] = {}
        self._open: dict[str, _Interface] = {}
        self._own: frozenset[bytes] = frozenset()

    def on_wanted(self, interface: str, now: float, *, is_wanted: bool) -> list[DiscoveryEffect]:
        """Look for the router behind an interface, or stop doing so."""
        if is_wanted:
            self._wanted.add(interface)
        else:
            self._wanted.discard(interface)
        return self._adjust(now)

    def on_links(self, links: Iterable[Link], now: float) -> list[DiscoveryEffect]:
        """Take over the node's links."""
        self._links = {link.name: link for link in links}
        self._own = frozenset(one for link in self._links.values() for one in link.link_locals)
        return self._adjust(now)

    def on_message(
        self, index: int, source: str, octets: bytes, now: float
    ) -> list[DiscoveryEffect]:
        """Take in a message that came over this link, and not from beyond it."""
        found = next((one for one in self._open.values() if one.link.index == index), None)
        if found is None:
            return []
        address = ipaddress.IPv6Address(source)
        try:
            message = decode(octets)
        except WireError:
            self.malformed_count += 1
            return []
        if address.packed in self._own:
            return []
        if not isinstance(message, Advertisement):
            return self._solicited(found, now)
        if not address.is_link_local:
            self.malformed_count += 1
            return []
        return self._heard(found, str(address), message.lifetime_s, now)

    def next_deadline(self) -> float | None:
        """Return when the next advertisement is due, or a router's lifetime over."""
        return min((one.deadline() for one in self._open.values()), default=None)

    def on_deadline(self, now: float) -> list[DiscoveryEffect]:
        """Do what is due."""
        effects: list[DiscoveryEffect] = []
        for found in self._open.values():
            if now >= found.router_until:
                effects += self._forget(found)
            if now >= found.advertise_at:
                effects += self._advertise(found, now)
        return effects

    def on_stop(self) -> list[DiscoveryEffect]:
        """Say on every interface that this is no router any more."""
        self._wanted.clear()
        return self._adjust(0.0)

    # --- interfaces --------------------------------------------------------------------------

    def _adjust(self, now: float) -> list[DiscoveryEffect]:
        """Open what is wanted and runs, close what is not."""
        able = {
            name: link
            for name, link in self._links.items()
            if name in self._wanted and link.flags & IFF_RUNNING and link.link_locals
        }
        effects: list[DiscoveryEffect] = []
        for name, found in sorted(self._open.items()):
            link = able.get(name)
            if link is None or link.index != found.link.index:
                del self._open[name]
                effects += self._goodbye(found)
            else:
                found.link = link
        for name in sorted(able.keys() - self._open.keys()):
            link = able[name]
            found = self._open[name] = _Interface(link, now)
            solicitation = encode_solicitation(link.mac)
            effects.append(OpenRouterPort(name, link.index))
            effects.append(SendRouterMessage(link.index, ALL_ROUTERS, solicitation))
            effects += self._advertise(found, now)
        return effects

    def _goodbye(self, found: _Interface) -> list[DiscoveryEffect]:
        link = found.link
        last = SendRouterMessage(link.index, ALL_NODES, encode_advertisement(0, link.mac))
        return [last, CloseRouterPort(link.index), *self._forget(found)]

    # --- advertisements ----------------------------------------------------------------------

    def _advertise(self, found: _Interface, now: float) -> list[DiscoveryEffect]:
        found.advertised_at = now
        found.advertise_at = now + (FAST_INTERVAL_S if found.fast_left else INTERVAL_S)
        found.fast_left = max(0, found.fast_left - 1)
        octets = encode_advertisement(LIFETIME_S, found.link.mac)
        return [SendRouterMessage(found.link.index, ALL_NODES, octets)]

    def _solicited(self, found: _Interface, now: float) -> list[DiscoveryEffect]:
        if now - found.advertised_at >= ANSWER_INTERVAL_S:
            return self._advertise(found, now)
        found.advertise_at = min(found.advertise_at, found.advertised_at + ANSWER_INTERVAL_S)
        return []

    def _heard(
        self, found: _Interface, source: str, lifetime_s: int, now: float
    ) -> list[DiscoveryEffect]:
        if not lifetime_s:
            return self._forget(found) if source == found.router else []
        if found.router not in {"", source}:
            return []
        is_news = found.router != source
        found.router, found.router_until = source, now + lifetime_s
        return [RouterFound(found.link.name, source)] if is_news else []

    def _forget(self, found: _Interface) -> list[DiscoveryEffect]:
        found.router_until = float("inf")
        if not found.router:
            return []
        found.router = ""
        return [RouterFound(found.link.name, "")]
