"""Router discovery, with literal times."""

from __future__ import annotations

import pytest

from mercurylb.announcer.discovery import (
    CloseRouterPort,
    Discovery,
    DiscoveryEffect,
    OpenRouterPort,
    RouterFound,
    SendRouterMessage,
)
from mercurylb.layer2.interface import Link
from mercurylb.net.router_message import (
    Advertisement,
    Solicitation,
    decode,
    encode_advertisement,
    encode_solicitation,
)

MAC = b"\x02\x00\x00\x00\x00\x01"
OWN = bytes.fromhex("fe800000000000000000000000000001")
ETH0 = Link(2, "eth0", 0x41, MAC, link_locals=(OWN,))
PEER, OTHER = "fe80::9", "fe80::8"


def sent(effects: list[DiscoveryEffect]) -> list[tuple[str, object]]:
    """Return the groups and messages that are sent."""
    return [
        (effect.group, decode(effect.octets))
        for effect in effects
        if isinstance(effect, SendRouterMessage)
    ]


def running(at: float = 0.0) -> Discovery:
    """Return a discovery on eth0."""
    made = Discovery()
    made.on_links([ETH0], at)
    made.on_wanted("eth0", at, is_wanted=True)
    return made


@pytest.mark.parametrize("is_link_first", [True, False])
@pytest.mark.rule("bgp-native-2.9.discovery")
def test_wanted_interface_is_opened_asked_and_advertised_on(*, is_link_first: bool) -> None:
    """Whatever is known first, both sides hear of each other within moments."""
    made = Discovery()
    first = (
        made.on_links([ETH0], 1.0) if is_link_first else made.on_wanted("eth0", 1.0, is_wanted=True)
    )
    assert first == []
    effects = (
        made.on_wanted("eth0", 1.0, is_wanted=True) if is_link_first else made.on_links([ETH0], 1.0)
    )
    assert effects[0] == OpenRouterPort("eth0", 2)
    assert sent(effects) == [("ff02::2", Solicitation()), ("ff02::1", Advertisement(30))]
    assert made.on_wanted("eth0", 1.1, is_wanted=True) == []


@pytest.mark.parametrize(
    "link",
    [
        Link(2, "eth0", 0x1, MAC, link_locals=(OWN,)),
        Link(2, "eth0", 0x41, MAC),
        Link(2, "eth1", 0x41, MAC, link_locals=(OWN,)),
    ],
    ids=["no carrier", "no address yet", "another one"],
)
def test_interface_that_cannot_is_not_opened(link: Link) -> None:
    """Without a carrier or a link-local address there is nothing to send from."""
    made = Discovery()
    made.on_wanted("eth0", 0.0, is_wanted=True)
    assert made.on_links([link], 0.0) == []
    assert made.next_deadline() is None


def test_advertisements_are_quick_at_first_then_every_ten_seconds() -> None:
    """A peer that starts a little later is found soon; later the link is left in peace."""
    made = running()
    times = []
    for _ in range(8):
        at = made.next_deadline()
        assert at is not None
        assert sent(made.on_deadline(at)) == [("ff02::1", Advertisement(30))]
        times.append(at)
    assert times == [1.0, 2.0, 3.0, 4.0, 5.0, 15.0, 25.0, 35.0]
    assert made.on_deadline(36.0) == []


def test_solicitation_is_answered_soon_but_not_endlessly() -> None:
    """Many questions have one answer per half a second."""
    made = running()
    for at in (1.0, 2.0, 3.0, 4.0, 5.0):
        made.on_deadline(at)
    question = encode_solicitation(MAC)
    assert sent(made.on_message(2, PEER, question, 7.0)) == [("ff02::1", Advertisement(30))]
    assert made.on_message(2, PEER, question, 7.1) == []
    assert made.on_message(2, "::", question, 7.2) == []
    assert made.next_deadline() == 7.5
    assert sent(made.on_deadline(7.5)) == [("ff02::1", Advertisement(30))]
    assert made.next_deadline() == 17.5


@pytest.mark.rule("bgp-native-2.9.discovery")
def test_router_is_found_kept_and_forgotten() -> None:
    """The first one stays until it says goodbye or its lifetime is over."""
    made = running()
    found = made.on_message(2, PEER, encode_advertisement(30), 1.0)
    assert found == [RouterFound("eth0", PEER)]
    assert made.on_message(2, PEER, encode_advertisement(30), 11.0) == []
    assert made.on_message(2, OTHER, encode_advertisement(30), 12.0) == []
    assert made.on_message(2, OTHER, encode_advertisement(0), 12.0) == []
    assert made.on_message(2, PEER, encode_advertisement(0), 13.0) == [RouterFound("eth0", "")]
    assert made.on_message(2, OTHER, encode_advertisement(5), 14.0) == [RouterFound("eth0", OTHER)]
    assert RouterFound("eth0", "") in made.on_deadline(19.0)
    assert made.next_deadline() is not None


@pytest.mark.parametrize(
    ("index", "source", "octets", "malformed"),
    [
        (2, "fe80::1", encode_advertisement(30), 0),  # Ourselves.
        (2, "2001:db8::9", encode_advertisement(30), 1),  # Not of this link.
        (9, PEER, encode_advertisement(30), 0),  # Not an interface of ours.
        (2, PEER, b"\x86\x00", 1),
    ],
)
@pytest.mark.rule("bgp-native-2.9.advertisement")
def test_what_is_not_to_be_believed_is_not(
    index: int, source: str, octets: bytes, malformed: int
) -> None:
    """RFC 4861 section 6.1.2: an advertisement comes from a link-local address."""
    made = running()
    assert made.on_message(index, source, octets, 1.0) == []
    assert made.malformed_count == malformed


@pytest.mark.parametrize("how", ["not wanted", "gone", "no carrier", "made anew", "stop"])
def test_end_is_said_and_the_router_forgotten(how: str) -> None:
    """Others stop dialling us at once, and we stop dialling them."""
    made = running()
    made.on_message(2, PEER, encode_advertisement(30), 1.0)
    effects: list[DiscoveryEffect] = {
        "not wanted": lambda: made.on_wanted("eth0", 2.0, is_wanted=False),
        "gone": lambda: made.on_links([], 2.0),
        "no carrier": lambda: made.on_links([Link(2, "eth0", 1, MAC, link_locals=(OWN,))], 2.0),
        "made anew": lambda: made.on_links([Link(7, "eth0", 65, MAC, link_locals=(OWN,))], 2.0),
        "stop": made.on_stop,
    }[how]()
    assert effects[:3] == [
        SendRouterMessage(2, "ff02::1", encode_advertisement(0, MAC)),
        CloseRouterPort(2),
        RouterFound("eth0", ""),
    ]
    assert (OpenRouterPort("eth0", 7) in effects) == (how == "made anew")
