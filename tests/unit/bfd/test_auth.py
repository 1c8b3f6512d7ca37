"""Proofs of who sent a packet."""

from __future__ import annotations

import hashlib

import pytest

from mercurylb.bfd.auth import Authentication, AuthenticationType, Signer
from mercurylb.bfd.packet import Packet, State, decode

DOWN = Packet(State.DOWN, 3, 7, 0, 1_000_000, 50_000)
EACH = tuple(AuthenticationType)
METICULOUS = (AuthenticationType.METICULOUS_MD5, AuthenticationType.METICULOUS_SHA1)
SEQUENCED = EACH[1:]


def known(kind: AuthenticationType, *, key: bytes = b"secret", key_id: int = 5) -> Authentication:
    """Return what both sides know."""
    return Authentication(kind, key_id, key)


def verify(signer: Signer, octets: bytes) -> bool:
    """Return whether a packet is believed."""
    return signer.verify(decode(octets), octets)


@pytest.mark.parametrize("kind", EACH)
def test_a_signed_packet_is_believed_by_who_knows_the_key(kind: AuthenticationType) -> None:
    """Both sides with the same key understand each other, and the packet says the same."""
    octets = Signer(known(kind), 0).sign(DOWN)
    assert verify(Signer(known(kind), 0), octets)
    assert decode(octets).state is State.DOWN


@pytest.mark.parametrize("kind", EACH)
@pytest.mark.parametrize(
    "other",
    [{"key": b"other"}, {"key_id": 6}, {"key": b"secret1"}],
    ids=["key", "key id", "longer key"],
)
def test_another_key_is_not_believed(kind: AuthenticationType, other: dict[str, object]) -> None:
    """A wrong key and a wrong key id are refused."""
    octets = Signer(known(kind), 0).sign(DOWN)
    assert not verify(Signer(known(kind, **other), 0), octets)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", EACH)
@pytest.mark.parametrize("other", EACH)
def test_another_type_is_not_believed(kind: AuthenticationType, other: AuthenticationType) -> None:
    """A packet proved in another way than agreed is refused."""
    octets = Signer(known(kind), 0).sign(DOWN)
    assert verify(Signer(known(other), 0), octets) == (kind is other)


@pytest.mark.parametrize("kind", SEQUENCED)
def test_a_changed_packet_is_not_believed(kind: AuthenticationType) -> None:
    """The digest is over every octet."""
    octets = Signer(known(kind), 0).sign(DOWN)
    for at in (1, 2, 12, 20, 31, 33, len(octets) - 1):
        spoilt = octets[:at] + bytes((octets[at] ^ 0x20,)) + octets[at + 1 :]
        assert not verify(Signer(known(kind), 0), spoilt), at


@pytest.mark.parametrize("kind", SEQUENCED)
def test_an_old_packet_is_not_believed_again(kind: AuthenticationType) -> None:
    """Meticulously each sequence counts once; otherwise the latest may be repeated."""
    sender, receiver = Signer(known(kind), 2**32 - 2), Signer(known(kind), 0)
    first, second = sender.sign(DOWN), sender.sign(DOWN)
    assert verify(receiver, first)
    assert verify(receiver, second), "the sequence begins again at 0"
    assert not verify(receiver, first)
    assert verify(receiver, second) == (kind not in METICULOUS)


@pytest.mark.parametrize("kind", SEQUENCED)
def test_a_sequence_far_ahead_is_not_believed(kind: AuthenticationType) -> None:
    """Three multipliers ahead is the most, until the sequence is forgotten."""
    sender, receiver = Signer(known(kind), 0), Signer(known(kind), 0)
    assert verify(receiver, sender.sign(DOWN))
    packets = [sender.sign(DOWN) for _ in range(10)]
    assert not verify(receiver, packets[9])
    assert verify(receiver, packets[8])
    far = Signer(known(kind), 1000).sign(DOWN)
    assert not verify(receiver, far)
    receiver.forget()
    assert verify(receiver, far)


def test_a_forged_packet_does_not_move_the_sequence() -> None:
    """Whoever has no key cannot shut out the one who has."""
    kind = AuthenticationType.METICULOUS_SHA1
    sender, receiver = Signer(known(kind), 0), Signer(known(kind), 0)
    verify(receiver, Signer(known(kind, key=b"guess"), 77).sign(DOWN))
    assert verify(receiver, sender.sign(DOWN))


def test_the_digest_is_over_the_packet_with_the_key_in_its_place() -> None:
    """The layout and the computation are those of RFC 5880 section 6.7.4."""
    octets = Signer(known(AuthenticationType.SHA1), 8).sign(DOWN)
    assert octets[1] & 0x04
    assert octets[3] == len(octets) == 24 + 28
    assert octets[24:32] == bytes.fromhex("041c050000000009")
    keyed = octets[:32] + b"secret".ljust(20, b"\x00")
    assert octets[32:] == hashlib.sha1(keyed, usedforsecurity=False).digest()


def test_a_password_stands_in_clear() -> None:
    """The section is type, length, key id, password."""
    octets = Signer(known(AuthenticationType.SIMPLE), 0).sign(DOWN)
    assert octets[24:] == b"\x01\x09\x05secret"


def test_a_key_is_not_printed() -> None:
    """Neither logs nor errors give a key away."""
    assert "secret" not in repr(known(AuthenticationType.SHA1))


@pytest.mark.parametrize(
    "section", [b"\x01\x02", b"\x01\x03\x05", b"\x02\x04\x05\x00", b"\x00" * 2]
)
@pytest.mark.parametrize("kind", EACH)
def test_a_crippled_section_is_not_believed(kind: AuthenticationType, section: bytes) -> None:
    """A section too short for its type is refused, whatever its length says."""
    packet = Packet(State.DOWN, 3, 7, 0, 1_000_000, 50_000, authentication=section)
    assert not Signer(known(kind), 0).verify(packet, bytes(24) + section)
