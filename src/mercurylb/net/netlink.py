"""Route netlink: the few messages that tell which links a node has (pure, no sockets).

Message: length u32, type u16, flags u16, sequence u32, port u32, then for links (RFC 3549 §3.1.1)
`ifinfomsg` family u8, pad, type u16, index i32, flags u32, change u32; for addresses `ifaddrmsg`
family u8, prefix length u8, flags u8, scope u8, index u32; then attributes length u16, type u16,
value padded to 4. All in the machine's byte order, and all from our own kernel; still, bytes that
do not add up raise WireError, after which the caller asks for everything again.

A node can have thousands of addresses of single hosts (kube-proxy's ipvs mode puts every service's
there). They say nothing about its links, so they are left out of the table.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

import msgspec

from mercurylb.errors import WireError
from mercurylb.layer2.interface import Link

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUP_LINK = 0x1
GROUP_IPV4_ADDRESS = 0x10
GROUP_IPV6_ADDRESS = 0x100

GET_LINK = 18
GET_ADDRESS = 22

_ERROR = 2
_DONE = 3
_NEW_LINK = 16
_DEL_LINK = 17
_NEW_ADDRESS = 20
_DEL_ADDRESS = 21

_REQUEST = 0x1
_DUMP = 0x300
_INTERRUPTED = 0x10

_LINK_MAC = 1
_LINK_NAME = 3
_LINK_MASTER = 10
_LINK_EXT_MASK = 29
_LINK_EVENT = 44
_BONDING_FAILOVER = 3
_NOTIFY_PEERS = 4
_SKIP_STATISTICS = 0x8
_ADDRESS_ADDRESS = 1
_ADDRESS_LOCAL = 2
_ADDRESS_FLAGS = 8
_TENTATIVE = 0x40
_DUPLICATE = 0x08
_OPTIMISTIC = 0x04

_AF_INET = 2
_AF_INET6 = 10
_SIZES = {_AF_INET: 4, _AF_INET6: 16}

_HEADER = struct.Struct("=IHHII")
_LINK_MESSAGE = struct.Struct("=BxHiII")
_ADDRESS_MESSAGE = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_MASK = 0x3FFF
_LINK_LAYER_GROUP_FAMILY = 7
"""AF_BRIDGE: the bridge's view of a port, sent to the same group; not about the link itself."""


class LinkChanged(msgspec.Struct, frozen=True):
    """A link exists, in this state."""

    index: int
    name: str
    flags: int
    mac: bytes
    has_master: bool
    is_notice: bool = False
    """The neighbours are to be told anew where it is: a bond failed over, a machine moved."""


class LinkGone(msgspec.Struct, frozen=True):
    """A link does not exist any more."""

    index: int


class AddressChanged(msgspec.Struct, frozen=True):
    """A link has an address, which may not be usable yet."""

    index: int
    address: bytes
    is_usable: bool
    prefix_len: int


class AddressGone(msgspec.Struct, frozen=True):
    """A link has lost an address."""

    index: int
    address: bytes


class DumpDone(msgspec.Struct, frozen=True):
    """All of what was asked for has been told."""

    is_complete: bool
    """False when something changed meanwhile: ask again."""


class KernelError(msgspec.Struct, frozen=True):
    """The kernel refused a request."""

    errno: int


LinkEvent = LinkChanged | LinkGone | AddressChanged | AddressGone | DumpDone | KernelError


def dump_request(message_type: int, sequence: int) -> bytes:
    """Encode the request for all links (GET_LINK) or all addresses (GET_ADDRESS)."""
    if message_type == GET_LINK:
        body = _LINK_MESSAGE.pack(0, 0, 0, 0, 0)
        body += _ATTRIBUTE.pack(8, _LINK_EXT_MASK) + struct.pack("=I", _SKIP_STATISTICS)
    else:
        body = _ADDRESS_MESSAGE.pack(0, 0, 0, 0, 0)
    size = _HEADER.size + len(body)
    return _HEADER.pack(size, message_type, _REQUEST | _DUMP, sequence, 0) + body


def decode(received: bytes) -> list[LinkEvent]:
    """Decode everything one read gave; raise WireError when lengths do not add up."""
    events: list[LinkEvent] = []
    at = 0
    while at < len(received):
        if at + _HEADER.size > len(received):
            raise WireError("netlink", "a message is cut off", offset=at)
        size, kind, flags, _, _ = _HEADER.unpack_from(received, at)
        if size < _HEADER.size or at + size > len(received):
            raise WireError("netlink", f"a message of {size} bytes", offset=at)
        event = _decode_message(kind, flags, received[at + _HEADER.size : at + size], at)
        if event is not None:
            events.append(event)
        at += _aligned(size)
    return events


def _decode_message(kind: int, flags: int, body: bytes, at: int) -> LinkEvent | None:
    if kind == _DONE:
        return DumpDone(is_complete=not flags & _INTERRUPTED)
    if kind == _ERROR:
        if len(body) < 4:  # noqa: PLR2004 (the error number)
            raise WireError("netlink", "an error without a number", offset=at)
        return KernelError(-int(struct.unpack_from("=i", body)[0]))
    if kind in {_NEW_LINK, _DEL_LINK}:
        return _decode_link(kind, body, at)
    if kind in {_NEW_ADDRESS, _DEL_ADDRESS}:
        return _decode_address(kind, body, at)
    return None


