"""AES-GCM for the membership; `cryptography` is imported when the first cipher is made."""

from __future__ import annotations

from mercurylb.errors import WireError


class AesGcm:
    """AES-GCM under one key of 16, 24 or 32 bytes (a `membership.seal.Seal`)."""

    def __init__(self, key: bytes) -> None:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 (8 MB for who needs it)
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        self._cipher = AESGCM(key)
        self._invalid = InvalidTag

    def encrypt(self, nonce: bytes, plain: bytes, associated: bytes) -> bytes:
        """Return ciphertext and tag."""
        return self._cipher.encrypt(nonce, plain, associated)

    def decrypt(self, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
        """Return the plain text; raise WireError when the tag does not fit."""
        try:
            return self._cipher.decrypt(nonce, sealed, associated)
        except (self._invalid, ValueError) as error:
            raise WireError("seal", "the tag does not fit", reason="key") from error
