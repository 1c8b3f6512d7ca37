"""Route netlink messages as the kernel sends them."""

from __future__ import annotations

import struct

import pytest

from mercurylb.errors import WireError
from mercurylb.layer2.interface import Link
from mercurylb.net import netlink
from mercurylb.net.netlink import AddressChanged, AddressGone, LinkChanged, LinkGone, LinkTable

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
    return message(kind, body)


def address(kind: int = 20, *, flags: int = 0x80, family: int = 10) -> bytes:
    """Return an address message for index 3."""
    body = struct.pack("=BBBBI", family, 64, 0, 253, 3) + attribute(1, LL)
    return message(kind, body + attribute(8, struct.pack("=I", flags)))


CHANGED = LinkChanged(3, "eth0", 0x1043, MAC, has_master=False)
CASES = [
    ("a link", link(), [CHANGED]),
    ("a slave", link(master=struct.pack("=I", 9)), [LinkChanged(3, "eth0", 0x1043, MAC, True)]),
    ("a link goes", link(17), [LinkGone(3)]),
    ("a bridge's view of a port", link(family=7), []),
    ("a usable address", address(), [AddressChanged(3, LL, is_usable=True)]),
    ("a tentative address", address(flags=0xC0), [AddressChanged(3, LL, is_usable=False)]),
    ("an optimistic address", address(flags=0x44), [AddressChanged(3, LL, is_usable=True)]),
    ("a duplicate address", address(flags=0x88), [AddressChanged(3, LL, is_usable=False)]),
    ("an address goes", address(21), [AddressGone(3, LL)]),
    ("the end", message(3, bytes(4)), [netlink.DumpDone(is_complete=True)]),
    ("an interrupted end", message(3, bytes(4), 0x10), [netlink.DumpDone(is_complete=False)]),
    ("a refusal", message(2, struct.pack("=i", -13)), [netlink.KernelError(13)]),
    ("something else", message(24, bytes(12)), []),
    ("two at once", link() + address(), [CHANGED, AddressChanged(3, LL, is_usable=True)]),
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


def test_table_follows_the_events() -> None:
    """The table tells what changed, keeps only usable link-local addresses, and forgets links."""
    table = LinkTable()
    assert table.apply(CHANGED)
    assert not table.apply(CHANGED)
    assert table.apply(AddressChanged(3, LL, is_usable=False))
    assert table.apply(AddressChanged(3, b"\x20" + bytes(15), is_usable=True))
    assert table.links() == [Link(3, "eth0", 0x1043, MAC)]
    assert table.apply(AddressChanged(3, LL, is_usable=True))
    assert table.links()[0].link_locals == (LL,)
    assert table.apply(AddressGone(3, LL))
    assert table.links()[0].link_locals == ()
    assert table.apply(LinkGone(3))
    assert not table.apply(LinkGone(3))
    assert table.links() == []
