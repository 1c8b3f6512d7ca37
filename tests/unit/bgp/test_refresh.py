"""ROUTE-REFRESH."""

from __future__ import annotations

import pytest

from mercurylb.bgp import refresh
from mercurylb.bgp.error import BgpError
from mercurylb.bgp.family import IPV4, IPV6
from mercurylb.bgp.refresh import Refresh, RefreshType


@pytest.mark.rule("bgp-native-2.10.message")
@pytest.mark.parametrize(
    ("said", "octets"),
    [
        (Refresh(IPV4), "00010001"),
        (Refresh(IPV6, RefreshType.BEGIN), "00020101"),
        (Refresh(IPV6, RefreshType.END), "00020201"),
    ],
)
def test_there_and_back(said: Refresh, octets: str) -> None:
    """AFI, subtype, SAFI."""
    encoded = refresh.encode(said)
    assert encoded.hex() == "ff" * 16 + "001705" + octets
    assert refresh.decode(encoded[19:]) == said


@pytest.mark.rule("bgp-native-2.10.message")
@pytest.mark.parametrize(
    ("body", "has_enhanced", "expected"),
    [
        ("", True, (1, 2, "0013")),
        ("000100", True, (1, 2, "0016")),
        ("0001000100", True, (1, 2, "0018")),
        ("0001010100", False, (1, 2, "0018")),
        ("0001010100", True, (7, 1, "ff" * 16 + "0018050001010100")),
        ("000102", True, (7, 1, "ff" * 16 + "001605000102")),
    ],
)
def test_another_length_ends_the_session(
    body: str, *, has_enhanced: bool, expected: tuple[int, int, str]
) -> None:
    """Of a mark with a code of its own and the whole message (RFC 7313 section 5)."""
    with pytest.raises(BgpError) as caught:
        refresh.decode(bytes.fromhex(body), has_enhanced=has_enhanced)
    error = caught.value
    assert (error.code, error.subcode, error.data.hex()) == expected
