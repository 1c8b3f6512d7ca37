"""Route netlink messages as the kernel sends them."""

from __future__ import annotations

import struct

import pytest

from mercurylb.errors import WireError
from mercurylb.layer2.interface import Link
from mercurylb.net import netlink
from mercurylb.net.netlink import (
    AddressChanged,
    AddressGone,
    LinkChanged,
    LinkGone,
    LinkTable,
)

V4 = bytes((10, 0, 0, 1))
LL = b"\xfe\x80" + bytes(14)
MAC = bytes.fromhex("020000000001")


def message(kind: int, body: bytes, flags: int = 0) -> bytes:
    """Return a netlink message, padded."""
    head = struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0)
    return head + body + bytes(-len(body) % 4)


def attribute(kind: int, value: bytes) -> bytes:
    """Return a padded attribute."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def link(kind: int = 16, family: int = 0, **attributes: bytes) -> bytes:
    """Return a link message for index 3."""
    body = struct.pack("=BxHiII", family, 1, 3, 0x1043, 0)
    body += attribute(3, b"eth0\x00") + attribute(1, MAC)
    if "master" in attributes:
        body += attribute(10, attributes["master"])
    if "event" in attributes:
        body += attribute(44, attributes["event"])
    return message(kind, body)


def address(kind: int = 20, *, flags: int = 0x80, value: bytes = LL, prefix_len: int = 64) -> bytes:
    """Return an address message for index 3."""
    family = 10 if len(value) == 16 else 2
    body = struct.pack("=BBBBI", family, prefix_len, 0, 253, 3) + attribute(1, value)
    return message(kind, body + attribute(8, struct.pack("=I", flags)))


def local_address(value: bytes, peer: bytes) -> bytes:
    """Return the message about an IPv4 address that knows its peer."""
    body = struct.pack("=BBBBI", 2, 32, 0, 0, 3) + attribute(1, peer) + attribute(2, value)
    return message(20, body)


CHANGED = LinkChanged(3, "eth0", 0x1043, MAC, has_master=False)
CASES = [
    ("a link", link(), [CHANGED]),
    ("a slave", link(master=struct.pack("=I", 9)), [LinkChanged(3, "eth0", 0x1043, MAC, True)]),
    ("a link goes", link(17), [LinkGone(3)]),
    ("a bridge's view of a port", link(family=7), []),
    ("a usable address", address(), [AddressChanged(3, LL, is_usable=True, prefix_len=64)]),
    (
        "a tentative address",
        address(flags=0xC0),
        [AddressChanged(3, LL, is_usable=False, prefix_len=64)],
    ),
    (
        "an optimistic address",
        address(flags=0x44),
        [AddressChanged(3, LL, is_usable=True, prefix_len=64)],
    ),
    (
        "a duplicate address",
        address(flags=0x88),
        [AddressChanged(3, LL, is_usable=False, prefix_len=64)],
    ),
    (
        "an IPv4 address",
        address(value=V4, prefix_len=24),
        [AddressChanged(3, V4, is_usable=True, prefix_len=24)],
    ),
    (
        "an address and its peer's",
        local_address(V4, b"\x0a\x00\x00\x02"),
        [AddressChanged(3, V4, is_usable=True, prefix_len=32)],
    ),
    ("an address of the wrong size", address(value=V4 + b"\x00"), []),
    (
        "a bond fails over",
        link(event=struct.pack("=I", 3)),
        [LinkChanged(3, "eth0", 0x1043, MAC, has_master=False, is_notice=True)],
    ),
    (
        "a machine moved",
        link(event=struct.pack("=I", 4)),
        [LinkChanged(3, "eth0", 0x1043, MAC, has_master=False, is_notice=True)],
    ),
    ("features changed", link(event=struct.pack("=I", 2)), [CHANGED]),
    ("an address goes", address(21), [AddressGone(3, LL)]),
    ("the end", message(3, bytes(4)), [netlink.DumpDone(is_complete=True)]),
    ("an interrupted end", message(3, bytes(4), 0x10), [netlink.DumpDone(is_complete=False)]),
    ("a refusal", message(2, struct.pack("=i", -13)), [netlink.KernelError(13)]),
    ("something else", message(24, bytes(12)), []),
    (
        "two at once",
        link() + address(),
        [CHANGED, AddressChanged(3, LL, is_usable=True, prefix_len=64)],
    ),
]


@pytest.mark.parametrize(("received", "events"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_messages(received: bytes, events: list[netlink.LinkEvent]) -> None:
    """Each message decodes to what it says."""
    assert netlink.decode(received) == events


@pytest.mark.parametrize(
    "received",
    [b"\x00", link()[:-5], message(16, b"\x00"), message(20, b""), message(2, b""), bytes(16),
      message(16, struct.pack("=BxHiII", 0, 1, 3, 0, 0) + struct.pack("=HH", 99, 3))],
)  # fmt: skip
def test_lengths_that_do_not_add_up_are_refused(received: bytes) -> None:
    """Nothing but our own error is raised."""
    with pytest.raises(WireError):
        netlink.decode(received)


def usable(value: bytes, prefix_len: int, *, is_usable: bool = True) -> AddressChanged:
    """Return the event of an address on index 3."""
    return AddressChanged(3, value, is_usable=is_usable, prefix_len=prefix_len)


def test_table_follows_the_events() -> None:
    """The table tells what changed, keeps only what is usable, and forgets links."""
    table = LinkTable()
    assert table.apply(CHANGED)
    assert not table.apply(CHANGED)
    assert table.apply(usable(LL, 64, is_usable=False))
    assert table.links() == [Link(3, "eth0", 0x1043, MAC)]
    assert table.apply(usable(LL, 64))
    assert not table.apply(usable(LL, 64))
    assert table.links()[0].link_locals == (LL,)
    assert table.apply(usable(V4, 24))
    assert table.links()[0].addresses == ((LL, 64), (V4, 24))
    assert table.apply(AddressGone(3, LL))
    assert table.links()[0].link_locals == ()
    assert table.apply(LinkGone(3))
    assert not table.apply(LinkGone(3))
    assert table.links() == []


def test_addresses_of_single_hosts_are_left_out() -> None:
    """Thousands of service addresses on a link are no news; the own address always is."""
    table = LinkTable(own=V4)
    table.apply(CHANGED)
    assert not table.apply(usable(b"\x0a\x60\x00\x01", 32))
    assert not table.apply(usable(b"\x20" + bytes(15), 128))
    assert not table.apply(AddressGone(3, b"\x0a\x60\x00\x01"))
    assert table.apply(usable(V4, 32))
    assert table.apply(usable(LL, 128))
    assert table.links()[0].addresses == ((V4, 32), (LL, 128))


def test_each_notice_counts() -> None:
    """Every time the neighbours are to be told anew is another one, though the link is the same."""
    table = LinkTable()
    notice = LinkChanged(3, "eth0", 0x1043, MAC, has_master=False, is_notice=True)
    table.apply(CHANGED)
    assert [table.apply(notice), table.links()[0].notices] == [True, 1]
    assert [table.apply(notice), table.links()[0].notices] == [True, 2]
    table.apply(LinkGone(3))
    table.apply(CHANGED)
    assert table.links()[0].notices == 0
