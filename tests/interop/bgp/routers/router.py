"""What the tests ask of any router: to know our node, and to say what it sees of it."""

from __future__ import annotations

import abc
import functools
import ipaddress
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.interop.bgp.network import Network

IPV4 = "ipv4"
IPV6 = "ipv6"


class BfdTimers(msgspec.Struct, frozen=True):
    """The router's side of a BFD session."""

    interval_ms: int = 100
    multiplier: int = 3
    is_passive: bool = False


class Neighbor(msgspec.Struct, frozen=True):
    """Our node, as a router is told of it."""

    name: str
    address: str
    """Ours; empty for an unnumbered one."""
    asn: int
    """Ours, as the router expects it."""
    local: str
    """The router's own."""
    families: tuple[str, ...] = (IPV4,)
    hold_time_s: int = 9
    keepalive_time_s: int = 3
    password: str = ""
    is_dialling: bool = False
    """Whether the router connects as well."""
    port: int = 179
    """Ours, where it dials."""
    has_as4: bool = True
    has_extended_next_hop: bool = False
    has_extended_messages: bool = False
    has_graceful_restart: bool = False
    gtsm_hops: int = 0
    hop_count: int = 0
    """Of a peer that is not on the link."""
    bfd: BfdTimers | None = None
    interface: str = ""
    """Of an unnumbered peer."""


class Seen(msgspec.Struct, frozen=True):
    """One prefix as the router has it from us."""

    next_hops: tuple[str, ...]
    as_path: tuple[int, ...] = ()
    communities: tuple[str, ...] = ()
    """`65535:666`, ascending."""
    large: tuple[str, ...] = ()
    """`1:2:3`, ascending."""
    local_pref: int | None = None
    """None if the router does not tell one of an external peer."""
    is_stale: bool = False


class View(msgspec.Struct, frozen=True):
    """The session as the router has it."""

    is_established: bool
    state: str
    hold_time_s: int | None = None
    keepalive_time_s: int | None = None
    router_id: str = ""
    """Ours."""
    asn: int = 0
    """Ours."""
    updates: int | None = None
    """UPDATE messages received; None where the router does not count them."""
    last_error: str = ""
    """Why the last session ended, in whatever words."""
    end_of_rib: tuple[str, ...] | None = None
    """Families whose end was seen; None where the router does not tell."""
    capabilities: str = ""
    """What we are known to have, in the router's words, lower case."""
    bfd: str = ""
    """Lower case."""


class Router(abc.ABC):
    """A router daemon in a namespace; many neighbours may be added and removed."""

    kind: str

    def __init__(
        self, network: Network, folder: Path, *, asn: int, name: str = "", port: int = 179
    ) -> None:
        self.network = network
        self.name = name or self.kind
        self.namespace = network.namespace(self.kind)
        self.folder = folder / self.name
        self.folder.mkdir(parents=True)
        self.asn = asn
        self.port = port
        self.neighbors: dict[str, Neighbor] = {}

    def address(self, *, is_ipv6: bool = False, is_far: bool = False) -> str:
        """Return the router's address."""
        return self.network.address(self.kind, is_ipv6=is_ipv6, is_far=is_far)

    @abc.abstractmethod
    def start(self) -> None:
        """Bring it up."""

    @abc.abstractmethod
    def close(self) -> None:
        """Take it down."""

    @abc.abstractmethod
    def add(self, neighbor: Neighbor) -> None:
        """Know our node; one that is known already is replaced."""

    @abc.abstractmethod
    def remove(self, name: str) -> None:
        """Forget our node."""

    def is_ready(self, name: str) -> bool:
        """Tell whether connections of our node are taken."""
        return bool(name)

    @abc.abstractmethod
    def view(self, name: str) -> View:
        """Tell of the session."""

    @abc.abstractmethod
    def routes(self, name: str, family: str = IPV4) -> Mapping[str, Seen]:
        """Give what came from our node and is there now, by prefix."""

    @abc.abstractmethod
    def refresh(self, name: str) -> None:
        """Ask our node to send everything once more (RFC 2918)."""

    @abc.abstractmethod
    def shut_down(self, name: str, text: str) -> None:
        """End the session by the operator's word (RFC 9003)."""

    def flood(self, name: str, count: int) -> None:
        """Announce many routes to our node; for a router that passes nothing on."""
        raise NotImplementedError(name, count)

    @functools.cached_property
    def release(self) -> str:
        """Tell which release it is, asked once."""
        return self.version()

    @abc.abstractmethod
    def version(self) -> str:
        """Tell which release it is."""


def addresses(count: int) -> list[str]:
    """Return many addresses, one after another."""
    first = int(ipaddress.ip_address("11.0.0.0"))
    return [str(ipaddress.ip_address(first + number)) for number in range(count)]
