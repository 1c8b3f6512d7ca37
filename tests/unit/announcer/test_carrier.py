"""Whether the link of the membership's own address runs."""

from __future__ import annotations

from mercurylb.announcer.settings import MembershipSettings
from mercurylb.announcer.wire import Carrier
from mercurylb.layer2.interface import Link

RUNNING = 0x1043
OWN = (b"\x0a\x00\x00\x01", 24)


def eth0(flags: int = RUNNING, *, has_address: bool = True) -> Link:
    """Return the link."""
    return Link(2, "eth0", flags, bytes(6), addresses=(OWN,) if has_address else ())


def test_carrier_follows_the_link() -> None:
    """Without carrier, address or link nobody can be heard; with them again they can."""
    carrier = Carrier(MembershipSettings("10.0.0.1"))
    seen = []
    for links in (
        [eth0()],
        [eth0(0x1003)],
        [eth0()],
        [eth0(has_address=False)],
        [eth0()],
        [],
        [eth0()],
    ):
        carrier.on_links(links)
        seen.append(carrier.is_running)
    assert seen == [True, False, True, False, True, False, True]


def test_address_that_is_on_no_link_says_nothing() -> None:
    """An address out of a local range, or membership switched off, has no carrier to lose."""
    for settings in (MembershipSettings("127.0.0.7"), None):
        carrier = Carrier(settings)
        carrier.on_links([eth0()])
        carrier.on_links([eth0(0x1003)])
        assert carrier.is_running
