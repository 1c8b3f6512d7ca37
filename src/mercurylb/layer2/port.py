"""One open interface: what is answered there, and with what.

The answer tables map a target to what its reply starts with, so that the hot path is one lookup and
one concatenation. Groups are solicited-node groups, counted over the announced addresses of the
whole node: they are joined whatever the interface selection says (spec: layer2 §4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mercurylb.layer2 import arp, ndp
from mercurylb.layer2.effect import ChangeFilter, JoinGroup, LeaveGroup, SendFrame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mercurylb.layer2.address import Address, Counter
    from mercurylb.layer2.interface import Interface


class Port:
    """An interface with its answer tables."""

    __slots__ = ("arp", "groups", "interface", "ndp")

    def __init__(self, interface: Interface) -> None:
        self.interface = interface
        self.arp: dict[bytes, tuple[bytes, Counter]] = {}
        self.ndp: dict[bytes, Counter] = {}
        self.groups: set[bytes] = set()

    @property
    def index(self) -> int:
        """Return the interface's index."""
        return self.interface.index

    def fill(self, addresses: Iterable[Address]) -> None:
        """Make the tables anew."""
        self.arp.clear()
        self.ndp.clear()
        for address in addresses:
            self.place(address)

    def place(self, address: Address) -> bool:
        """Enter or remove an address as it allows; return whether the set of targets changed."""
        interface, packed = self.interface, address.packed
        can_carry = interface.has_arp if address.is_ipv4 else interface.link_local is not None
        if not can_carry or not address.is_on(interface.name):
            return self.remove(address)
        if address.is_ipv4:
            is_new = packed not in self.arp
            self.arp[packed] = arp.reply_template(interface.mac, packed), address.counter
        else:
            is_new = packed not in self.ndp
            self.ndp[packed] = address.counter
        return is_new

    def remove(self, address: Address) -> bool:
        """Remove an address; return whether it was a target."""
        table = self.arp if address.is_ipv4 else self.ndp
        return table.pop(address.packed, None) is not None

    def carries(self, address: Address) -> bool:
        """Return whether an address is announced here."""
        return address.packed in self.arp or address.packed in self.ndp

    def round(self, address: Address) -> list[SendFrame]:
        """Return the gratuitous frames of an address, none if it is not announced here."""
        interface = self.interface
        frames: tuple[bytes, ...] = ()
        if address.packed in self.arp:
            frames = arp.gratuitous(interface.mac, address.packed)
        elif address.packed in self.ndp and interface.link_local is not None:
            frames = (
                ndp.unsolicited(
                    mac=interface.mac, link_local=interface.link_local, target=address.packed
                ),
            )
        address.counter.gratuitous += len(frames)
        return [SendFrame(self.index, frame) for frame in frames]

    def defence(self, address: Address) -> list[SendFrame]:
        """Return the one announcement that RFC 5227 §2.4 grants against a claim."""
        frames = self.round(address)
        address.counter.gratuitous -= len(frames[1:])
        return frames[:1]

    def filter(self, *, has_claims: bool) -> ChangeFilter:
        """Return what the kernel is to deliver."""
        return ChangeFilter(
            self.index,
            tuple(sorted(self.arp)),
            tuple(sorted(self.ndp)),
            has_claims=has_claims,
        )

    def join(self, group: bytes) -> list[JoinGroup]:
        """Become a listener of a group where there is NDP, once."""
        if self.interface.link_local is None or group in self.groups:
            return []
        self.groups.add(group)
        return [JoinGroup(self.index, group)]

    def leave(self, group: bytes) -> list[LeaveGroup]:
        """Stop being a listener of a group, if ever it was joined."""
        if group not in self.groups:
            return []
        self.groups.discard(group)
        return [LeaveGroup(self.index, group)]

    def validate(self, addresses: Iterable[Address], groups: set[bytes]) -> None:
        """Assert that tables and groups are what the addresses demand."""
        interface = self.interface
        on = [address for address in addresses if address.is_on(interface.name)]
        ipv4 = {address.packed for address in on if address.is_ipv4}
        ipv6 = {address.packed for address in on if not address.is_ipv4}
        assert set(self.arp) == (ipv4 if interface.has_arp else set())
        assert set(self.ndp) == (ipv6 if interface.link_local is not None else set())
        assert self.groups == (groups if interface.link_local is not None else set())
