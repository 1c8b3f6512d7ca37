"""A node without IPv6 knows which of its addresses nobody hears of."""

from __future__ import annotations

import pytest

from mercurylb.announcer.families import TOLD_MAX, silent_ipv6
from mercurylb.layer2.interface import Interface, NodeInterfaces
from mercurylb.layer2.responder import OwnedAddresses

LINK_LOCAL = bytes.fromhex("fe80000000000000" + "00" * 7 + "01")
BOTH = OwnedAddresses("default/web", ("192.0.2.1", "2001:db8::1"), ())
IPV4 = OwnedAddresses("default/old", ("192.0.2.2",), ())


def interface(index: int, link_local: bytes | None) -> Interface:
    """Give an interface that runs."""
    return Interface(index, f"eth{index}", bytes(6), True, True, link_local)


@pytest.mark.parametrize(
    ("interfaces", "owned", "silent"),
    [
        ((interface(1, None),), (BOTH, IPV4), ("2001:db8::1",)),
        ((interface(1, None), interface(2, LINK_LOCAL)), (BOTH,), ()),
        ((interface(1, None),), (IPV4,), ()),
        ((), (BOTH,), ("2001:db8::1",)),
    ],
    ids=["no IPv6", "one interface has it", "IPv4 only", "no interface"],
)
def test_what_cannot_be_announced_is_known(
    interfaces: tuple[Interface, ...], owned: tuple[OwnedAddresses, ...], silent: tuple[str, ...]
) -> None:
    """IPv6 addresses are told where no interface has a link-local address; IPv4 ones never."""
    assert silent_ipv6(owned, NodeInterfaces(interfaces=interfaces)) == silent


def test_many_are_told_in_a_line_that_can_be_read() -> None:
    """The list is bounded."""
    many = OwnedAddresses("default/many", tuple(f"2001:db8::{n:x}" for n in range(50)), ())
    assert len(silent_ipv6((many,), NodeInterfaces())) == TOLD_MAX
