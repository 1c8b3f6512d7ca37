"""Capabilities."""

from __future__ import annotations

import pytest

from mercurylb.bgp import capability
from mercurylb.bgp.capability import Capabilities, Collected, GracefulRestart
from mercurylb.bgp.error import BgpError
from mercurylb.bgp.family import IPV4, IPV6, Family

ALL = Capabilities(
    families=(IPV4, IPV6),
    has_route_refresh=True,
    extended_next_hops=((IPV4, 2),),
    has_extended_message=True,
    role=3,
    graceful_restart=GracefulRestart(
        120, ((IPV4, True), (IPV6, False)), is_restarting=True, has_notification=True
    ),
    asn=4200000000,
    has_enhanced_refresh=True,
    host="node-1",
    domain="example",
    unknown=((200, b"\x01\x02"), (128, b"")),
)


def decoded(octets: bytes) -> Capabilities:
    """Read the capabilities of one parameter."""
    collected = Collected()
    capability.decode(collected, octets)
    return collected.freeze()


@pytest.mark.rule("bgp-native-2.3.layout")
@pytest.mark.parametrize(
    ("said", "octets"),
    [
        (Capabilities(families=(IPV4,)), "010400010001"),
        (Capabilities(families=(IPV6, Family(25, 65))), "010400020001010400190041"),
        (Capabilities(has_route_refresh=True), "0200"),
        (
            Capabilities(extended_next_hops=((IPV4, 2), (Family(1, 128), 2))),
            "050c000100010002000100800002",
        ),
        (Capabilities(has_extended_message=True), "0600"),
        (Capabilities(role=0), "090100"),
        pytest.param(
            Capabilities(graceful_restart=GracefulRestart()),
            "40020000",
            marks=pytest.mark.rule("bgp-native-2.11.capability"),
        ),
        pytest.param(
            Capabilities(
                graceful_restart=GracefulRestart(
                    120, ((IPV4, True), (IPV6, False)), is_restarting=True
                )
            ),
            "400a80780001018000020100",
            marks=pytest.mark.rule("bgp-native-2.11.capability"),
        ),
        pytest.param(
            Capabilities(graceful_restart=GracefulRestart(4095, has_notification=True)),
            "40024fff",
            marks=pytest.mark.rule("bgp-native-2.11.capability"),
        ),
        (Capabilities(asn=65536), "410400010000"),
        (Capabilities(has_enhanced_refresh=True), "4600"),
        (Capabilities(host="n1"), "4904026e3100"),
        (Capabilities(host="n", domain="d"), "4904016e0164"),
        (Capabilities(unknown=((128, b""), (7, b"\xff"))), "80000701ff"),
    ],
)
def test_there_and_back(said: Capabilities, octets: str) -> None:
    """Each by itself, in the octets of its RFC."""
    assert b"".join(capability.encode(said)).hex() == octets
    assert decoded(bytes.fromhex(octets)) == said


def test_all_together() -> None:
    """In the order of their codes."""
    octets = b"".join(capability.encode(ALL))
    assert [piece[0] for piece in capability.encode(ALL)] == [
        *(1, 1, 2, 5, 6, 9, 64, 65, 70, 73),
        *(200, 128),
    ]
    assert decoded(octets) == ALL


@pytest.mark.rule("bgp-native-2.9.capability")
def test_they_have_names() -> None:
    """Unknown ones have their numbers."""
    assert ALL.names() == (
        "multiprotocol",
        "route refresh",
        "extended next hop",
        "extended message",
        "role",
        "graceful restart",
        "4-octet AS number",
        "enhanced route refresh",
        "host name",
        "capability 200",
        "capability 128",
    )
    assert Capabilities().names() == ()


def test_what_is_said_twice_is_said_once() -> None:
    """Families add up, of numbers the first one counts, of graceful restart the last (RFC 4724)."""
    octets = "010400010001" + "010400020001" + "010400010001" + "4104000000014104000000024600" * 2
    assert decoded(bytes.fromhex(octets)) == Capabilities(
        families=(IPV4, IPV6), asn=1, has_enhanced_refresh=True
    )
    twice = decoded(bytes.fromhex("40028001" + "40024002" + "090103" + "090104"))
    assert twice.graceful_restart == GracefulRestart(2, has_notification=True)
    assert twice.role == 3


@pytest.mark.rule("bgp-native-2.3.capability", "bgp-native-1.2.open-multiprotocol")
@pytest.mark.parametrize(
    "octets",
    [
        "0103000100",
        "01050001000100",
        "020100",
        "0505000100010002"[:14],
        "060100",
        "0900",
        "09020000",
        "4000",
        "400100",
        "40050000000101",
        "4103000000",
        "41050000000000",
        "460100",
    ],
)
def test_a_known_one_has_its_length(octets: str) -> None:
    """The peer is told which one it was."""
    with pytest.raises(BgpError) as caught:
        decoded(bytes.fromhex(octets))
    error = caught.value
    assert (error.code, error.subcode, error.data.hex()) == (2, 7, octets)


@pytest.mark.rule("bgp-native-1.2.open-received")
@pytest.mark.parametrize("octets", ["01", "0104000100", "c801", "02000601"])
def test_one_that_is_cut_off_is_refused(octets: str) -> None:
    """Lengths end where the parameter ends."""
    with pytest.raises(BgpError) as caught:
        decoded(bytes.fromhex(octets))
    assert (caught.value.code, caught.value.subcode) == (2, 0)


@pytest.mark.parametrize(
    ("octets", "host", "domain"),
    [("4900", "", ""), ("490105", "", ""), ("4903026e31", "n1", ""), ("4903ff6e31", "n1", "")],
)
def test_a_name_that_is_cut_off_keeps_nobody_away(octets: str, host: str, domain: str) -> None:
    """It is decoration."""
    said = decoded(bytes.fromhex(octets))
    assert (said.host, said.domain) == (host, domain)


def test_long_and_strange_names() -> None:
    """What is sent is short; what comes is legible."""
    assert decoded(b"".join(capability.encode(Capabilities(host="é" * 40)))).host == "é" * 32
    assert decoded(bytes.fromhex("4904021b6100")).host == "?a"