def _decode_link(kind: int, body: bytes, at: int) -> LinkEvent | None:
    if len(body) < _LINK_MESSAGE.size:
        raise WireError("netlink", "a link is cut off", offset=at)
    family, _, index, flags, _ = _LINK_MESSAGE.unpack_from(body)
    if family == _LINK_LAYER_GROUP_FAMILY:
        return None
    if kind == _DEL_LINK:
        return LinkGone(index)
    attributes = dict(_attributes(body[_LINK_MESSAGE.size :], at))
    name = attributes.get(_LINK_NAME, b"").split(b"\x00")[0].decode(errors="replace")
    master = attributes.get(_LINK_MASTER, b"")
    event = int.from_bytes(attributes.get(_LINK_EVENT, b""), sys.byteorder)
    return LinkChanged(
        index=index,
        name=name,
        flags=flags,
        mac=attributes.get(_LINK_MAC, b""),
        has_master=any(master),
        is_notice=event in {_BONDING_FAILOVER, _NOTIFY_PEERS},
    )


def _decode_address(kind: int, body: bytes, at: int) -> LinkEvent | None:
    if len(body) < _ADDRESS_MESSAGE.size:
        raise WireError("netlink", "an address is cut off", offset=at)
    family, prefix_len, short_flags, _, index = _ADDRESS_MESSAGE.unpack_from(body)
    attributes = dict(_attributes(body[_ADDRESS_MESSAGE.size :], at))
    # On a point-to-point link the other one is the peer's.
    address = attributes.get(_ADDRESS_LOCAL) or attributes.get(_ADDRESS_ADDRESS, b"")
    if len(address) != _SIZES.get(family, -1):
        return None
    if kind == _DEL_ADDRESS:
        return AddressGone(index, address)
    long_flags = attributes.get(_ADDRESS_FLAGS, b"")
    flags = int(struct.unpack("=I", long_flags)[0]) if len(long_flags) == 4 else short_flags  # noqa: PLR2004
    is_tentative = bool(flags & _TENTATIVE) and not flags & _OPTIMISTIC
    is_usable = not (is_tentative or flags & _DUPLICATE)
    return AddressChanged(index, address, is_usable=is_usable, prefix_len=prefix_len)


def _attributes(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start + _ATTRIBUTE.size <= len(body):
        size, kind = _ATTRIBUTE.unpack_from(body, start)
        if size < _ATTRIBUTE.size or start + size > len(body):
            raise WireError("netlink", f"an attribute of {size} bytes", offset=at)
        yield kind & _TYPE_MASK, body[start + _ATTRIBUTE.size : start + size]
        start += _aligned(size)


def _aligned(size: int) -> int:
    return (size + 3) & ~3


class LinkTable:
    """All links of the node, kept up to date by events.

    Of addresses of single hosts only `own` is kept, and what is link-local.
    """

    def __init__(self, own: bytes = b"") -> None:
        self._own = own
        self._links: dict[int, LinkChanged] = {}
        self._addresses: dict[int, dict[bytes, AddressChanged]] = {}
        self._notices: dict[int, int] = {}

    def apply(self, event: LinkEvent) -> bool:
        """Take in an event; return whether anything that `links` returns may have changed."""
        match event:
            case LinkChanged():
                return self._take_link(event)
            case LinkGone():
                self._addresses.pop(event.index, None)
                self._notices.pop(event.index, None)
                return self._links.pop(event.index, None) is not None
            case AddressChanged():
                return self._take_address(event)
            case AddressGone():
                return self._addresses.get(event.index, {}).pop(event.address, None) is not None
            case _:
                return False

    def links(self) -> list[Link]:
        """Return the links by index."""
        return [self._link(link) for _, link in sorted(self._links.items())]

    def _take_link(self, event: LinkChanged) -> bool:
        if event.is_notice:
            self._notices[event.index] = self._notices.get(event.index, 0) + 1
        is_news = self._links.get(event.index) != event or event.is_notice
        self._links[event.index] = event
        return is_news

    def _take_address(self, event: AddressChanged) -> bool:
        if not self._is_kept(event):
            return False
        addresses = self._addresses.setdefault(event.index, {})
        is_news = addresses.get(event.address) != event
        addresses[event.address] = event
        return is_news

    def _is_kept(self, event: AddressChanged) -> bool:
        address = event.address
        is_single = event.prefix_len == 8 * len(address)
        return not is_single or address == self._own or _is_link_local(address)

    def _link(self, link: LinkChanged) -> Link:
        usable = [one for one in self._addresses.get(link.index, {}).values() if one.is_usable]
        return Link(
            index=link.index,
            name=link.name,
            flags=link.flags,
            mac=link.mac,
            has_master=link.has_master,
            link_locals=tuple(one.address for one in usable if _is_link_local(one.address)),
            notices=self._notices.get(link.index, 0),
            addresses=tuple((one.address, one.prefix_len) for one in usable),
        )


def _is_link_local(address: bytes) -> bool:
    """Whether it is in fe80::/10."""
    return len(address) == _SIZES[_AF_INET6] and address[0] == 0xFE and address[1] & 0xC0 == 0x80  # noqa: PLR2004
