"""Which links announce."""

from __future__ import annotations

import re

import pytest

from mercurylb.layer2.interface import Link, select_interfaces

LL = b"\xfe\x80" + bytes(14)
UP = 0x1 | 0x2 | 0x40
MAC = b"\x02\x00\x00\x00\x00\x01"

CASES = [
    ("both protocols", Link(2, "eth0", UP, MAC, link_locals=(LL,)), (True, LL)),
    ("no link-local address", Link(2, "eth0", UP, MAC), (True, None)),
    ("no broadcast", Link(2, "eth0", 0x1, MAC, link_locals=(LL,)), (False, LL)),
    ("neither", Link(2, "eth0", 0x1, MAC), None),
    ("down", Link(2, "eth0", 0x2, MAC, link_locals=(LL,)), None),
    ("a bridge port", Link(2, "eth0", UP, MAC, has_master=True, link_locals=(LL,)), None),
    ("no ARP", Link(2, "eth0", UP | 0x80, MAC, link_locals=(LL,)), None),
    ("no Ethernet", Link(2, "tun0", UP, b""), None),
    ("no carrier", Link(2, "eth0", 0x3, MAC), (True, None)),
]


@pytest.mark.rule(
    "layer2-5.2", "layer2-5.4", "layer2-5.5", "layer2-5.6", "layer2-5.7", "layer2-5.8"
)
@pytest.mark.parametrize(("link", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_rules(link: Link, expected: tuple[bool, bytes | None] | None) -> None:
    """A link announces by what it is; whatever its state, its name is known."""
    found = select_interfaces([link])
    assert found.names == (link.name,)
    assert [(i.has_arp, i.link_local) for i in found.interfaces] == ([expected] if expected else [])


@pytest.mark.rule("layer2-5.1")
def test_excluded_links_do_not_exist() -> None:
    """The patterns search anywhere in the name, and hide the name as well."""
    links = [Link(i, name, UP, MAC) for i, name in enumerate(("eth0", "veth1", "xcali", "lo"), 1)]
    found = select_interfaces(
        links, (re.compile("^veth.*"), re.compile("cali"), re.compile("^lo$"))
    )
    assert found.names == ("eth0",)


def test_mac_addresses_of_all_links_are_the_node_s_own() -> None:
    """Also those of excluded, enslaved and downed links; empty and zero ones are nobody's."""
    links = [
        Link(1, "lo", UP, bytes(6)),
        Link(2, "veth0", UP, MAC),
        Link(3, "eth0", 0, b"\x02" * 6, has_master=True),
        Link(4, "tun0", UP, b""),
    ]
    found = select_interfaces(links, (re.compile("^veth"),))
    assert found.macs == {MAC, b"\x02" * 6}
