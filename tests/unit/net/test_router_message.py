"""Router advertisements and solicitations."""

from __future__ import annotations

import pytest

from mercurylb.errors import WireError
from mercurylb.net.router_message import (
    Advertisement,
    Solicitation,
    decode,
    encode_advertisement,
    encode_solicitation,
)

MAC = bytes.fromhex("020000000001")
# What zebra of FRR 8.4 sends with an interval of 10 s (checksum left out), and a host's question.
OF_FRR = bytes.fromhex("86000000 40000708 00000000 00000000 0101 020000000002")


@pytest.mark.rule("bgp-native-2.9.advertisement")
def test_advertisement_is_laid_out_as_the_rfc_says() -> None:
    """RFC 4861 section 4.2: hop limit, low preference (RFC 4191), lifetime, our MAC address."""
    assert encode_advertisement(30, MAC).hex() == "860000004018001e" + "00" * 8 + "0101" + MAC.hex()
    assert len(encode_advertisement(30)) == 16


def test_solicitation_is_laid_out_as_the_rfc_says() -> None:
    """RFC 4861 section 4.1."""
    assert encode_solicitation(MAC).hex() == "85000000000000000101" + MAC.hex()
    assert len(encode_solicitation()) == 8


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (OF_FRR, Advertisement(1800)),
        (encode_advertisement(0, MAC), Advertisement(0)),
        (encode_solicitation(MAC), Solicitation()),
        (bytes.fromhex("8500000000000000"), Solicitation()),
        # Options that we do not know are skipped, however long.
        (
            encode_advertisement(9) + b"\xfd\x02" + bytes(14) + b"\x05\x01" + bytes(6),
            Advertisement(9),
        ),
    ],
)
def test_valid_messages_are_read(octets: bytes, message: object) -> None:
    """What routers and hosts send is understood."""
    assert decode(octets) == message


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "too few"),
        (b"\x86\x00\x00\x00\x00\x00\x00", "too few"),
        (encode_advertisement(30)[:15], "too few"),
        (b"\x86\x01" + bytes(14), "code 1 is unknown"),
        (b"\x88" + bytes(23), "type 136 is none of ours"),
        (encode_advertisement(30) + b"\x01", "without length"),
        (encode_advertisement(30) + b"\x01\x00" + bytes(6), "without length"),
        (encode_advertisement(30) + b"\x01\x02" + bytes(6), "beyond the end"),
        (encode_solicitation() + b"\x01\x00", "without length"),
    ],
)
def test_invalid_messages_are_refused(octets: bytes, words: str) -> None:
    """RFC 4861 sections 6.1.1 and 6.1.2: such a message is not looked at any further."""
    with pytest.raises(WireError, match=words):
        decode(octets)
