"""The key of the membership."""

from __future__ import annotations

import hashlib

import pytest

from mercurylb.errors import WireError
from mercurylb.membership.swim.keyring import derive_key
from mercurylb.net.aead import AesGcm


@pytest.mark.rule("membership-1.3.key", "membership-1.3.example")
def test_the_worked_key_is_derived() -> None:
    """SHA-256 of the secret as it stands, whatever it looks like."""
    key = derive_key(b"TB6Su+iJ8AObGAX7x9NEnw")
    assert key.hex() == "05abeee65b0029877138b633fd546025e1ddca4a6349f4fa6375519255b966bf"
    assert derive_key(b"TB6Su+iJ8AObGAX7x9NEnw\n") != key


@pytest.mark.rule("membership-1.3.key")
def test_no_secret_is_no_key() -> None:
    """An empty file means no encryption."""
    assert derive_key(b"") == b""


@pytest.mark.rule("membership-9.secrets")
@pytest.mark.parametrize("secret", [b"s", b"metallb", b"M" * 22, b"x" * 1000])
def test_keys_have_one_size_and_show_nothing(secret: bytes) -> None:
    """Neither the secret nor the digest of nothing can be read off a key."""
    key = derive_key(secret)
    assert len(key) == 32
    assert secret not in key
    assert hashlib.sha256(b"").digest()[:16] not in key


@pytest.mark.rule("membership-9.secrets")
def test_secrets_that_differ_late_give_other_keys() -> None:
    """All of the secret counts."""
    assert derive_key(b"k" * 32 + b"1") != derive_key(b"k" * 32 + b"2")


def test_a_cipher_opens_what_it_sealed_and_nothing_else() -> None:
    """Nonce, text, tag and associated data all have to fit."""
    cipher, nonce = AesGcm(derive_key(b"s")), bytes(12)
    sealed = cipher.encrypt(nonce, b"plain", b"head")
    assert cipher.decrypt(nonce, sealed, b"head") == b"plain"
    others = [
        (AesGcm(derive_key(b"t")), nonce, sealed, b"head"),
        (cipher, b"\x01" * 12, sealed, b"head"),
        (cipher, nonce, sealed[:-1] + b"\x00", b"head"),
        (cipher, nonce, sealed, b"tail"),
        (cipher, nonce, b"short", b"head"),
    ]
    for other, its_nonce, text, associated in others:
        with pytest.raises(WireError) as caught:
            other.decrypt(its_nonce, text, associated)
        assert caught.value.reason == "key"
